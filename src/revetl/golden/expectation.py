"""Weights learned without labels: expectation-maximisation over counted patterns of levels.

The model is that of Fellegi and Sunter (1969): columns are independent given whether two records are one person's. m is
how often a level is seen of one person's records, u of two people's. A pattern's odds of being a match are the share of
matches among all pairs times the product of m / u; `missing` says nothing and counts nowhere.

m comes from the candidates. u comes from pairs by chance, each counted by how likely it is no match: among near-unique
identifiers the few matches there would otherwise be all that agrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

MISSING = "missing"
_ROUNDS = 1_000
_CLOSE = 1e-9  # the largest change of a round at which the weights stand
_LEAST = 1e-6  # of m: a level that no match has is unlikely, not impossible

Levels = Mapping[str, Mapping[str, float]]  # column → level → how often


@dataclass(frozen=True, slots=True)
class Pattern:
    """How many pairs have these levels. `levels`: in the order of the columns."""

    levels: tuple[str, ...]
    n_pairs: float


@dataclass(frozen=True, slots=True)
class Start:
    """Where the search begins; m decides which of the two classes is the matches. `u` stands as it is where there are
    no pairs by chance. `matches`: of all pairs, what share is one person's, between 0 and 1."""

    m: Levels
    u: Levels
    matches: float


@dataclass(frozen=True, slots=True)
class Learned:
    """`matches`: the share of all pairs that is one person's. `rounds`: 1,000 where the weights still moved."""

    m: Levels
    u: Levels
    matches: float
    rounds: int


def learn(
    candidates: Sequence[Pattern], chance: Sequence[Pattern], columns: Sequence[str], start: Start, *, n_pairs: float
) -> Learned:
    """Weights of `columns`. `n_pairs`: all pairs of records, compared or not; every match is taken to be among the
    candidates. The same counts give the same weights."""
    m, u, matches = start.m, start.u, start.matches
    rounds, moved = 0, 1.0
    while moved >= _CLOSE and rounds < _ROUNDS:
        rounds += 1
        among = [p.n_pairs * _likely(p, columns, m, u, matches) for p in candidates]
        new_m = _shares(candidates, among, columns, m)
        new_u = u
        if chance:
            apart = [p.n_pairs * (1 - _likely(p, columns, m, u, matches)) for p in chance]
            new_u = _shares(chance, apart, columns, u, added=0.5)
        new_matches = min(max(sum(among) / n_pairs, 1e-12), 1 - 1e-12)
        moved = max(_moved(m, new_m), _moved(u, new_u), abs(new_matches - matches))
        m, u, matches = new_m, new_u, new_matches
    floored = {column: {level: max(value, _LEAST) for level, value in of.items()} for column, of in m.items()}
    return Learned(floored, u, matches, rounds)


def _likely(pattern: Pattern, columns: Sequence[str], m: Levels, u: Levels, matches: float) -> float:
    """How likely a pair of this pattern is a match."""
    said = [(column, level) for column, level in zip(columns, pattern.levels, strict=True) if level != MISSING]
    one = matches * prod(m[column][level] for column, level in said)
    two = (1 - matches) * prod(u[column][level] for column, level in said)
    return one / (one + two) if one + two > 0 else 0.0


def _shares(
    patterns: Sequence[Pattern], weights: Sequence[float], columns: Sequence[str], before: Levels, *, added: float = 0.0
) -> Levels:
    """Per column the share of each level among what is not missing; `added` to each, so that what was not seen is not
    impossible. A column without any value keeps what it had."""
    found: dict[str, dict[str, float]] = {}
    for place, column in enumerate(columns):
        sums = dict.fromkeys(before[column], added)
        for pattern, weight in zip(patterns, weights, strict=True):
            level = pattern.levels[place]
            if level != MISSING:
                sums[level] += weight
        total = sum(sums.values())
        seen = total - added * len(sums)
        found[column] = {level: n / total for level, n in sums.items()} if seen > 0 else dict(before[column])
    return found


def _moved(before: Levels, after: Levels) -> float:
    return max(abs(after[column][level] - value) for column, of in before.items() for level, value in of.items())
