"""How unique values change hands while a plan is sent: wave after wave, as the plan says (`plan.handovers`).

What can fail here and what then happens:
- a giver is refused, or its answer is lost → who would follow it is not sent, and rejected with the reason: a create
  that goes by that value would be written over the giver's record.
- a field was emptied and its line is refused → it gets its earlier value back, or where that is taken its new one.
  Until that is known the line has no outcome.
- a signal, the vendor is away, neither value is taken → the record is unknown (VACATED) and in doubt, so the next run
  sends it whole; where that is refused, or the plan withholds the field, that run gives the value back.
- the process dies → as any record that may have been sent: recovery makes it in doubt (`doubts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.state.outcomes import VACATED, VALUE_HELD


@dataclass(frozen=True, slots=True)
class VacatedLine:
    """A line of which fields stand empty by us: what stood in them, and what the line gives them; nothing for a field
    that the plan withholds. `emptied_before`: by an earlier run, and they have had no value since; else they are
    emptied before anything of this plan is sent. `withheld`: the line itself is not sent."""

    ordinal: int
    key: str
    destination_id: str
    earlier: Mapping[str, Scalar]
    wanted: Mapping[str, Scalar]
    emptied_before: bool = False
    withheld: bool = False

    def writing(self, fields: Mapping[str, Scalar]) -> Change:
        """A write of these fields alone, beside the line's own."""
        return Change(self.ordinal, self.key, Operation.UPDATE, self.destination_id, fields)


@dataclass(slots=True)
class Waves:
    """Of one plan. `starts`: the first ordinal of each later wave. `follows`: line → the (line, field) pairs that give
    up what it is given. `given_up`: those that have. `given_back`: line → the values that its emptied fields were given
    aside."""

    starts: list[int] = field(default_factory=list)
    follows: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    vacated: dict[int, VacatedLine] = field(default_factory=dict)
    given_up: set[tuple[int, str]] = field(default_factory=set)
    emptied: dict[int, Status] = field(default_factory=dict)
    answered: dict[int, Status] = field(default_factory=dict)
    given_back: dict[int, dict[str, Scalar]] = field(default_factory=dict)
    _held: list[Outcome] = field(default_factory=list)
    _givers: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.emptied = {n: Status.OK for n, line in self.vacated.items() if line.emptied_before}
        self._givers = {ordinal for pairs in self.follows.values() for ordinal, _ in pairs} | self.vacated.keys()

    def split(self, changes: Sequence[Change]) -> Iterator[tuple[bool, Sequence[Change]]]:
        """The changes, in their order, cut where a wave starts; with whether one does."""
        rest = changes
        while rest and self.starts and rest[-1].ordinal >= self.starts[0]:
            start = self.starts.pop(0)
            at = next(i for i, change in enumerate(rest) if change.ordinal >= start)
            if at:
                yield False, rest[:at]
            rest = rest[at:]
            while self.starts and self.starts[0] <= rest[0].ordinal:  # a wave of which nothing is left
                self.starts.pop(0)
            end = next((i for i, c in enumerate(rest) if self.starts and c.ordinal >= self.starts[0]), len(rest))
            yield True, rest[:end]
            rest = rest[end:]
        if rest:
            yield False, rest

    def note(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """What became of lines that were sent. Returns the outcomes that hold; of a line whose field may stand empty
        `ended` says it."""
        if not self._givers:
            return outcomes
        self.answered |= {o.ordinal: o.status for o in outcomes if o.ordinal in self._givers}
        self._held += [o for o in outcomes if self._may_be_empty(o.ordinal)]
        return [o for o in outcomes if not self._may_be_empty(o.ordinal)]

    def _may_be_empty(self, ordinal: int) -> bool:
        """Whether fields of the line were, or may have been, emptied, and it did not give all of them a value."""
        if self.emptied.get(ordinal) not in (Status.OK, Status.UNKNOWN):
            return False
        line = self.vacated[ordinal]
        taken = self.answered.get(ordinal) in (Status.OK, Status.ACCEPTED)
        return not taken or line.earlier.keys() > line.wanted.keys()

    def to_empty(self) -> list[VacatedLine]:
        return [line for line in self.vacated.values() if not line.emptied_before]

    def note_emptied(self, answers: Mapping[int, Status]) -> None:
        self.emptied |= answers
        for ordinal, status in answers.items():
            if status is Status.OK:
                self.given_up |= {(ordinal, name) for name in self.vacated[ordinal].earlier}

    def held_back(self, batch: Sequence[Change]) -> list[Outcome]:
        """Outcomes of those whose value has not been given up."""
        return [
            Outcome(change.ordinal, Status.REJECTED, None, "Plan", VALUE_HELD, _HELD.format(self._still_held(change)))
            for change in batch
            if change.ordinal in self.follows and self._still_held(change)
        ]

    def _still_held(self, change: Change) -> str:
        return ", ".join(
            name
            for giver, name in self.follows[change.ordinal]
            if self.answered.get(giver) is not Status.OK and (giver, name) not in self.given_up
        )

    def to_give_back(self) -> list[VacatedLine]:
        """Lines of which a field stands, or may stand, empty: they were refused or not sent, or withhold the field."""
        certain = (Status.REJECTED, Status.SKIPPED, Status.OK, Status.ACCEPTED)
        return [
            line
            for ordinal, line in self.vacated.items()
            if self._may_be_empty(ordinal) and (line.withheld or self.answered.get(ordinal) in certain)
        ]

    def to_give(self, line: VacatedLine) -> list[str]:
        """The fields of such a line that have no value yet."""
        taken = self.answered.get(line.ordinal) in (Status.OK, Status.ACCEPTED)
        given = {*self.given_back.get(line.ordinal, ()), *(line.wanted if taken else ())}
        return [name for name in line.earlier if name not in given]

    def ended(self) -> list[Outcome]:
        """The outcomes that `note` kept, and those of lines that were emptied and not sent any more. Call when nothing
        else is written."""
        outcomes = [self._ended(outcome) for outcome in self._held]
        outcomes += [
            Outcome(line.ordinal, Status.UNKNOWN, line.destination_id, "Interrupted", VACATED, _STOPPED)
            for ordinal, line in self.vacated.items()
            if ordinal not in self.answered and self._may_be_empty(ordinal) and not line.emptied_before
        ]
        return outcomes

    def _ended(self, outcome: Outcome) -> Outcome:
        line = self.vacated[outcome.ordinal]
        if outcome.status is Status.UNKNOWN or self.to_give(line):
            message = outcome.message or _STOPPED
            return replace(outcome, status=Status.UNKNOWN, error_code=VACATED, message=message, in_row=False)
        return replace(outcome, stands={**(outcome.stands or {}), **self.given_back.get(outcome.ordinal, {})})


_HELD = "not sent: the record that has its value of {} was not given another one"
_STOPPED = "a field of it was emptied for another record, and the run stopped before its new value was sent"
