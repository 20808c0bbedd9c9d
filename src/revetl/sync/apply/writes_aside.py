"""Writes that are no lines of the plan: a field is emptied so that values can move in a circle, and gets a value again
where its line is refused. What can fail is said in `waves`."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.base import Destination
from revetl.model import Change, Outcome, Status
from revetl.sync.apply.batch_writer import BatchWriter, one_for_each
from revetl.sync.apply.waves import Waves
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
        lines = self._waves.vacated.values()
        await self._write([line.writing(dict.fromkeys(line.earlier)) for line in lines])
        self._waves.note_emptied(self._answers)

    async def give_back(self) -> None:
        """After all else, as far as the destination takes it. The records stay in doubt either way, so what it does not
        take is sent by the next run."""
        lines = self._waves.to_give_back()
        await self._write([line.writing(line.earlier) for line in lines])
        taken = [line for line in lines if self._answers.get(line.ordinal) is Status.REJECTED]
        await self._write([line.writing(line.wanted) for line in taken])

    async def _write(self, changes: Sequence[Change]) -> None:
        self._answers = {}
        for batch in cut(changes, self._destination.limits(self._run.spec.object).batch_rows):
            if self.error is None and not self._run.ctx.stop.is_set():
                await self._writer.write(batch)

    def _note(self, batch: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        self._answers |= {outcome.ordinal: outcome.status for outcome in one_for_each(batch, outcomes)}
