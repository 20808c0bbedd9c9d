"""How unique values change hands while a plan is sent: wave after wave, as the plan says (`plan.handovers`).

What can fail here and what then happens:
- a giver is refused, or its answer is lost → who would follow it is not sent, and rejected with the reason: a create
  that goes by that value would be written over the giver's record.
- a field was emptied and its line is refused → it gets its earlier value back, or where that is taken its new one.
- a signal, the vendor is away → the record is unknown and in doubt, so the next run sends it whole.
- the process dies → as any record that may have been sent: recovery makes it in doubt (`doubts`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.state.outcomes import VACATED, VALUE_HELD
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.sql import ident


@dataclass(frozen=True, slots=True)
class VacatedLine:
    """A line of which fields are emptied before anything is sent: what stood in them, and what they are given."""

    ordinal: int
    key: str
    destination_id: str
    earlier: dict[str, Scalar]
    wanted: dict[str, Scalar]

    def writing(self, fields: Mapping[str, Scalar]) -> Change:
        """A write of these fields alone, beside the line's own."""
        return Change(self.ordinal, self.key, Operation.UPDATE, self.destination_id, fields)


@dataclass(slots=True)
class Waves:
    """Of one plan. `starts`: the first ordinal of each later wave. `follows`: line → the (line, field) pairs that give
    up what it is given. `given_up`: those that have."""

    starts: list[int] = field(default_factory=list)
    follows: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    vacated: dict[int, VacatedLine] = field(default_factory=dict)
    given_up: set[tuple[int, str]] = field(default_factory=set)
    emptied: dict[int, Status] = field(default_factory=dict)
    answered: dict[int, Status] = field(default_factory=dict)
    _givers: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
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

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """What became of lines that were sent."""
        if self._givers:
            self.answered |= {o.ordinal: o.status for o in outcomes if o.ordinal in self._givers}

    def note_emptied(self, answers: Mapping[int, Status]) -> None:
        self.emptied = dict(answers)
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

    def unfinished(self) -> list[VacatedLine]:
        """Lines whose fields were, or may have been, emptied, and which were not sent."""
        return [
            line
            for ordinal, line in self.vacated.items()
            if ordinal not in self.answered and self.emptied.get(ordinal) in (Status.OK, Status.UNKNOWN)
        ]

    def to_give_back(self) -> list[VacatedLine]:
        """Lines whose fields were, or may have been, emptied, and which were refused or held back."""
        return [
            line
            for ordinal, line in self.vacated.items()
            if self.answered.get(ordinal) is Status.REJECTED
            and self.emptied.get(ordinal) in (Status.OK, Status.UNKNOWN)
        ]


_HELD = "not sent: the record that has its value of {} was not given another one"
_STOPPED = "a field of it was emptied for another record, and the run stopped before its new value was sent"


def stopped(line: VacatedLine) -> Outcome:
    return Outcome(line.ordinal, Status.UNKNOWN, line.destination_id, "Interrupted", VACATED, _STOPPED)


def read(tables: SyncTables) -> Waves:
    """Of the plan as it stands frozen."""
    warehouse, plan = tables.warehouse, tables.plan
    starts = warehouse.rows(
        f"""
        SELECT min(ordinal)
        FROM {plan}
        WHERE wave > 0 AND outcome IS NULL
        GROUP BY wave
        ORDER BY 1
        """
    )
    follows = warehouse.rows(f"SELECT ordinal, follows FROM {plan} WHERE follows IS NOT NULL AND outcome IS NULL")
    values = "".join(f", {ident(f.before)}, {ident(f.after)}" for f in tables.fields)
    emptied = warehouse.rows(
        f"""
        SELECT ordinal, key, destination_id, vacates{values}
        FROM {plan}
        WHERE vacates IS NOT NULL AND outcome IS NULL
        ORDER BY ordinal
        """
    )
    vacated: dict[int, VacatedLine] = {}
    for ordinal, key, id_, names, *cells in emptied:
        pairs = {f.name: (cells[2 * i], cells[2 * i + 1]) for i, f in enumerate(tables.fields)}
        earlier, wanted = ({name: pairs[name][i] for name in json.loads(str(names))} for i in (0, 1))
        vacated[int(str(ordinal))] = VacatedLine(int(str(ordinal)), str(key), str(id_), earlier, wanted)
    return Waves(
        [int(str(ordinal)) for (ordinal,) in starts],
        {
            int(str(ordinal)): [(int(n), str(name)) for n, name in json.loads(str(before))]
            for ordinal, before in follows
        },
        vacated,
    )
