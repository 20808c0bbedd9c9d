"""What holds the records of one cluster together where they are matched by weights: the linkage, played again over
these few records, and what each field gives to its last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkedPair:
    """Two records that were compared. `weight` in bits; None where a veto keeps them apart. `fields`: in bits, what
    each says; `levels`: how far the two agree in it."""

    left: str
    right: str
    weight: float | None
    fields: Mapping[str, float]
    levels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LastJoin:
    """The two groups that became one last, and so would part first. `weight`: the mean of the pairs between them, in
    bits. `fields`: each field's share of it, the strongest first; without one that is larger than `weight` they
    part."""

    groups: tuple[tuple[str, ...], tuple[str, ...]]
    weight: float
    fields: tuple[tuple[str, float], ...]


def last_join(records: Sequence[str], pairs: Sequence[LinkedPair], *, unscored: float) -> LastJoin | None:
    """By average linkage, the best pair of groups first; `unscored`: what two records count that were not compared.
    None of fewer than two records. Cubic in the number of records."""
    groups: list[tuple[str, ...]] = [(record,) for record in sorted(records)]
    weights = {frozenset((p.left, p.right)): p.weight for p in pairs}
    last = None
    while len(groups) > 1:
        means = {
            (i, j): _mean(groups[i], groups[j], weights, unscored)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        }
        i, j = max(means, key=lambda at: (means[at], groups[at[0]], groups[at[1]]))
        last = groups[i], groups[j], means[i, j]
        groups = [g for at, g in enumerate(groups) if at not in (i, j)] + [tuple(sorted(groups[i] + groups[j]))]
    if last is None:
        return None
    one, other, weight = last
    between = [p for p in pairs if (p.left in one and p.right in other) or (p.left in other and p.right in one)]
    shares = {
        name: sum(p.fields[name] for p in between) / (len(one) * len(other)) for p in between for name in p.fields
    }
    ordered = tuple(sorted(shares.items(), key=lambda each: (-each[1], each[0])))
    larger, smaller = sorted((one, other), key=lambda group: (-len(group), group))
    return LastJoin((larger, smaller), weight, ordered)


def _mean(
    one: Sequence[str], other: Sequence[str], weights: Mapping[frozenset[str], float | None], unscored: float
) -> float:
    """The mean weight; minus infinity across a veto."""
    total = 0.0
    for left in one:
        for right in other:
            weight = weights.get(frozenset((left, right)), unscored)
            if weight is None:
                return float("-inf")
            total += weight
    return total / (len(one) * len(other))
