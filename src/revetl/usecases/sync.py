"""`revetl sync`: what changed in the activation models is sent, sync by sync. `push` is what other commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from revetl.errors import GuardrailError
from revetl.model import SyncSpec
from revetl.project.recent_runs import remember_runs
from revetl.sync import SyncOptions, run_sync
from revetl.usecases import exit_codes
from revetl.usecases.caller import Caller
from revetl.usecases.renames import links_left, take_over_renamed

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import PlanSummary, SyncReport
    from revetl.sync.plan.planner import Planner
    from revetl.warehouse.base import Warehouse


# A person reads ten lines of `revetl runs show` at a glance, and can take them back. Of more, nobody looks at each.
FEW_DELETIONS = 10


def asks_before_deleting(ask: Callable[[PlanSummary], bool] | None) -> Callable[[PlanSummary], bool] | None:
    """The policy of every command that syncs: only deletions are asked about. None where nobody can be asked."""
    if ask is None:
        return None
    return lambda plan: not plan.new_deletions or ask(plan)


def agrees(_plan: PlanSummary) -> bool:
    """Somebody agreed to the deletions beforehand: --yes, or a plan that was saved to be looked at."""
    return True


def _unattended(spec: SyncSpec, allow: Collection[str]) -> Callable[[PlanSummary], bool]:
    """Where nobody can be asked: a few deletions go on, and as many as a guardrail in the yml or --allow names."""

    def confirm(plan: PlanSummary) -> bool:
        if plan.new_deletions <= FEW_DELETIONS or spec.guardrails.deletes_declared or "deleted" in allow:
            return True
        verb = "erased" if plan.erased else "deleted" if plan.delete else "cleared"
        raise GuardrailError(
            f"{spec.name}: nothing was sent: {plan.new_deletions:,} records would be {verb} at {plan.destination}, more"
            f" than {FEW_DELETIONS}, and nobody could be asked"
            f"\n  Look at it with `revetl plan`. --yes agrees; `guardrails: {{max_deleted_share: 0.1}}` in {spec.where}"
            " lets up to that share go without asking."
        )

    return confirm


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
    with caller.stoppable(stop), _naming_the_rest(specs, caller) as begun:
        await take_over_renamed(project, warehouse, specs, caller)
        for spec in specs:
            begun.append(spec.name)
            confirm = options.confirm or _unattended(spec, options.allow)
            own = replace(options, planner=planners.get(spec.name), confirm=confirm)
            report = await _sync_one(project, warehouse, spec, command, own, caller, stop)
            report.plan.notes += links_left(project, warehouse, spec)
            reports.append(report)
            if not options.dry_run:
                remember_runs(project.artifacts.own, [report.run_id])
            for note in report.plan.notes if not options.dry_run else ():  # a plan that is shown has them
                caller.note(f"{spec.name}: {note}")
            caller.on_sync(report)
            if stop.is_set() or report.status in ("failed", "stopped"):
                break
    return reports


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
    project: Project,
    warehouse: Warehouse,
    spec: SyncSpec,
    command: str,
    options: SyncOptions,
    caller: Caller,
    stop: asyncio.Event,
) -> SyncReport:
    async with project.destination(spec.destination, caller.clock) as destination:
        with caller.stages(spec.name) as stages:
            built_by = project.dbt_invocation_id
            ctx = caller.context(project, warehouse, command, stop=stop, stages=stages, dbt_invocation_id=built_by)
            return await run_sync(ctx, spec, destination, options)
