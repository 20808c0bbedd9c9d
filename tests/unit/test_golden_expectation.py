"""Learning weights from counted patterns, against an EM over single pairs that shares no code with it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from revetl.golden.expectation import MISSING, Learned, Levels, Pattern, Start, learn

np = pytest.importorskip("numpy")

COLUMNS = ("name", "born", "mail")
LEVELS = {"name": ("equal", "similar", "other"), "born": ("equal", "similar", "other"), "mail": ("equal", "other")}
M = {
    "name": {"equal": 0.7, "similar": 0.25, "other": 0.05},
    "born": {"equal": 0.85, "similar": 0.1, "other": 0.05},
    "mail": {"equal": 0.6, "other": 0.4},
}
U = {
    "name": {"equal": 0.01, "similar": 0.04, "other": 0.95},
    "born": {"equal": 0.001, "similar": 0.02, "other": 0.979},
    "mail": {"equal": 0.0002, "other": 0.9998},
}
USUAL = {
    "name": {"equal": 0.9, "similar": 0.08, "other": 0.02},
    "born": {"equal": 0.9, "similar": 0.08, "other": 0.02},
    "mail": {"equal": 0.95, "other": 0.05},
}


class World(NamedTuple):
    pairs: list[tuple[str, ...]]
    is_match: list[bool]


def world(n_matches: int, n_others: int, seed: int = 5) -> World:
    dice = random.Random(seed)

    def drawn(of: Levels) -> tuple[str, ...]:
        return tuple(
            MISSING if dice.random() < 0.1 else dice.choices(list(of[c]), list(of[c].values()))[0] for c in COLUMNS
        )

    pairs = [drawn(M) for _ in range(n_matches)] + [drawn(U) for _ in range(n_others)]
    return World(pairs, [n < n_matches for n in range(len(pairs))])


def counted(pairs: Sequence[tuple[str, ...]]) -> list[Pattern]:
    return [Pattern(levels, n) for levels, n in sorted(Counter(pairs).items())]


def one_by_one(pairs: list[tuple[str, ...]], start: Start, n_pairs: float, rounds: int) -> Levels:
    """m by EM over single pairs, u as it is: matrices and logarithms, where the other multiplies by pattern."""
    m = {c: np.array([start.m[c][level] for level in LEVELS[c]]) for c in COLUMNS}
    u = {c: np.array([start.u[c][level] for level in LEVELS[c]]) for c in COLUMNS}
    seen = {
        c: np.array([[float(pair[i] == level) for level in LEVELS[c]] for pair in pairs]) for i, c in enumerate(COLUMNS)
    }
    share = start.matches
    for _ in range(rounds):
        bits = sum((seen[c] @ (np.log(np.maximum(m[c], 1e-300)) - np.log(u[c])) for c in COLUMNS), np.zeros(len(pairs)))
        odds = np.exp(bits) * share / (1 - share)
        likely = odds / (1 + odds)
        for c in COLUMNS:
            sums = likely @ seen[c]
            m[c] = sums / sums.sum()
        share = likely.sum() / n_pairs
    return {c: dict(zip(LEVELS[c], map(float, m[c]), strict=True)) for c in COLUMNS}


def largest_difference(left: Levels, right: Levels) -> float:
    return max(abs(left[c][level] - right[c][level]) for c in COLUMNS for level in LEVELS[c])


def test_m_is_that_of_an_em_over_single_pairs() -> None:
    made = world(400, 6_000)
    start = Start(USUAL, U, 0.01)
    learned = learn(counted(made.pairs), [], COLUMNS, start, n_pairs=50_000)
    assert largest_difference(learned.m, one_by_one(made.pairs, start, 50_000, 300)) < 1e-4
    assert learned.u == U


def learned_with_chance() -> tuple[Learned, list[Pattern]]:
    made, random_pairs = world(600, 20_000), world(300, 10_000, seed=6)
    chance = counted(random_pairs.pairs)
    return learn(counted(made.pairs), chance, COLUMNS, Start(USUAL, U, 0.01), n_pairs=20_600), chance


def test_what_the_world_was_made_with_is_found_again() -> None:
    learned, _ = learned_with_chance()
    assert largest_difference(learned.m, M) < 0.06
    assert learned.matches * 20_600 == pytest.approx(600, rel=0.08)


def test_u_leaves_the_matches_out() -> None:
    learned, chance = learned_with_chance()
    equal = sum(p.n_pairs for p in chance if p.levels[2] == "equal")
    with_matches = equal / sum(p.n_pairs for p in chance if p.levels[2] != MISSING)
    assert with_matches > 20 * U["mail"]["equal"]
    assert learned.u["mail"]["equal"] == pytest.approx(U["mail"]["equal"], abs=0.001)


def test_the_order_of_patterns_changes_nothing() -> None:
    made = world(100, 900)
    start = Start(USUAL, U, 0.01)
    patterns = counted(made.pairs)
    one, other = (learn(each, [], COLUMNS, start, n_pairs=9_000) for each in (patterns, patterns[::-1]))
    assert largest_difference(one.m, other.m) < 1e-9


def test_a_column_that_nobody_fills_keeps_what_it_had_and_an_unseen_level_is_not_impossible() -> None:
    pairs = [("equal", "equal", MISSING)] * 20 + [("other", "other", MISSING)] * 300
    learned = learn(counted(pairs), counted(pairs), COLUMNS, Start(USUAL, U, 0.05), n_pairs=1_000)
    assert learned.m["mail"] == USUAL["mail"]
    assert 0 < learned.m["name"]["similar"] <= 1e-6
    assert learned.u["name"]["similar"] > 0
