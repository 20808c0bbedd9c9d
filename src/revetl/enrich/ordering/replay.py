"""An order played over history: who would have been asked, what it would have cost, what would have been filled.

The rules are the engine's, record by record: a stage is asked only for what is still lacking, a value is verified only
where its field is still lacking, and one value is verified once however many providers gave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply, VerificationCharge


@dataclass(frozen=True, slots=True)
class RecordPath:
    """One record under one order. `asked` and `hits` are masks of providers, `filled` of fields."""

    asked: int
    hits: int
    filled: int
    checks: int
    usd: float


@dataclass(slots=True)
class ReplayTotals:
    """Many records under one order. `filled` counts values, one per record and field."""

    records: float = 0.0
    asked: dict[str, float] = field(default_factory=dict)
    hits: dict[str, float] = field(default_factory=dict)
    checks: float = 0.0
    filled: float = 0.0
    usd: float = 0.0
    unknown: float = 0.0  # records that history can't tell of: not in any of the other numbers


@dataclass(frozen=True, slots=True)
class ProviderVisit:
    """A provider that a record comes to while it lacks the fields of `lacking`; `checks` are the verifications that its
    reply makes necessary. `reply` None: nobody knows it."""

    candidate: int
    lacking: int
    reply: KnownReply | None
    checks: tuple[VerificationCharge, ...] = ()


def visits(candidates: Sequence[Candidate], record: AskedRecord, order: Sequence[int]) -> Iterator[ProviderVisit]:
    """Whom the record comes to, one after the other; ends with the first whose reply is not known."""
    lacking, asked = record.wants, 0
    for i in order:
        reply = record.replies[i]
        if not lacking & candidates[i].fills or (reply is not None and not reply.able):
            continue
        if reply is None:
            yield ProviderVisit(i, lacking, None)
            return
        checks = tuple(c for c in reply.checks if lacking >> c.field & 1 and not c.same & asked)
        yield ProviderVisit(i, lacking, reply, checks)
        asked |= 1 << i
        lacking &= ~reply.fills


def path_of(candidates: Sequence[Candidate], record: AskedRecord, order: Sequence[int]) -> RecordPath | None:
    """None where the order would ask somebody whose answer for this record is not known."""
    asked = hits = filled = checks = 0
    usd = 0.0
    for visit in visits(candidates, record, order):
        if visit.reply is None:
            return None
        asked |= 1 << visit.candidate
        hits |= visit.reply.hit << visit.candidate
        filled |= visit.lacking & visit.reply.fills
        checks += len(visit.checks)
        usd += visit.reply.usd
        for check in visit.checks:
            usd += check.usd
    return RecordPath(asked, hits, filled, checks, usd)


def replay(candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], order: Sequence[int]) -> ReplayTotals:
    """Equal to what a run in this order would do to the same records, call for call and cent for cent."""
    totals = ReplayTotals(asked={candidates[i].name: 0.0 for i in order}, hits={candidates[i].name: 0.0 for i in order})
    for record in asked_records:
        path = path_of(candidates, record, order)
        if path is None:
            totals.unknown += record.weight
            continue
        totals.records += record.weight
        for i in order:
            totals.asked[candidates[i].name] += record.weight * (path.asked >> i & 1)
            totals.hits[candidates[i].name] += record.weight * (path.hits >> i & 1)
        totals.checks += record.weight * path.checks
        totals.filled += record.weight * path.filled.bit_count()
        totals.usd += record.weight * path.usd
    return totals
