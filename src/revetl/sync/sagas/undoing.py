"""Takes back what the runs of a saga wrote, the last first. Each is a rollback: what a person has edited since is left,
and counted.

| dies | then |
|---|---|
| while a run is taken back | the next one takes it back again: what is restored is seen to stand there |
| between a rollback and its mark in `saga_runs` | the same; nothing is left to send |
| the destination is away, an answer is lost | the saga stays `undoing`, and the next run goes on |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.model import SyncSpec
from revetl.state import outcomes, runs, sagas
from revetl.state.sagas import SagaRow, SagaRun
from revetl.sync.rollback.judge import AS_BEFORE, NOT_CREATED
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackReport, roll_back
from revetl.sync.sagas.failures import why_not_undone

# Taken back whole: what it made is archived where nobody has touched it.
_WHOLE = RollbackChoices(archive_created=True, links=True)
_NOTHING = "none"  # in `undone_by`: the run wrote nothing, or can't be taken back


@dataclass(slots=True)
class UndoReport:
    """`restored`: records, or links, that are as before. `left`: sync → records that are not, since somebody edited
    them or the destination does not take it. `stays`: sync → why nothing of it could be taken back. `error`: why it did
    not come to its end; the next run goes on."""

    restored: int = 0
    left: dict[str, int] = field(default_factory=dict)
    stays: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    exit_code: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Undoing:
    """What it takes. `context` gives the surroundings of one more run; `opened` a destination, by its name."""

    specs: Mapping[str, SyncSpec]
    context: Callable[[str], RunContext]
    opened: Callable[[str], AbstractAsyncContextManager[Destination]]

    async def undo(self, ctx: RunContext, saga: SagaRow) -> UndoReport:
        """Safe to repeat, and to repeat after a crash at any point. `ctx` is of the saga's lease. Errors of the
        destination stand in the report; others leave as they are."""
        report = UndoReport()
        for run in reversed(await ctx.offload(sagas.runs_of, ctx.warehouse, saga.saga_id)):
            if run.undone_by is not None:
                continue
            if ctx.stop.is_set() or not await self._take_back(ctx, saga, run, report):
                return report
        await ctx.offload(sagas.end, ctx.warehouse, saga.saga_id, "undone", ctx.clock.now())
        report.left = await ctx.offload(sagas.left_alone, ctx.warehouse, saga.saga_id)
        report.ended = True
        return report

    async def _take_back(self, ctx: RunContext, saga: SagaRow, run: SagaRun, report: UndoReport) -> bool:
        """Whether the next one may be taken back."""
        spec = self.specs.get(run.sync)
        record = await ctx.offload(runs.get_run, ctx.warehouse, run.run_id)
        wrote = await ctx.offload(outcomes.done_by, ctx.warehouse, run.run_id)
        by, left = _NOTHING, 0
        if spec is None and wrote:
            report.stays[run.sync] = "no model declares it any more"
            left = _records(wrote)
        elif spec is not None and record is not None:
            async with self.opened(spec.destination) as destination:
                why = await why_not_undone(destination, spec.object)
                if why is not None:
                    if wrote:
                        report.stays[run.sync] = why
                    left = _records(wrote)
                else:
                    own = self.context("rollback")
                    by = own.run_id
                    done = await roll_back(own, spec, destination, record, _WHOLE)
                    left = _not_as_before(done)
                    report.restored += done.counts.get("ok", 0) + done.counts.get("unlinked", 0)
                    if _broke_off(done):
                        report.error = done.error or f"{run.sync}: an answer was lost"
                        report.exit_code = done.exit_code or 1
                        return False
        await ctx.offload(sagas.set_undone, ctx.warehouse, saga.saga_id, run, by, left)
        return True


def _not_as_before(done: RollbackReport) -> int:
    """Records that were left, but for those that stand as before already; and those that the destination refused."""
    harmless = (AS_BEFORE, NOT_CREATED)
    left = sum(n for reason, whole, n in done.plan.reasons if whole and reason not in harmless)
    return left + done.counts.get("rejected", 0)


def _broke_off(done: RollbackReport) -> bool:
    """Whether it has to be done again. What was refused would be refused again: it counts as left."""
    lost = done.counts.get("unknown", 0) + done.counts.get("links_unknown", 0)
    return done.status in ("failed", "interrupted") or bool(lost or done.not_sent)


def _records(wrote: list[tuple[str, str, int]]) -> int:
    return sum(n for op, status, n in wrote if op not in ("link", "unlink") and status != "rejected")
