"""One saga of a command, from its first sync to its end: looked ahead, begun, judged after each run, undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from revetl.context import RunContext
from revetl.errors import GuardrailError, LeaseError, RevetlError, WarehouseError
from revetl.model import SagaSpec, SyncSpec
from revetl.state import sagas
from revetl.state.runs import new_run_id
from revetl.state.sagas import SagaRow
from revetl.sync import PlanSummary, SyncOptions, plan_sync
from revetl.sync.release import release
from revetl.sync.report import SagaEnd, SyncReport
from revetl.sync.sagas import failures
from revetl.sync.sagas.held_back import held_back_of, rolled_back
from revetl.sync.sagas.undoing import UndoReport
from revetl.usecases import exit_codes
from revetl.usecases.deletions import unattended
from revetl.usecases.saga_plans import WAYS_OUT, too_many_failures

if TYPE_CHECKING:
    from revetl.usecases.sagas import HeldSagas


@dataclass(slots=True)
class SagaInProgress:
    """One saga of the command. `ctx` is of its lease. `row`: as it stands in `sagas`, None until it is there."""

    held: HeldSagas
    ctx: RunContext
    spec: SagaSpec
    options: SyncOptions
    planned: bool
    row: SagaRow | None = None
    begun: bool = False
    failed: int = 0
    reports: list[SyncReport] = field(default_factory=list)
    end: SagaEnd | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether it was taken back, or is being: nothing more of it is sent by this command."""
        return self.end is not None and self.end.step in ("undone", "undoing")

    async def take_up(self) -> None:
        """What an earlier command left unfinished: an undoing is ended, an applying gone on with. GuardrailError where
        it can't be ended now: then nothing more may be sent."""
        row = await self.ctx.offload(sagas.latest, self.ctx.warehouse, self.spec.name)
        if row is None or row.step in ("done", "undone"):
            return
        self.row = row
        if row.step == "applying":
            return
        self._note("an earlier run left it half undone; that is ended first.")
        done = await self.undo(str(row.cause))
        if not done.ended:
            raise GuardrailError(f"saga {self.spec.name}: it could not be undone yet; nothing more was sent")
        self.end, self.row = None, None

    async def begin(self) -> None:
        """Before the first sync: every one of them is planned, and nothing is sent where one would be stopped. Raises
        what stops it; what an earlier command sent of this saga is taken back then."""
        if self.begun:
            return
        if not self.planned:
            async with self._undone_by_failure():
                await self._look_ahead()
        await self._kept_row()
        if not self.planned:  # a saved plan is stale once the queue is another, and has lines for what waits
            await self._release()
        self.begun = True

    @asynccontextmanager
    async def run(self, spec: SyncSpec, run_id: str) -> AsyncIterator[None]:
        """Around the run of one of its syncs. An error that ends the run is a failure of the saga; who was busy or
        could not write its state is gone on with by the next command."""
        row = await self._kept_row()
        await self.ctx.offload(sagas.add_run, self.ctx.warehouse, row.saga_id, spec.name, run_id)
        async with self._undone_by_failure():
            yield

    async def judge(self, report: SyncReport) -> SyncReport:
        """The same report, with how far the saga is after it."""
        self.reports.append(report)
        ctx, row = self.ctx, await self._kept_row()
        self.failed += failures.of_report(report)
        cause = failures.stops(report)
        if cause is None and self.failed > self.spec.max_failures:
            cause = f"{self.failed:,} record(s) failed, of which {self.spec.max_failures:,} may"
        if ctx.stop.is_set() or report.status == "interrupted":
            self.end = SagaEnd(self.spec.name, "applying")
        elif cause is not None:
            undone = await self.undo(cause)
            codes = [report.exit_code, int(exit_codes.ExitCode.STOPPED), undone.exit_code]
            report.exit_code = exit_codes.worst(codes)
        elif report.sync == self._last:
            await self._release()  # of a saved plan: what it had no line for
            await ctx.offload(sagas.end, ctx.warehouse, row.saga_id, "done", ctx.clock.now())
            self.end = SagaEnd(
                self.spec.name, "done", waits=await ctx.offload(rolled_back, ctx.warehouse, self.members)
            )
            for each in self.reports:
                if each.sync in self.end.waits:  # "done" would be said of what is half old
                    each.exit_code = exit_codes.worst([each.exit_code, int(exit_codes.ExitCode.RECORDS)])
        for each in self.reports:
            each.saga = self.end
        return report

    def leave_for_the_next(self) -> None:
        """A sync of it is not begun, for another saga stopped: the next command goes on with this one."""
        if self.begun and self.end is None:
            self.end = SagaEnd(self.spec.name, "applying")
            for each in self.reports:
                each.saga = self.end

    async def undo(self, cause: str) -> UndoReport:
        """What its runs wrote is taken back, the last first. Where that does not come to its end the next command goes
        on."""
        ctx, row = self.ctx, await self._kept_row()
        await ctx.offload(sagas.set_undoing, ctx.warehouse, row.saga_id, cause)
        self._note(f"{cause}: what its syncs wrote is taken back.")
        done = await self.held.undoing().undo(ctx, replace(row, step="undoing", cause=cause))
        step = "undone" if done.ended else "undoing"
        self.end = SagaEnd(self.spec.name, step, cause, done.restored, done.left, done.stays)
        for sentence in told(self.end, done.error):
            self._note(sentence)
        return done

    async def _kept_row(self) -> SagaRow:
        """Its row, which is written now where it is not there yet."""
        if self.row is None:
            row = SagaRow(new_run_id(self.ctx.clock), self.spec.name, "applying")
            await self.ctx.offload(sagas.begin, self.ctx.warehouse, row.saga_id, row.saga, self.ctx.clock.now())
            self.row = row
        return self.row

    @property
    def members(self) -> list[SyncSpec]:
        return [spec for spec in self.held.together.specs if spec.name in self.spec.syncs]

    @property
    def _last(self) -> str:
        return self.members[-1].name

    def _note(self, sentence: str) -> None:
        self.held.together.caller.note(f"Saga {self.spec.name}: {sentence}")

    @asynccontextmanager
    async def _undone_by_failure(self) -> AsyncIterator[None]:
        try:
            yield
        except (LeaseError, WarehouseError):
            raise
        except RevetlError as e:
            if self.row is not None:
                await self.undo(f"stopped by a {type(e).__name__}")
            raise

    async def _look_ahead(self) -> None:
        """GuardrailError where one of its syncs would be stopped, or where more records than may fail were refused
        before and not mended since, or are known not to go through. Raises what planning raises."""
        at, options, stopped, plans = self.held.together, self.options, list[str](), list[PlanSummary]()
        released = await self.ctx.offload(held_back_of, self.ctx.warehouse, self.members)
        for spec in self.members:
            async with at.project.destination(spec.destination, at.caller.clock) as destination:
                ctx = self.held.context("plan")
                asked = SyncOptions(
                    limit=options.limit,
                    full_refresh=options.full_refresh,
                    released=released.get(spec.name, ()),
                )
                plan = await plan_sync(ctx, spec, destination, asked)
            broken = [v for v in plan.violations if v.guardrail not in options.allow]
            stopped += [f"{spec.name}: {violation}" for violation in broken]
            plans.append(plan)
            if options.confirm is None:
                unattended(spec, options.allow)(plan)
        if stopped:
            raise GuardrailError(f"saga {self.spec.name}: nothing was sent: " + "; ".join(stopped))
        if (too_many := too_many_failures(self.spec, plans)) is not None:
            raise GuardrailError(f"saga {self.spec.name}: nothing was sent: {too_many}\n  {WAYS_OUT}")

    async def _release(self) -> None:
        """What an undoing held back is sent again, but for what a person had edited. Safe to repeat."""
        ctx = self.ctx
        waits = await ctx.offload(held_back_of, ctx.warehouse, self.members)
        for spec in self.members:
            for which in waits.get(spec.name, ()):
                await release(self.held.context("release"), spec, which)


def told(end: SagaEnd, error: str | None) -> list[str]:
    """Sentences for people."""
    out = [f"{end.restored:,} record(s) and link(s) are as before."]
    out += [
        f"{sync}: {n:,} record(s) were left, since somebody edited them or they can't be undone."
        for sync, n in end.left.items()
    ]
    out += [f"{sync}: stays as it is: {why}." for sync, why in end.stays.items()]
    if end.step == "undoing":
        out.append(f"not all of it yet{f' ({error})' if error else ''}; the next run goes on with it.")
    return out
