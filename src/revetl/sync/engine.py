"""One sync from the model to the destination: lease → recover → plan → match → guardrails → apply → checkpoint → link.

`plan_sync` stops before anything is sent; `run_sync` goes on. Both hold the sync's lease and begin by healing what an
earlier run left behind. The destination is handed in open; who opened it closes it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.errors import GuardrailError, of_whole_destination
from revetl.model import RunRecord, SyncSpec
from revetl.state import disconnections, runs, snapshot, syncs
from revetl.state.sync_tables import SyncTables
from revetl.sync import restored
from revetl.sync.apply import recovery
from revetl.sync.apply.applier import Applied, apply_plan
from revetl.sync.apply.checkpoint import FrozenPlan
from revetl.sync.counting import done_counts
from revetl.sync.leasing import under_lease
from revetl.sync.links import sending
from revetl.sync.lost_connection import again
from revetl.sync.options import SyncOptions
from revetl.sync.plan import (
    came_back,
    consequences,
    equal_forms,
    erasing,
    guardrails,
    handovers,
    key_property,
    lines,
    matching,
    multi_select,
    new_fields,
    policies,
    removals,
    standing,
)
from revetl.sync.plan.drafting import draft
from revetl.sync.plan.summary import PlanSummary, Refresh
from revetl.sync.recording import how_it_ended, recorded
from revetl.sync.references import missing
from revetl.sync.references.missing import REFERENCE_MISSING
from revetl.sync.report import SyncReport
from revetl.sync.retry import queue
from revetl.sync.sync_run import SyncRun

log = logging.getLogger("revetl.sync")


async def plan_sync(
    ctx: RunContext, spec: SyncSpec, destination: Destination | None, options: SyncOptions = SyncOptions()
) -> PlanSummary:
    """Freezes a plan and describes it. Sends nothing: with a destination its fields are checked and new records are
    looked up there; without one every new record counts as a create. Guardrails that it breaks stand in the summary.
    LeaseError where another run works on this sync for longer than `ctx.wait` says. Safe to repeat."""
    async with under_lease(ctx, spec) as held:
        named = _knowing(held, destination)

        async def planned() -> PlanSummary:
            await named.on_tables(_know, named.ctx.state_dir, None)
            run = await equal_forms.know_null_texts(named, destination)
            older = await restored.look(run)
            healed = await recovery.heal(run, destination)
            refresh = restored.refresh(spec, destination, older, asked=options.full_refresh)
            plan = await draft(
                run, destination, options.released, limit=options.limit, refresh=refresh, only_plans=True
            )
            restored.judge(spec, destination, plan, older)
            plan.recovered = healed.recovered
            return plan

        return await again(named.ctx, planned)


async def run_sync(
    ctx: RunContext, spec: SyncSpec, destination: Destination, options: SyncOptions = SyncOptions()
) -> SyncReport:
    """Brings the destination to what the model says. Safe to repeat, and to repeat after a crash at any point.

    Once `ctx.stop` is set, what is in flight is awaited and checkpointed, and the report says `interrupted`. Raises
    ConfigError, GuardrailError, LeaseError and WarehouseError (the run's row then says failed or stopped; without the
    lease there is no row). A destination that is away or refuses the credentials stands in the report, with its exit
    code, since other syncs may go on.
    """
    started_s = ctx.clock.monotonic()
    if options.dry_run:
        plan = await plan_sync(ctx, spec, destination, options)
        return SyncReport(ctx.run_id, spec.name, "done", plan, recovered=plan.recovered, dry_run=True)
    async with under_lease(ctx, spec) as held:
        report = await _run(_knowing(held, destination), destination, options)
    report.seconds = ctx.clock.monotonic() - started_s
    return report


def _knowing(run: SyncRun, destination: Destination | None) -> SyncRun:
    """The run, knowing how the destination's records are named."""
    return replace(run, tables=replace(run.tables, by_id=consequences.finds_by_id(run.spec, destination)))


async def _run(run: SyncRun, destination: Destination, options: SyncOptions) -> SyncReport:
    """Under the lease. The run's row is written first and last, however it ends."""
    spec = run.spec
    async with recorded(run, destination) as record:
        await again(run.ctx, lambda: run.on_tables(_know, run.ctx.state_dir, record.run_id))
        run = await equal_forms.know_null_texts(run, destination)
        older = await again(run.ctx, lambda: restored.look(run))
        healed = await again(run.ctx, lambda: recovery.heal(run, destination))
        refresh = restored.refresh(spec, destination, older, asked=options.full_refresh)
        plan = await again(run.ctx, lambda: _plan(run, destination, options, refresh))
        restored.judge(spec, destination, plan, older)
        log.info("plan frozen", extra={"run_id": record.run_id, "sync": spec.name, **_counted(plan)})
        record.overrides = guardrails.overridden(spec.name, plan.violations, options.allow)
        if plan.changes and options.confirm is not None and not options.confirm(plan):
            raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
        if plan.changes:
            await key_property.make(spec, destination)
            await new_fields.make(run.tables, destination)
        if (plan.changes or plan.links.changes) and older is None:
            await restored.remember(run)
        frozen = FrozenPlan(
            plan.plan_id,
            plan.changes,
            snapshot.queue_refused,
            full_refresh=plan.full_refresh,
            intent_rows=options.intent_rows,
            by_jobs=True,
            erases=spec.erases,
        )
        applier = await apply_plan(run, destination, record, frozen, stage="sending")
        links = sending.LinkReport()
        if spec.associate and applier.error is None:
            of_links = _with_links_of(run, options)
            model_now = None if of_links is run else spec.relation
            links = await sending.send(
                of_links, destination, record, full_refresh=plan.full_refresh, model_now=model_now
            )
            if links.came_back:
                plan.notes.append(
                    f"{links.came_back:,} link(s) not removed: the model names them again since the plan was made"
                )
        waiting = await run.on_tables(queue.counts)
        unresolved = await run.on_tables(lambda tables: missing.of_fields(tables, standing=True))
        links.unresolved = await run.on_tables(lambda tables: missing.of_links(tables, standing=True))
        report = _report(run, record, plan, applier, links, healed, waiting, unresolved)
        report.done = await run.on_tables(done_counts, record.run_id, plan, applier.answered)
        record.status, record.error = report.status, report.error
        if older is not None and options.limit is None and report.status in ("done", "partial"):
            await restored.remember(run)  # before, a run that broke off would have made it look healed
    report.requests, report.retries = record.requests, record.retries
    return report


