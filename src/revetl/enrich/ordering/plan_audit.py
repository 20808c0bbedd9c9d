"""How many records have to be asked of everybody before orders can be told apart, and what that costs.

The error of a saving falls with the square root of the number of records. Where there is an audited sample, it gives
the error of one record. Before that the error is planned as if providers hit independently, at the rates of the
ledger: good enough to size a sample, never to judge an order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from revetl.enrich.ordering.cases import Arm, Case, Reply, records
from revetl.enrich.ordering.estimate import FEWEST, Figure, play
from revetl.enrich.ordering.prices import Price
from revetl.enrich.ordering.solve import solve

_PLANNED = 10_000.0  # records that the planned population stands for; any number serves, errors are scaled from it
UNKNOWN_RATE = 0.5  # of a provider that nobody asked yet


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """To tell a saving to within `within` of the cost of a value (half of its 95 % interval), `records` have to be
    asked of everybody: `share` of those that lack something, at `usd` more than today's order costs for them, in all.
    `more`: how many of them are still to come. `share` above 1: there are not as many."""

    within: float
    records: int
    more: int
    share: float
    usd: float
    planned_on: str  # audited records, independent hits


def plan_audit(
    arms: Sequence[Arm],
    prices: Sequence[Price],
    checks: Sequence[float],
    cases: Sequence[Case],
    sample: Sequence[Case],
    best: Sequence[int],
    within: float,
) -> AuditPlan | None:
    """None where there is one provider, so nothing to order, or nothing is ever filled. `sample`: the audited records;
    empty where there are too few."""
    if len(arms) < 2 or not cases:
        return None
    planned_on = "audited records" if sample else "independent hits"
    known = sample or _independent(arms, prices, checks, cases)
    today = tuple(range(len(arms)))
    other = tuple(best) if tuple(best) != today and sample else solve(arms, known).cheapest().order
    if other == today:
        other = today[::-1]
    saved = play(arms, known, [other]).saved_against(play(arms, known, [today]))
    if saved is None:
        return None
    needed = _needed(saved, records(known), within)
    extra = play(arms, known, [today])
    everyone = math.fsum(c.weight * _whole(arms, c) for c in known) / records(known)
    return AuditPlan(
        within,
        needed,
        max(0, needed - round(records(sample))),
        needed / records(cases),
        needed * max(0.0, everyone - extra.usd_per_record),
        planned_on,
    )


def _needed(saved: Figure, of_records: float, within: float) -> int:
    half = (saved.high - saved.low) / 2
    return max(FEWEST, math.ceil(of_records * (half / within) ** 2))


def _whole(arms: Sequence[Arm], case: Case) -> float:
    """What it costs to ask everybody that can be asked for something that is wanted."""
    usd, seen = 0.0, set[tuple[int, int]]()
    for arm, reply in zip(arms, case.replies, strict=True):
        if reply is None or not reply.able or not arm.fills & case.wants:
            continue
        usd += reply.usd
        for check in reply.checks:
            if case.wants >> check.field & 1 and (check.field, check.same) not in seen:
                seen.add((check.field, check.same))
                usd += check.usd
    return usd


def _independent(
    arms: Sequence[Arm], prices: Sequence[Price], checks: Sequence[float], cases: Sequence[Case]
) -> list[Case]:
    """Every combination of filling and not filling, weighted as if providers had nothing to do with one another."""
    wants = 0
    for arm in arms:
        wants |= arm.fills
    sides = [_sides(i, arms[i], prices[i], checks[i], cases) for i in range(len(arms))]
    made = []
    for filled in range(1 << len(arms)):
        weight, replies = _PLANNED, []
        for i, (rate, without, with_) in enumerate(sides):
            fills = bool(filled >> i & 1)
            weight *= rate if fills else 1 - rate
            replies.append(with_ if fills else without)
        if weight:
            made.append(Case(weight, wants, tuple(replies)))
    return made


def _sides(i: int, arm: Arm, price: Price, check: float, cases: Sequence[Case]) -> tuple[float, Reply, Reply]:
    """How often it fills something where it was asked, and what it costs where it does not and where it does."""
    known = [(c.weight, r) for c in cases if (r := c.replies[i]) is not None and r.able]
    asked = sum(w for w, _ in known)
    missed = [(w, r) for w, r in known if not r.fills]
    empty = sum(w for w, _ in missed)
    rate = 1 - empty / asked if asked else UNKNOWN_RATE
    lost = sum(w * (r.usd + sum(c.usd for c in r.checks)) for w, r in missed) / empty if empty else price.miss
    return rate, Reply(lost), Reply(price.hit + check, arm.fills, True)
