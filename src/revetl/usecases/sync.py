"""`revetl sync`: what changed in the activation models is sent, sync by sync. `push` is what other commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from revetl.context import RunContext
from revetl.errors import LeaseError, RevetlError, WarehouseError, of_whole_destination
from revetl.model import SyncSpec
from revetl.project.recent_runs import remember_runs
from revetl.sync import SyncOptions, run_sync
from revetl.sync.lost_connection import again
from revetl.sync.release import release
from revetl.sync.sagas.held_back import held_back_of, still_held
from revetl.usecases import exit_codes
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.deletions import unattended
from revetl.usecases.renames import links_left, take_over_renamed
from revetl.usecases.saga_in_progress import SagaInProgress
from revetl.usecases.saga_plans import judge
from revetl.usecases.sagas import HeldSagas, Together, connected, hold_sagas, note_incomplete
from revetl.usecases.stopped_syncs import StoppedSyncs

if TYPE_CHECKING:
    from revetl.destinations.base import Destination
    from revetl.project import Project
    from revetl.sync import PlanSummary, SyncReport
    from revetl.sync.plan.planner import Planner
    from revetl.warehouse.base import Warehouse


def asks_before_deleting(ask: Callable[[PlanSummary], bool] | None) -> Callable[[PlanSummary], bool] | None:
    """The policy of every command that syncs: only deletions are asked about. None where nobody can be asked."""
    if ask is None:
        return None
    return lambda plan: not plan.new_deletions or ask(plan)


def agrees(_plan: PlanSummary) -> bool:
    """Somebody agreed to the deletions beforehand: --yes, or a plan that was saved to be looked at."""
    return True


def sync(
    project: Project,
    options: SyncOptions,
    caller: Caller,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[SyncReport]:
    """Runs the selected syncs in their order; a report each, none where the project declares no sync. Safe to repeat
    after any failure. Raises what `push` raises."""
    specs = project.syncs(select, exclude)
    if not specs:
        return []
    note_edited(project, specs, caller)
    with caller.warehouse(project) as warehouse:
        if not options.dry_run:
            how = {"full_refresh": options.full_refresh, "limit": options.limit, "allow": list(options.allow)}
            audited(warehouse, caller, "sync", [spec.name for spec in specs], **how)
        return push(project, warehouse, specs, "sync", options, caller)


def exit_code(reports: Sequence[SyncReport], options: SyncOptions) -> int:
    """Of a dry run: 3 where a guardrail that is not allowed would stop it."""
    if options.dry_run and any(v.guardrail not in options.allow for r in reports for v in r.plan.violations):
        return int(exit_codes.ExitCode.STOPPED)
    return exit_codes.of_reports(reports)


def note_edited(project: Project, specs: Sequence[SyncSpec], caller: Caller) -> None:
    """A guardrail or a mode that was edited and not built would be missed in silence."""
    for file in project.edited_since_build(specs):
        caller.note(f"{file} was edited after the last build: `revetl build` puts it into effect.")


def push(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    command: str,
    options: SyncOptions,
    caller: Caller,
    planners: Mapping[str, Planner] | None = None,
) -> list[SyncReport]:
    """Runs the syncs one after the other. One that stops, or a saga that does, ends those that depend on it, since they
    name its records or stand or fall with it, and where its destination is away or refuses the credentials, all that
    write there. The others go on. A lease that is held, and the warehouse, end all. A stop lets what is in flight end
    and be written down. `planners`: sync → what gives its plan, where that is not made anew.

    Raises ConfigError, GuardrailError, LeaseError and WarehouseError where a sync can't begin, of several the gravest,
    once the others have run: they have sent, and `caller.on_sync` has heard of them.
    """
    return asyncio.run(_push(project, warehouse, specs, command, options, caller, planners or {}))


async def _push(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    command: str,
    options: SyncOptions,
    caller: Caller,
    planners: Mapping[str, Planner],
) -> list[SyncReport]:
    stop = asyncio.Event()
    stopped = StoppedSyncs()
    reports: list[SyncReport] = []
    specs = connected(project, warehouse, specs, caller)
    together = Together(project, warehouse, specs, caller, stop)
    note_incomplete(project, caller)
    released = held_back_of(warehouse, specs) if options.dry_run else {}
    with caller.stoppable(stop), _naming_the_rest(specs, stopped, caller) as begun:
        await take_over_renamed(project, warehouse, specs, caller)
        async with hold_sagas(together, command, options, stopped, planned=bool(planners)) as held:
            for place, spec in enumerate(specs, start=1):
                saga = held.of(spec)
                if stopped.holds_up(spec, saga.members if saga is not None and not saga.begun else ()):
                    if saga is not None:
                        saga.leave_for_the_next()
                    continue
                if saga is not None and not await _begins(saga, stopped):
                    stopped.holds_up(spec)
                    continue
                begun.append(spec.name)
                confirm = options.confirm or unattended(spec, options.allow)
                own = replace(
                    options,
                    planner=planners.get(spec.name),
                    confirm=confirm,
                    released=released.get(spec.name, ()),
                )
                try:
                    report = await _sync_one(together, held, spec, command, own)
                except RevetlError as e:
                    if saga is not None and saga.is_stopped:
                        stopped.stop(saga.spec.syncs, f"the saga {saga.spec.name} was taken back", e)
                        continue
                    if isinstance(e, LeaseError | WarehouseError) or saga is not None or stop.is_set():
                        if not stopped.errors:
                            raise
                        stopped.errors.append(e)  # the gravest of all is raised
                        break
                    stopped.stop_sync(spec, specs[place:], e, whole=of_whole_destination(e))
                    continue
                report.plan.notes += await held.offload(links_left, project, warehouse, spec)
                reports.append(report)
                if not options.dry_run:
                    _tell(project, caller, report)
                if saga is not None and saga.is_stopped:
                    stopped.stop(saga.spec.syncs, f"the saga {saga.spec.name} was taken back")
                elif report.status in ("failed", "stopped"):
                    if saga is not None:
                        break
                    stopped.stop_sync(spec, specs[place:], None, whole=report.destination_stopped)
                if stop.is_set():
                    break
    if options.dry_run:  # what stops a saga is known once all of its syncs are planned
        judge(warehouse, project.sagas(), [report.plan for report in reports], options.allow)
        for report in reports:
            caller.on_sync(report)
    stopped.raise_worst(reports, caller.note)
    return reports


def _tell(project: Project, caller: Caller, report: SyncReport) -> None:
    """Whoever listens hears of a sync that has ended."""
    remember_runs(project.artifacts.own, [report.run_id])
    for note in report.plan.notes:
        caller.note(f"{report.sync}: {note}")
    caller.on_sync(report)


async def _begins(saga: SagaInProgress, stopped: StoppedSyncs) -> bool:
    """Whether it has begun. What stops it is kept for the end of the command, so that other syncs go on."""
    try:
        await saga.begin()
    except (LeaseError, WarehouseError):
        raise
    except RevetlError as e:
        stopped.stop(saga.spec.syncs, f"the saga {saga.spec.name} stopped", e)
        return False
    return True


@contextmanager
def _naming_the_rest(specs: Sequence[SyncSpec], stopped: StoppedSyncs, caller: Caller) -> Iterator[list[str]]:
    """Gives a list for the names of the syncs that begin, and says at the end, however it comes, which of the others
    never did: they have no report, and without a word they would seem to have had nothing to send."""
    begun: list[str] = []
    try:
        yield begun
    finally:
        stopped.tell(caller.note)
        told = {sync for syncs in stopped.held_up.values() for sync in syncs}
        rest = [spec.name for spec in specs if spec.name not in begun and spec.name not in told]
        if begun and rest:
            caller.note(f"not begun, since {begun[-1]} stopped: {', '.join(rest)}")


async def _sync_one(
    together: Together, held: HeldSagas, spec: SyncSpec, command: str, options: SyncOptions
) -> SyncReport:
    project, caller = together.project, together.caller
    saga = held.of(spec)
    async with project.destination(spec.destination, caller.clock) as destination:
        with caller.stages(spec.name) as stages:
            ctx = held.context(command, stages=stages, dbt_invocation_id=project.dbt_invocation_id)
            if saga is None:
                return await _alone(ctx, held, spec, destination, options)
            async with saga.run(spec, ctx.run_id):
                report = await run_sync(ctx, spec, destination, options)
    return await saga.judge(report)


async def _alone(
    ctx: RunContext, held: HeldSagas, spec: SyncSpec, destination: Destination, options: SyncOptions
) -> SyncReport:
    """A sync of no saga. It may have been in one that was undone: what that held back is sent again, and what stays
    held is no success."""
    if options.dry_run:
        return await run_sync(ctx, spec, destination, options)

    async def release_held() -> None:
        waits = await again(ctx, lambda: ctx.offload(held_back_of, ctx.warehouse, [spec]))
        for which in waits.get(spec.name, ()):
            await release(held.context("release"), spec, which)

    if options.planner is None:  # a saved plan is stale once the queue is another
        await release_held()
    report = await run_sync(ctx, spec, destination, options)
    if options.planner is not None:
        await release_held()
    report.held_by_saga = await again(ctx, lambda: ctx.offload(still_held, ctx.warehouse, spec))
    if report.held_by_saga:
        report.exit_code = exit_codes.worst([report.exit_code, int(exit_codes.ExitCode.RECORDS)])
    return report
