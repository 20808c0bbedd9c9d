"""Leaving a destination, step by step: look → say → mark → take back → hand over → forget.

| dies | then |
|---|---|
| before the mark | nothing was sent |
| after it | no run sends anything of the sync any more; the same command goes on |
| with records in flight | they are in doubt, as in any run; the next disconnect reads them and decides on them |
| while the state goes | the snapshot is the last that goes: the next disconnect finds the rest |

The state stays where anything was refused or its answer was lost: without it nobody could finish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import requests_of
from revetl.errors import GuardrailError
from revetl.model import RunRecord, RunStatus
from revetl.state import disconnections, forgetting, syncs
from revetl.state.schema import create_all
from revetl.state.snapshot import prepare
from revetl.state.sync_tables import SyncTables
from revetl.state.syncs import RememberedSync
from revetl.sync import restored
from revetl.sync.apply import recovery
from revetl.sync.apply.applier import apply_plan
from revetl.sync.apply.checkpoint import FrozenPlan
from revetl.sync.disconnect import mapping, state_tables, taking_back
from revetl.sync.disconnect.inventory import Inventory
from revetl.sync.disconnect.taking_back import Leaving
from revetl.sync.leasing import leased
from revetl.sync.links import sending
from revetl.sync.lost_connection import again
from revetl.sync.plan.consequences import finds_by_id
from revetl.sync.recording import how_it_ended, recorded
from revetl.sync.rollback.plan import RollbackPlan
from revetl.sync.rollback.rolling_back import RollbackChoices, plan_decided
from revetl.sync.sync_run import SyncRun


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectOptions:
    """way          what becomes of what stands there
    mapping        a file for key → record id; None: none is written
    dry_run        decide, and change nothing; writes no row of `runs`
    confirm        shown the plan before anything is changed; False ends it there
    intent_rows    as of a rollback
    """

    way: Leaving = Leaving.LEAVE
    mapping: Path | None = None
    dry_run: bool = False
    confirm: Callable[[DisconnectPlan], bool] | None = None
    intent_rows: int | None = None


@dataclass(slots=True)
class DisconnectPlan:
    """`changes`: what is taken back of records, None where they are left as they stand. `unlink`: links that go,
    and `unlink_requests` how many requests that takes."""

    sync: str
    destination: str
    object: str
    way: Leaving
    standing: Inventory
    changes: RollbackPlan | None = None
    unlink: int = 0
    unlink_requests: int = 0
    tables: list[str] = field(default_factory=list)  # of its state, which go


@dataclass(slots=True)
class DisconnectReport:
    """`disconnected`: the state is gone, and no run sends anything of the sync."""

    run_id: str
    sync: str
    status: RunStatus
    plan: DisconnectPlan
    counts: dict[str, int] = field(default_factory=dict)  # outcome status → records; `skipped` were left alone
    not_sent: int = 0
    mapped: int = 0  # keys in the file
    disconnected: bool = False
    already: bool = False  # there was nothing left to do
    requests: int = 0
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    dry_run: bool = False


async def disconnect(
    ctx: RunContext,
    known: RememberedSync,
    destination: Destination | None,
    options: DisconnectOptions = DisconnectOptions(),
) -> DisconnectReport:
    """Leaves the destination of this sync. `destination` is None where nothing is asked of it (`Leaving.LEAVE`). Safe
    to repeat, and to repeat after a crash at any point. Raises as `roll_back`; OSError where the file of the mapping,
    or the one that stands beside the project (`disconnections`), can't be written: then the state stays."""
    started_s = ctx.clock.monotonic()
    if options.mapping is not None:
        mapping.check(options.mapping)
    async with leased(ctx, known.sync) as ctx:
        run = await again(ctx, lambda: _on_state(ctx, known, destination))
        plan = await again(ctx, lambda: _plan(run, known, destination, options.way))
        report = DisconnectReport(ctx.run_id, known.sync, "done", plan, dry_run=options.dry_run)
        if known.disconnected_at is not None and not plan.tables:
            report.disconnected = report.already = True
            return report
        if not options.dry_run:
            if options.confirm is not None and not options.confirm(plan):
                raise GuardrailError(f"{known.sync}: not confirmed; nothing was changed")
            async with recorded(run, destination) as record:
                await again(ctx, lambda: ctx.offload(_mark, ctx, known))
                await _take_back(run, destination, record, report, options)
                if report.status == "done":
                    await _end(run, report, options)
                record.status, record.error = report.status, report.error
    report.requests, report.seconds = requests_of(destination)[0], ctx.clock.monotonic() - started_s
    return report


