"""`revetl sync`: what changed in the activation models is sent, sync by sync. `push` is what other commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from revetl.model import SyncSpec
from revetl.project.recent_runs import remember_runs
from revetl.sync import SyncOptions, run_sync
from revetl.usecases import exit_codes
from revetl.usecases.caller import Caller
from revetl.usecases.deletions import unattended
from revetl.usecases.renames import links_left, take_over_renamed
from revetl.usecases.saga_plans import judge, released_by
from revetl.usecases.sagas import HeldSagas, Together, connected, hold_sagas

if TYPE_CHECKING:
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
    """Runs the syncs one after the other. The first that stops ends the rest: they may link to its records. A stop lets
    what is in flight end and be written down. `planners`: sync → what gives its plan, where that is not made anew.

    Raises ConfigError, GuardrailError, LeaseError and WarehouseError where a sync can't begin; those before it have
    sent, and `caller.on_sync` has heard of them.
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
    reports: list[SyncReport] = []
    specs = connected(project, warehouse, specs, caller)
    together = Together(project, warehouse, specs, caller, stop)
    released = released_by(warehouse, project.sagas()) if options.dry_run else {}
    with caller.stoppable(stop), _naming_the_rest(specs, caller) as begun:
        await take_over_renamed(project, warehouse, specs, caller)
        async with hold_sagas(together, command, options, planned=bool(planners)) as held:
            for spec in specs:
                if (saga := held.of(spec)) is not None:
                    await saga.begin()
                begun.append(spec.name)
                confirm = options.confirm or unattended(spec, options.allow)
                own = replace(
                    options,
                    planner=planners.get(spec.name),
                    confirm=confirm,
                    released=released.get(spec.name, ()),
                )
                report = await _sync_one(together, held, spec, command, own)
                report.plan.notes += await held.offload(links_left, project, warehouse, spec)
                reports.append(report)
                if not options.dry_run:
                    _tell(project, caller, report)
                if stop.is_set() or report.status in ("failed", "stopped") or held.undone:
                    break
    if options.dry_run:  # what stops a saga is known once all of its syncs are planned
        judge(warehouse, project.sagas(), [report.plan for report in reports], options.allow)
        for report in reports:
            caller.on_sync(report)
    return reports


def _tell(project: Project, caller: Caller, report: SyncReport) -> None:
    """Whoever listens hears of a sync that has ended."""
    remember_runs(project.artifacts.own, [report.run_id])
    for note in report.plan.notes:
        caller.note(f"{report.sync}: {note}")
    caller.on_sync(report)


@contextmanager
def _naming_the_rest(specs: Sequence[SyncSpec], caller: Caller) -> Iterator[list[str]]:
    """Gives a list for the names of the syncs that begin, and says at the end, however it comes, which of the others
    never did: they have no report, and without a word they would seem to have had nothing to send."""
    begun: list[str] = []
    try:
        yield begun
    finally:
        rest = [spec.name for spec in specs if spec.name not in begun]
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
                return await run_sync(ctx, spec, destination, options)
            async with saga.run(spec, ctx.run_id):
                report = await run_sync(ctx, spec, destination, options)
    return await saga.judge(report)
