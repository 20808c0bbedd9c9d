"""An order played over history: who would have been asked, what it would have cost, what would have been filled.

The rules are the engine's, record by record: a stage is asked only for what is still lacking, a value is verified only
where its field is still lacking, and one value is verified once however many providers gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from revetl.enrich.order.cases import Arm, Case


@dataclass(frozen=True, slots=True)
class Walk:
    """One record under one order. `asked` and `hits` are masks of providers, `filled` of fields."""

    asked: int
    hits: int
    filled: int
    checks: int
    usd: float


@dataclass(slots=True)
class Replay:
    """Many records under one order. `filled` counts values, one per record and field."""

    records: float = 0.0
    asked: dict[str, float] = field(default_factory=dict)
    hits: dict[str, float] = field(default_factory=dict)
    checks: float = 0.0
    filled: float = 0.0
    usd: float = 0.0
    unknown: float = 0.0  # records that history can't tell of: not in any of the other numbers


def walk(arms: Sequence[Arm], case: Case, order: Sequence[int]) -> Walk | None:
    """None where the order would ask somebody whose answer for this record is not known."""
    lacking, asked, hits, checks, usd = case.wants, 0, 0, 0, 0.0
    for i in order:
        reply = case.replies[i]
        if not lacking & arms[i].fills or (reply is not None and not reply.able):
            continue
        if reply is None:
            return None
        usd += reply.usd
        hits |= reply.hit << i
        for check in reply.checks:
            if lacking >> check.field & 1 and not check.same & asked:
                usd += check.usd
                checks += 1
        asked |= 1 << i
        lacking &= ~reply.fills
    return Walk(asked, hits, case.wants & ~lacking, checks, usd)


def replay(arms: Sequence[Arm], cases: Sequence[Case], order: Sequence[int]) -> Replay:
    """Equal to what a run in this order would do to the same records, call for call and cent for cent."""
    told = Replay(asked={arms[i].name: 0.0 for i in order}, hits={arms[i].name: 0.0 for i in order})
    for case in cases:
        went = walk(arms, case, order)
        if went is None:
            told.unknown += case.weight
            continue
        told.records += case.weight
        for i in order:
            told.asked[arms[i].name] += case.weight * (went.asked >> i & 1)
            told.hits[arms[i].name] += case.weight * (went.hits >> i & 1)
        told.checks += case.weight * went.checks
        told.filled += case.weight * went.filled.bit_count()
        told.usd += case.weight * went.usd
    return told