def _know(tables: SyncTables, state_dir: Path | None, run_id: str | None) -> None:
    """Writes down what the sync is as this run sends it. GuardrailError where its destination was left: that may have
    been done while this run waited for the lease."""
    name = tables.spec.name
    known = syncs.read(tables.warehouse, name)
    since = disconnections.of_syncs(tables.warehouse, state_dir, [name]).get(name)
    if since is not None:
        raise GuardrailError(
            f"{name} was disconnected on {since:%Y-%m-%d %H:%M} UTC; nothing was sent"
            f"\n  `revetl disconnect {name}` ends what is left of it, `--reconnect` lets runs send it again."
        )
    if run_id is not None:
        syncs.remember(tables, known, run_id)


async def _plan(run: SyncRun, destination: Destination, options: SyncOptions, refresh: Refresh) -> PlanSummary:
    if options.planner is None:
        return await draft(run, destination, limit=options.limit, refresh=refresh)
    if refresh is not Refresh.NONE:  # a saved plan never is one
        raise GuardrailError(f"{run.spec.name}: the warehouse is older than the destination; make a new plan")
    plan = await options.planner.plan(run)
    if plan.changes:
        schema = await destination.describe(run.spec.object)
        if schema.kind == "records":
            await run.on_tables(came_back.withhold)
            described = new_fields.described(run.tables, destination, schema.fields)
            found = await standing.read(run, destination, described, again=True)
            if found.read:
                await run.on_tables(standing.decide)
            await removals.decide(run, destination, read=bool(found.read))
            await matching.look_again(run, destination)
            await policies.decide(run, destination, described)
            await handovers.decide(run, destination, described, plan)
            await multi_select.decide(run, destination, described)
            plan = await run.on_tables(lines.summarise, plan)
        plan.notes += [*new_fields.said(plan.new_fields), *erasing.said(plan.erased)]
    return plan


def _counted(plan: PlanSummary) -> dict[str, int]:
    return {
        "create": plan.create,
        "adopt": plan.adopt,
        "update": plan.update,
        "delete": plan.delete,
        "withheld": plan.withheld,
        "waiting": plan.waiting,
        "unchanged": plan.unchanged,
    }


def _with_links_of(run: SyncRun, options: SyncOptions) -> SyncRun:
    """The run, reading what is linked from where the planner says."""
    if options.planner is None or options.planner.links_from is None:
        return run
    spec = replace(run.spec, relation=options.planner.links_from)
    return replace(run, tables=replace(run.tables, spec=spec))


def _report(
    run: SyncRun,
    record: RunRecord,
    plan: PlanSummary,
    applier: Applied,
    links: sending.LinkReport,
    healed: recovery.Healed,
    waiting: queue.WaitingCounts,
    unresolved: dict[str, int],
) -> SyncReport:
    of_fields = {f"{REFERENCE_MISSING} ({name})": n for name, n in unresolved.items()}
    of_links = {f"{code}{runs.OF_LINKS}": n for code, n in links.refused.items()}
    of_links |= {f"{REFERENCE_MISSING} ({name}){runs.OF_LINKS}": n for name, n in links.unresolved.items()}
    record.counts, record.waiting = {**applier.counts, **links.counts}, waiting.reasons | of_links | of_fields
    not_sent = plan.changes - applier.sent
    # What was refused waits: by that it is judged, in this run and in every later one.
    counted = (record.counts.keys() | healed.followed.keys()) - {"rejected", "links_rejected"}
    refused = waiting.refused + max(unresolved.values(), default=0)
    refused += sum(links.refused.values()) + sum(links.unresolved.values())
    status, exit_code, error = how_it_ended(
        counted
        | ({"withheld"} if plan.held else set())
        | ({"waiting"} if refused > run.spec.guardrails.max_waiting else set()),
        interrupted=run.ctx.stop.is_set() and bool(not_sent or links.not_sent),
        error=applier.error or links.error,
    )
    return SyncReport(
        record.run_id,
        run.spec.name,
        status,
        plan,
        record.counts,
        dict(applier.not_applied),
        not_sent,
        healed.recovered,
        given_up=healed.given_up,
        followed=healed.followed,
        jobs_running=applier.jobs_running,
        waiting=waiting.statuses,
        waiting_reasons=waiting.reasons,
        unresolved=unresolved,
        links_waiting=links.waiting,
        links_unresolved=links.unresolved,
        links_refused=links.refused,
        links_not_sent=links.not_sent,
        error=error,
        destination_stopped=of_whole_destination(applier.error or links.error),
        exit_code=exit_code,
    )
