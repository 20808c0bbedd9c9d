"""Writes that are no lines of the plan: a field is emptied so that values can move in a circle, and gets a value again
where its line gives it none. What can fail is said in `waves`."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.base import Destination
from revetl.model import Change, Outcome, Scalar, Status
from revetl.sync.apply.batch_writer import BatchWriter, one_for_each
from revetl.sync.apply.waves import VacatedLine, Waves
from revetl.sync.batching import cut
from revetl.sync.sync_run import SyncRun


class WritesAside:
    """Of one plan. `error` is why the run has to stop, as a `BatchWriter`'s."""

    def __init__(self, run: SyncRun, destination: Destination, waves: Waves) -> None:
        self._run, self._destination, self._waves = run, destination, waves
        self._answers: dict[int, Status] = {}
        self._writer = BatchWriter(destination, run.spec, self._note, run.ctx.stop.is_set)

    @property
    def error(self) -> BaseException | None:
        return self._writer.error

    async def empty(self) -> None:
        """Before anything else is sent."""
        lines = self._waves.to_empty()
        await self._write([line.writing(dict.fromkeys(line.earlier)) for line in lines])
        self._waves.note_emptied(self._answers)

    async def give_back(self) -> None:
        """After all else, as far as the destination takes it: the earlier values, field after field, since one that is
        taken by now has the whole write refused; instead of that one the line's own. `Waves.given_back` says what was
        taken."""
        lines = self._waves.to_give_back()
        for name in sorted({name for line in lines for name in self._waves.to_give(line)}):
            lacking = [line for line in lines if name in self._waves.to_give(line)]
            refused = await self._give(name, [(line, line.earlier[name]) for line in lacking])
            await self._give(name, [(line, line.wanted[name]) for line in refused if name in line.wanted])

    async def _give(self, name: str, values: Sequence[tuple[VacatedLine, Scalar]]) -> list[VacatedLine]:
        """Returns the lines whose value was refused."""
        await self._write([line.writing({name: value}) for line, value in values])
        for line, value in values:
            if self._answers.get(line.ordinal) in (Status.OK, Status.ACCEPTED):
                self._waves.given_back.setdefault(line.ordinal, {})[name] = value
        return [line for line, _ in values if self._answers.get(line.ordinal) is Status.REJECTED]

    async def _write(self, changes: Sequence[Change]) -> None:
        self._answers = {}
        for batch in cut(changes, self._destination.limits(self._run.spec.object).batch_rows):
            if self.error is None and not self._run.ctx.stop.is_set():
                await self._writer.write(batch)

    def _note(self, batch: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        self._answers |= {outcome.ordinal: outcome.status for outcome in one_for_each(batch, outcomes)}
