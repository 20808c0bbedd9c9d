"""What became of records along the waterfall, stage by stage: what the ledger knows for the forecast.

How often a provider fills a field depends on who was asked before it: the hard records are left, and of two vendors
with the same data the second finds little. So what a stage gives is counted among the records that came to it as
others will, with the same things still lacking, and not over all that it was ever asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate
from revetl.enrich.ordering.replay import visits

# Of the records that came to a stage: so many may have been left out by a failure before the rest is taken for chosen.
_LEFT_OUT = 0.05


class RecordState(NamedTuple):
    """A record before a stage. `wants`: fields that it lacked at the start; `open_`: stages before this one that could
    be asked of it; `lacks`: fields of this stage that it still lacks (all bits, by place). `audited`: it is asked
    whatever it lacks."""

    wants: int
    open_: int
    lacks: int
    audited: bool


class LookupOutcome(NamedTuple):
    """`filled` and `checked`: fields that the answer fills, and whose value has to be verified."""

    hit: bool
    filled: int
    checked: int


ObservedOutcomes = Mapping[RecordState, Mapping[LookupOutcome, float]]


def observed_outcomes(candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord]) -> list[ObservedOutcomes]:
    """Per stage what was seen of it, as numbers of records, for stages in the order of `candidates`.

    Where another order ran, a record may have come to a late stage first, and to an early one only because the late one
    found nothing. What the early one gave is then true of such records alone. From that stage on only those records
    count that were drawn by lot and asked of everybody.
    """
    counted: list[dict[RecordState, dict[LookupOutcome, float]]] = [{} for _ in candidates]
    fair = _first_unfair_stage(candidates, asked_records)
    for record in asked_records:
        for place, state, outcome in _outcomes_on_path(candidates, record):
            if place >= fair and not (record.audited and record.complete):
                break
            _count(counted[place], state, outcome, record.weight)
        if record.audited and record.complete:
            for place, state, outcome in _outcomes_of_audit(candidates, record):
                _count(counted[place], state, outcome, record.weight)
    return list(counted)


def _count(
    counted: dict[RecordState, dict[LookupOutcome, float]], state: RecordState, outcome: LookupOutcome, weight: float
) -> None:
    of = counted.setdefault(state, {})
    of[outcome] = of.get(outcome, 0.0) + weight


def _first_unfair_stage(candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord]) -> int:
    """The first stage at which who is known may depend on what others found; the number of stages where there is
    none."""
    came, out_of_turn = [0.0] * len(candidates), [0.0] * len(candidates)
    for record in asked_records:
        for visit in visits(candidates, record, range(len(candidates))):
            came[visit.candidate] += record.weight
            if visit.reply is None and any(
                reply is not None and reply.able for reply in record.replies[visit.candidate + 1 :]
            ):
                out_of_turn[visit.candidate] += record.weight
    unfair = (i for i, _ in enumerate(candidates) if out_of_turn[i] > _LEFT_OUT * came[i])
    return next(unfair, len(candidates))


def _outcomes_on_path(
    candidates: Sequence[Candidate], record: AskedRecord
) -> Iterator[tuple[int, RecordState, LookupOutcome]]:
    for visit in visits(candidates, record, range(len(candidates))):
        if visit.reply is None:
            return
        lacks = visit.lacking & candidates[visit.candidate].fills
        checked = sum({1 << check.field for check in visit.checks})
        outcome = LookupOutcome(visit.reply.hit, visit.reply.fills & lacks, checked)
        yield (
            visit.candidate,
            RecordState(record.wants, _open(candidates, record, visit.candidate), lacks, False),
            outcome,
        )


def _outcomes_of_audit(
    candidates: Sequence[Candidate], record: AskedRecord
) -> Iterator[tuple[int, RecordState, LookupOutcome]]:
    """The same of a record that everybody is asked about: what was found already is asked for, and verified, again."""
    lacking, asked = record.wants, 0
    for i, (candidate, reply) in enumerate(zip(candidates, record.replies, strict=True)):
        if reply is None or not reply.able or not candidate.fills & record.wants:
            continue
        lacks = lacking & candidate.fills
        checks = {1 << c.field for c in reply.checks if record.wants >> c.field & 1 and not c.same & asked}
        yield (
            i,
            RecordState(record.wants, _open(candidates, record, i), lacks, True),
            LookupOutcome(reply.hit, reply.fills & lacks, sum(checks)),
        )
        asked |= 1 << i
        lacking &= ~reply.fills


def _open(candidates: Sequence[Candidate], record: AskedRecord, before: int) -> int:
    return sum(
        1 << j
        for j, (candidate, reply) in enumerate(zip(candidates[:before], record.replies[:before], strict=True))
        if candidate.fills & record.wants and (reply is None or reply.able)
    )
