"""One sync from the model to the destination: recover → plan → match → apply → checkpoint.

`plan_sync` stops before anything is sent; `run_sync` goes on. Both begin by healing what an earlier run left behind.
The destination is handed in open; who opened it closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from revetl import __version__
from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField
from revetl.errors import ConfigError, GuardrailError, Problem, RevetlError, did_you_mean
from revetl.model import RunRecord, RunStatus, SyncSpec
from revetl.state import plans, runs, snapshot
from revetl.state.layout import Layout, resolve
from revetl.sync import checkpoint, matching, planning, policies
from revetl.sync.applying import Applier, Progress
from revetl.sync.matching import Offload
from revetl.sync.report import PlanSummary, SyncReport
from revetl.warehouse.base import Warehouse


async def plan_sync(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination | None,
    *,
    clock: Clock,
    run_id: str,
    limit: int | None = None,
    offload: Offload = asyncio.to_thread,
) -> PlanSummary:
    """Freezes a plan and describes it. Sends nothing: with a destination its fields are checked and new records are
    looked up there; without one every new record counts as a create. Safe to repeat."""
    layout = await offload(_prepare, warehouse, spec)
    await offload(lambda: plans.recover(warehouse, layout, clock, present_run=run_id))
    return await _plan(warehouse, layout, destination, run_id, limit, offload)


async def run_sync(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination,
    *,
    clock: Clock,
    run_id: str,
    command: str,
    target: str,
    dry_run: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
    stop_event: asyncio.Event | None = None,
    confirm: Callable[[PlanSummary], bool] | None = None,
    dbt_invocation_id: str | None = None,
    offload: Offload = asyncio.to_thread,
    intent_rows: int = 10_000,
) -> SyncReport:
    """Brings the destination to what the model says. Safe to repeat, and to repeat after a crash at any point.

    `confirm`: shown the plan before anything is sent; False ends the run as stopped. `stop_event`: once set, what is
    in flight is awaited and checkpointed, and the report says `interrupted`. Raises
    ConfigError, GuardrailError and WarehouseError (the run's row then says failed or stopped); a destination that is
    away or refuses the credentials is told in the report, with its exit code, for other syncs may go on.
    """
    started_s = clock.monotonic()
    layout = await offload(_prepare, warehouse, spec)
    if dry_run:
        recovered = await offload(lambda: plans.recover(warehouse, layout, clock, present_run=run_id))
        plan = await _plan(warehouse, layout, destination, run_id, limit, offload)
        return SyncReport(run_id, spec.name, "done", plan, recovered=recovered, dry_run=True)
    run = RunRecord(run_id, command, spec.name, target, clock.now(), __version__, dbt_invocation_id=dbt_invocation_id)
    await offload(runs.start_run, warehouse, run)
    report: SyncReport | None = None
    try:
        recovered = await offload(lambda: plans.recover(warehouse, layout, clock, present_run=run_id))
        plan = await _plan(warehouse, layout, destination, run_id, limit, offload)
        if plan.changes and confirm is not None and not confirm(plan):
            raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
        applier = await _apply(
            warehouse, layout, destination, run, plan, clock, offload, progress, stop_event, intent_rows
        )
        report = _report(run, spec, plan, applier, stop_event, recovered)
        run.status, run.error = report.status, report.error
    except RevetlError as e:
        run.status, run.error = ("stopped" if isinstance(e, GuardrailError) else "failed"), str(e)
        raise
    except asyncio.CancelledError:
        run.status = "interrupted"
        raise
    except Exception as e:
        run.status, run.error = "failed", type(e).__name__
        raise
    finally:
        run.finished_at = clock.now()
        run.requests, run.retries = destination.requests, destination.retries
        await offload(runs.finish_run, warehouse, run)
    report.requests, report.retries = run.requests, run.retries
    report.seconds = clock.monotonic() - started_s
    return report


def _prepare(warehouse: Warehouse, spec: SyncSpec) -> Layout:
    layout = resolve(warehouse, spec)
    snapshot.prepare(warehouse, layout)
    plans.prepare(warehouse)
    return layout


async def _plan(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination | None,
    plan_id: str,
    limit: int | None,
    offload: Offload,
) -> PlanSummary:
    summary = await offload(lambda: planning.build(warehouse, layout, plan_id, limit=limit))
    batch_rows = None
    if destination is not None:
        spec = layout.spec
        batch_rows = destination.limits(spec.object).batch_rows
        counted = await offload(warehouse.rows, f"SELECT count(*) FROM {layout.t(layout.plan)}")
        if counted[0][0]:
            known = await destination.describe(spec.object)
            check_fields(spec, [f.name for f in layout.fields], known)
            policies.check(layout, destination, known)
            idempotent = destination.idempotent(spec.object, spec.match_on)
            await matching.match_new(warehouse, layout, destination, idempotent=idempotent, offload=offload)
            await policies.decide(warehouse, layout, destination, known, offload=offload)
    summarised: PlanSummary = await offload(planning.summarise, warehouse, layout, summary, batch_rows)
    return summarised


def check_fields(spec: SyncSpec, columns: Sequence[str], known: dict[str, DestinationField]) -> None:
    """ConfigError for every column that the destination's object has no field for, or that nobody may write."""
    where = spec.where or f"sync {spec.name}"
    target = f"{spec.destination} {spec.object}"
    problems = [
        Problem(f"{where}: {target} has no field {c!r}", hint=did_you_mean(c, [*known]))
        for c in columns
        if c not in known
    ]
    problems += [
        Problem(f"{where}: field {c!r} of {target} is read-only", hint="Leave the column out of the model.")
        for c in columns
        if c in known and known[c].read_only
    ]
    if problems:
        raise ConfigError(problems)


async def _apply(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination,
    run: RunRecord,
    plan: PlanSummary,
    clock: Clock,
    offload: Offload,
    progress: Progress | None,
    stop_event: asyncio.Event | None,
    intent_rows: int,
) -> Applier:
    run.counts = await offload(checkpoint.settled_in_plan, warehouse, layout, run, clock)
    applier = Applier(
        warehouse,
        layout,
        destination,
        run,
        plan.plan_id,
        plan.changes,
        clock=clock,
        offload=offload,
        progress=progress,
        stop=stop_event,
        intent_rows=intent_rows,
    )
    if not plan.changes:
        return applier
    await offload(checkpoint.prepare, warehouse, layout)
    await offload(lambda: plans.begin(warehouse, layout, plan.plan_id, run.run_id, plan.changes, clock))
    await applier.apply()
    await offload(plans.finish, warehouse, layout, plan.plan_id)
    return applier


def _report(
    run: RunRecord,
    spec: SyncSpec,
    plan: PlanSummary,
    applier: Applier,
    stop_event: asyncio.Event | None,
    recovered: int,
) -> SyncReport:
    counts = dict(applier.counts)
    not_sent = plan.changes - applier.sent
    status: RunStatus = "done"
    exit_code = 0
    error = None
    if counts.get("rejected") or counts.get("unknown"):
        status, exit_code = "partial", 1
    if stop_event is not None and stop_event.is_set() and not_sent:
        status, exit_code = "interrupted", 1
    if applier.error is not None:
        status = "failed"
        exit_code = applier.error.exit_code if isinstance(applier.error, RevetlError) else 1
        error = str(applier.error) if isinstance(applier.error, RevetlError) else type(applier.error).__name__
    run.counts = counts
    return SyncReport(
        run.run_id, spec.name, status, plan, counts, not_sent, recovered, error=error, exit_code=exit_code
    )