async def _on_state(ctx: RunContext, known: RememberedSync, destination: Destination | None) -> SyncRun:
    await ctx.offload(create_all, ctx.warehouse)
    by_id = finds_by_id(state_tables.as_spec(known), destination)
    tables = await ctx.offload(lambda: state_tables.open_tables(ctx.warehouse, known, by_id=by_id))
    run = SyncRun(ctx, tables)
    if tables.fields:
        await run.on_tables(prepare)
    return run


async def _plan(run: SyncRun, known: RememberedSync, destination: Destination | None, way: Leaving) -> DisconnectPlan:
    """What stands there, and what would be done about it. Heals first what an earlier run left behind."""
    sync, tables = known.sync, run.tables
    plan = DisconnectPlan(sync, known.destination, known.object, way, Inventory())
    if tables.fields:
        if destination is None:  # jobs that still run there are left to themselves
            await run.on_tables(recovery.recover, run.ctx.clock.now(), present_run=run.ctx.run_id)
        else:
            await recovery.heal(run, destination)
        plan.standing = await taking_back.take_stock(run)
        if destination is not None:
            every = await taking_back.decide(run, destination, way, known.metadata)
            plan.changes = await plan_decided(run, destination, every, RollbackChoices())
            if way is Leaving.CLEAR:
                links, rows = plan.standing.links.values(), destination.limits(known.object).unlink_rows
                plan.unlink, plan.unlink_requests = sum(links), sum(-(-n // rows) for n in links)
    own = tables.relation(state_tables.KIND).name
    present = await run.ctx.offload(forgetting.left_of, run.ctx.warehouse, sync)
    plan.tables = [name for name in present if name != own]
    return plan


def _mark(ctx: RunContext, known: RememberedSync) -> None:
    disconnections.keep(ctx.state_dir, known.sync, ctx.run_id, ctx.clock.now())
    syncs.begin_disconnect(ctx.warehouse, known, ctx.run_id, ctx.clock.now())


async def _take_back(
    run: SyncRun,
    destination: Destination | None,
    record: RunRecord,
    report: DisconnectReport,
    options: DisconnectOptions,
) -> None:
    """Records, then links. The report says how it ended."""
    changes = report.plan.changes
    if destination is None or changes is None:
        return
    frozen = FrozenPlan(record.run_id, changes.changes, _nothing_waits, intent_rows=options.intent_rows)
    applier = await apply_plan(run, destination, record, frozen, stage=f"{options.way.value}ing")
    record.counts, report.not_sent = dict(applier.counts), changes.changes - applier.sent
    error, links_left = applier.error, 0
    if report.plan.unlink and error is None:
        links = await sending.send(run, destination, record, full_refresh=False)
        record.counts |= links.counts
        error, links_left = links.error, links.not_sent
    interrupted = run.ctx.stop.is_set() and bool(report.not_sent or links_left)
    report.status, report.exit_code, report.error = how_it_ended(record.counts, interrupted=interrupted, error=error)
    report.counts = record.counts


def _nothing_waits(_tables: SyncTables, _answered: str, _now: object, _run_id: str) -> None:
    """The retry queue goes with the rest of the state."""


async def _end(run: SyncRun, report: DisconnectReport, options: DisconnectOptions) -> None:
    """Hands the mapping over; then the state goes."""
    ctx, sync = run.ctx, run.spec.name
    if options.mapping is not None and run.tables.fields:
        report.mapped = await run.on_tables(mapping.write, options.mapping)
    await restored.forget(run)
    await again(ctx, lambda: ctx.offload(forgetting.forget, ctx.warehouse, sync))
    await again(ctx, lambda: ctx.offload(syncs.end_disconnect, ctx.warehouse, sync, ctx.clock.now()))
    report.disconnected = True
