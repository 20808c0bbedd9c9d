"""How many records have to be asked of everybody before orders can be told apart, and what that costs.

The error of a saving falls with the square root of the number of records. Where there is an audited sample, it gives
the error of one record. Before that the error is planned as if providers hit independently, at the rates of the
ledger: good enough to size a sample, never to judge an order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply, record_count
from revetl.enrich.ordering.order_cost import FEWEST, Interval, play
from revetl.enrich.ordering.prices import ObservedPrice
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
    candidates: Sequence[Candidate],
    prices: Sequence[ObservedPrice],
    checks: Sequence[float],
    asked_records: Sequence[AskedRecord],
    sample: Sequence[AskedRecord],
    best: Sequence[int],
    within: float,
) -> AuditPlan | None:
    """None where there is one provider, so nothing to order, or nothing is ever filled. `sample`: the audited records;
    empty where there are too few."""
    if len(candidates) < 2 or not asked_records:
        return None
    planned_on = "audited records" if sample else "independent hits"
    basis = sample or _independent(candidates, prices, checks, asked_records)
    today = tuple(range(len(candidates)))
    other = tuple(best) if tuple(best) != today and sample else solve(candidates, basis).cheapest().order
    if other == today:
        other = today[::-1]
    saved = play(candidates, basis, [other]).saved_against(play(candidates, basis, [today]))
    if saved is None:
        return None
    needed = _needed(saved, record_count(basis), within)
    extra = play(candidates, basis, [today])
    everyone = math.fsum(c.weight * _whole(candidates, c) for c in basis) / record_count(basis)
    return AuditPlan(
        within,
        needed,
        max(0, needed - round(record_count(sample))),
        needed / record_count(asked_records),
        needed * max(0.0, everyone - extra.usd_per_record),
        planned_on,
    )


def _needed(saved: Interval, of_records: float, within: float) -> int:
    half = (saved.high - saved.low) / 2
    return max(FEWEST, math.ceil(of_records * (half / within) ** 2))


def _whole(candidates: Sequence[Candidate], record: AskedRecord) -> float:
    """What it costs to ask everybody that can be asked for something that is wanted."""
    usd, seen = 0.0, set[tuple[int, int]]()
    for candidate, reply in zip(candidates, record.replies, strict=True):
        if reply is None or not reply.able or not candidate.fills & record.wants:
            continue
        usd += reply.usd
        for check in reply.checks:
            if record.wants >> check.field & 1 and (check.field, check.same) not in seen:
                seen.add((check.field, check.same))
                usd += check.usd
    return usd


def _independent(
    candidates: Sequence[Candidate],
    prices: Sequence[ObservedPrice],
    checks: Sequence[float],
    asked_records: Sequence[AskedRecord],
) -> list[AskedRecord]:
    """Every combination of filling and not filling, weighted as if providers had nothing to do with one another."""
    wants = 0
    for candidate in candidates:
        wants |= candidate.fills
    sides = [_sides(i, candidates[i], prices[i], checks[i], asked_records) for i in range(len(candidates))]
    made = []
    for filled in range(1 << len(candidates)):
        weight, replies = _PLANNED, []
        for i, (rate, without, with_) in enumerate(sides):
            fills = bool(filled >> i & 1)
            weight *= rate if fills else 1 - rate
            replies.append(with_ if fills else without)
        if weight:
            made.append(AskedRecord(weight, wants, tuple(replies)))
    return made


def _sides(
    i: int, candidate: Candidate, price: ObservedPrice, check: float, asked_records: Sequence[AskedRecord]
) -> tuple[float, KnownReply, KnownReply]:
    """How often it fills something where it was asked, and what it costs where it does not and where it does."""
    basis = [(c.weight, r) for c in asked_records if (r := c.replies[i]) is not None and r.able]
    asked = sum(w for w, _ in basis)
    missed = [(w, r) for w, r in basis if not r.fills]
    empty = sum(w for w, _ in missed)
    rate = 1 - empty / asked if asked else UNKNOWN_RATE
    lost = sum(w * (r.usd + sum(c.usd for c in r.checks)) for w, r in missed) / empty if empty else price.miss
    return rate, KnownReply(lost), KnownReply(price.hit + check, candidate.fills, True)
