"""An order played over history: who would have been asked, what it would have cost, what would have been filled.

The rules are the engine's, record by record: a stage is asked only for what is still lacking, a value is verified only
where its field is still lacking, and one value is verified once however many providers gave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from revetl.enrich.ordering.cases import Arm, Case, Check, Reply


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


@dataclass(frozen=True, slots=True)
class Met:
    """A provider that a record comes to while it lacks the fields of `lacking`; `checks` are the verifications that its
    reply makes necessary. `reply` None: nobody knows it."""

    arm: int
    lacking: int
    reply: Reply | None
    checks: tuple[Check, ...] = ()


def way(arms: Sequence[Arm], case: Case, order: Sequence[int]) -> Iterator[Met]:
    """Whom the record comes to, one after the other; ends with the first whose reply is not known."""
    lacking, asked = case.wants, 0
    for i in order:
        reply = case.replies[i]
        if not lacking & arms[i].fills or (reply is not None and not reply.able):
            continue
        if reply is None:
            yield Met(i, lacking, None)
            return
        checks = tuple(c for c in reply.checks if lacking >> c.field & 1 and not c.same & asked)
        yield Met(i, lacking, reply, checks)
        asked |= 1 << i
        lacking &= ~reply.fills


def walk(arms: Sequence[Arm], case: Case, order: Sequence[int]) -> Walk | None:
    """None where the order would ask somebody whose answer for this record is not known."""
    asked = hits = filled = checks = 0
    usd = 0.0
    for met in way(arms, case, order):
        if met.reply is None:
            return None
        asked |= 1 << met.arm
        hits |= met.reply.hit << met.arm
        filled |= met.lacking & met.reply.fills
        checks += len(met.checks)
        usd += met.reply.usd
        for check in met.checks:
            usd += check.usd
    return Walk(asked, hits, filled, checks, usd)


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
