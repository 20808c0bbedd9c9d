"""One sync from the model to the destination: lease → recover → plan → match → guardrails → apply → checkpoint → link.

`plan_sync` stops before anything is sent; `run_sync` goes on. Both hold the sync's lease and begin by healing what an
earlier run left behind. The destination is handed in open; who opened it closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

from revetl import __version__
from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.errors import GuardrailError, RevetlError
from revetl.model import Relation, RunRecord, RunStatus, SyncSpec
from revetl.state import snapshot
from revetl.state.leases import Holder
from revetl.state.sync_tables import Layout, resolve
from revetl.sync.apply import checkpoint, intents
from revetl.sync.apply.applier import Applier, Progress
from revetl.sync.leasing import leased
from revetl.sync.links import sending
from revetl.sync.plan import guardrails, lines, policies
from revetl.sync.plan.drafting import draft
from revetl.sync.plan.matching import Offload
from revetl.sync.recording import recorded
from revetl.sync.report import PlanSummary, SyncReport
from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class Planner:
    """Where a plan comes from. `plan` puts it into `plan__<sync>` and describes it, under the lease and after recovery.
    `links_from`: the keys and what they are linked to, where that is not the model as it stands now. `aged`: made some
    time ago, so that field policies are decided anew before anything is sent."""

    plan: Callable[[Warehouse, Layout, Offload], Awaitable[PlanSummary]]
    links_from: Relation | None = None
    aged: bool = False


async def plan_sync(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination | None,
    *,
    clock: Clock,
    run_id: str,
    limit: int | None = None,
    full_refresh: bool = False,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    offload: Offload = asyncio.to_thread,
) -> PlanSummary:
    """Freezes a plan and describes it. Sends nothing: with a destination its fields are checked and new records are
    looked up there; without one every new record counts as a create. Guardrails that it breaks stand in the summary.
    `full_refresh`: every record of the model is to be sent whole, changed or not.
    LeaseError where another run works on this sync for longer than `wait_s`. Safe to repeat."""
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:
        layout = await held.offload(_prepare, held.warehouse, spec)
        recovered = await held.offload(lambda: intents.recover(held.warehouse, layout, clock, present_run=run_id))
        plan = await draft(held.warehouse, layout, destination, run_id, limit, full_refresh, held.offload)
        plan.recovered = recovered
        return plan


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
    full_refresh: bool = False,
    progress: Progress | None = None,
    stop_event: asyncio.Event | None = None,
    confirm: Callable[[PlanSummary], bool] | None = None,
    dbt_invocation_id: str | None = None,
    allow: Collection[str] = (),
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    planner: Planner | None = None,
    offload: Offload = asyncio.to_thread,
    intent_rows: int | None = None,
) -> SyncReport:
    """Brings the destination to what the model says. Safe to repeat, and to repeat after a crash at any point.

    `full_refresh`: every record of the model is sent whole, and every link, changed or not; stopped half-way, the next
    run goes on with it. `confirm`: shown the plan before anything is sent; False ends the run as stopped. `stop_event`:
    once set, what is in flight is awaited and checkpointed, and the report says `interrupted`. `allow`: guardrails that
    may be passed, which is written down with the run. `planner`: gives a plan made before in place of a new one.
    `on_wait` hears who holds the sync, when there is somebody to wait for. Raises ConfigError, GuardrailError,
    LeaseError and WarehouseError (the run's row then says failed or stopped; without the lease there is no row); a
    destination that is away or refuses the credentials is told in the report, with its exit code, for other syncs may
    go on.
    """
    started_s = clock.monotonic()

    async def fresh(warehouse: Warehouse, layout: Layout, offload: Offload) -> PlanSummary:
        return await draft(warehouse, layout, destination, run_id, limit, full_refresh, offload)

    if dry_run:
        plan = await plan_sync(
            warehouse,
            spec,
            destination,
            clock=clock,
            run_id=run_id,
            limit=limit,
            full_refresh=full_refresh,
            wait_s=wait_s,
            on_wait=on_wait,
            offload=offload,
        )
        return SyncReport(run_id, spec.name, "done", plan, recovered=plan.recovered, dry_run=True)
    run = RunRecord(run_id, command, spec.name, target, clock.now(), __version__, dbt_invocation_id=dbt_invocation_id)
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:
        report = await _run(
            held.warehouse,
            spec,
            destination,
            run,
            planner or Planner(fresh),
            clock=clock,
            offload=held.offload,
            progress=progress,
            stop_event=stop_event,
            confirm=confirm,
            allow=allow,
            intent_rows=intent_rows,
        )
    report.seconds = clock.monotonic() - started_s
    return report


async def _run(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination,
    run: RunRecord,
    planner: Planner,
    *,
    clock: Clock,
    offload: Offload,
    progress: Progress | None,
    stop_event: asyncio.Event | None,
    confirm: Callable[[PlanSummary], bool] | None,
    allow: Collection[str],
    intent_rows: int | None,
) -> SyncReport:
    """Under the lease. The run's row is written first and last, however it ends."""
    layout = await offload(_prepare, warehouse, spec)
    run.started_at = clock.now()
    async with recorded(warehouse, run, destination, clock, offload):
        recovered = await offload(lambda: intents.recover(warehouse, layout, clock, present_run=run.run_id))
        plan = await planner.plan(warehouse, layout, offload)
        if planner.aged and plan.changes and policies.with_policy(layout):
            known = (await destination.describe(spec.object)).fields
            await policies.decide(warehouse, layout, destination, known, again=True, offload=offload)
            plan = await offload(lines.summarise, warehouse, layout, plan, None)
        run.overrides = guardrails.overridden(spec.name, plan.violations, allow)
        if plan.changes and confirm is not None and not confirm(plan):
            raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
        applier = await _apply(
            warehouse, layout, destination, run, plan, clock, offload, progress, stop_event, intent_rows
        )
        tied = sending.LinkReport()
        if spec.associate and applier.error is None:
            tied = await sending.send(
                warehouse,
                replace(layout, spec=replace(spec, relation=planner.links_from or spec.relation)),
                destination,
                run,
                full_refresh=plan.full_refresh,
                clock=clock,
                offload=offload,
                stop=stop_event,
            )
        report = _report(run, spec, plan, applier, tied, stop_event, recovered)
        run.status, run.error = report.status, report.error
    report.requests, report.retries = run.requests, run.retries
    return report


def _prepare(warehouse: Warehouse, spec: SyncSpec) -> Layout:
    layout = resolve(warehouse, spec)
    snapshot.prepare(warehouse, layout)
    return layout


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
    intent_rows: int | None,
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
    await offload(lambda: intents.begin(warehouse, layout, plan.plan_id, run.run_id, plan.changes, clock))
    if plan.full_refresh:
        await offload(snapshot.doubt_planned, warehouse, layout)
    await applier.apply()
    await offload(intents.finish, warehouse, layout, plan.plan_id)
    return applier


def _report(
    run: RunRecord,
    spec: SyncSpec,
    plan: PlanSummary,
    applier: Applier,
    tied: sending.LinkReport,
    stop_event: asyncio.Event | None,
    recovered: int,
) -> SyncReport:
    counts = {**applier.counts, **tied.counts}
    not_sent = plan.changes - applier.sent
    status: RunStatus = "done"
    exit_code = 0
    error = None
    if counts.keys() & {"rejected", "unknown", "links_rejected", "links_unknown"}:
        status, exit_code = "partial", 1
    if stop_event is not None and stop_event.is_set() and (not_sent or tied.not_sent):
        status, exit_code = "interrupted", 1
    stopped_by = applier.error or tied.error
    if stopped_by is not None:
        status = "failed"
        exit_code = stopped_by.exit_code if isinstance(stopped_by, RevetlError) else 1
        error = str(stopped_by) if isinstance(stopped_by, RevetlError) else type(stopped_by).__name__
    run.counts = counts
    return SyncReport(
        run.run_id,
        spec.name,
        status,
        plan,
        counts,
        not_sent,
        recovered,
        links_waiting=tied.waiting,
        links_not_sent=tied.not_sent,
        error=error,
        exit_code=exit_code,
    )
