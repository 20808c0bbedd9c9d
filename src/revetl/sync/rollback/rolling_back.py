"""Take back what one run of one sync wrote: read what stands there now, decide field by field, and send it as a run.

What can fail between the steps is in docs/design/rollback.md. Nothing here is sent that was not read a moment ago, and
no value is restored over one that somebody else has put there since; but where a destination can't be read, what it was
sent last is taken to stand there, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import PublishesRuns, requests_of, write_only
from revetl.errors import ConfigError, GuardrailError
from revetl.model import Operation, RunRecord, RunStatus, SyncSpec
from revetl.state import snapshot
from revetl.sync import restored
from revetl.sync.apply import recovery
from revetl.sync.apply.applier import apply_plan
from revetl.sync.apply.checkpoint import FrozenPlan
from revetl.sync.batching import write_rows
from revetl.sync.leasing import under_lease
from revetl.sync.links import sending
from revetl.sync.lost_connection import again
from revetl.sync.plan import handovers
from revetl.sync.recording import how_it_ended, recorded
from revetl.sync.retry import queue
from revetl.sync.rollback import plan as rollback_plan
from revetl.sync.rollback import verdicts
from revetl.sync.rollback.decisions import decide
from revetl.sync.rollback.judge import RollbackChoices
from revetl.sync.rollback.plan import RollbackPlan
from revetl.sync.sync_run import SyncRun

__all__ = ["RollbackChoices", "RollbackOptions", "RollbackPlan", "RollbackReport", "roll_back"]

UNSEEN = "the destination can't be read: values are sent over whatever people may have written there since"
PUBLISHED = "the values of before are given once more, as a run of its own: what that run published stands as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOptions:
    """dry_run     decide, and send nothing; writes no row of `runs`
    confirm        shown the plan before anything is sent; False ends the run as stopped
    intent_rows    how many records a durable intent reaches ahead; None: as the destination's pace asks for
    """

    dry_run: bool = False
    confirm: Callable[[RollbackPlan], bool] | None = None
    intent_rows: int | None = None


@dataclass(slots=True)
class RollbackReport:
    """One rollback of one sync's run."""

    run_id: str
    sync: str
    status: RunStatus
    plan: RollbackPlan
    counts: dict[str, int] = field(default_factory=dict)  # outcome status → records; `skipped` were left alone
    not_sent: int = 0
    waiting: dict[str, int] = field(default_factory=dict)  # status in the retry queue → records, after this rollback
    waiting_reasons: dict[str, int] = field(default_factory=dict)  # the same by error code, or what a person decided
    requests: int = 0
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    dry_run: bool = False


async def roll_back(
    ctx: RunContext,
    spec: SyncSpec,
    destination: Destination,
    undone: RunRecord,
    choices: RollbackChoices = RollbackChoices(),
    options: RollbackOptions = RollbackOptions(),
) -> RollbackReport:
    """Takes back run `undone` of this sync. Safe to repeat, and to repeat after a crash at any point: what is restored
    already is seen to stand there. Raises as `run_sync`, and ConfigError where the sync remembers nothing that it sent:
    it was disconnected."""
    started_s = ctx.clock.monotonic()
    if not await again(ctx, lambda: ctx.offload(snapshot.stands, ctx.warehouse, spec.name)):
        message = f"{spec.name} remembers no record of {spec.destination} {spec.object}: nothing can be taken back"
        raise ConfigError(message, hint="A disconnect forgot them. Connected again, the next sync finds them.")
    async with under_lease(ctx, spec) as run:
        # What an earlier run left is a sync's: merged with its rules, or a value that they kept would be lost here.
        await again(run.ctx, lambda: recovery.heal(run, destination))
        run = replace(run, tables=rollback_plan.without_rules(run.tables))
        if options.dry_run:
            plan = await again(run.ctx, lambda: _plan(run, destination, undone, choices))
            requests = requests_of(destination)[0]
            return RollbackReport(ctx.run_id, spec.name, "done", plan, requests=requests, dry_run=True)
        async with recorded(run, destination, undoes=undone.run_id) as record:
            plan = await again(run.ctx, lambda: _plan(run, destination, undone, choices))
            if plan.changes and options.confirm is not None and not options.confirm(plan):
                raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
            await restored.remember(run)
            links = sending.LinkReport()
            if choices.links and run.spec.associate:  # before the records that they tie
                links = await sending.take_back(run, destination, record, undone.run_id)
                plan.links = 0
            if links.error is not None or links.not_sent:
                report = _links_broke_off(run, record, plan, links)
            else:
                report = await _apply(run, destination, record, plan, options, links)
            waiting = await run.on_tables(queue.counts)
            report.waiting, report.waiting_reasons = waiting.statuses, waiting.reasons
            record.waiting = waiting.reasons
            record.status, record.error = report.status, report.error
    report.requests, report.seconds = record.requests, ctx.clock.monotonic() - started_s
    return report


async def _plan(run: SyncRun, destination: Destination, undone: RunRecord, choices: RollbackChoices) -> RollbackPlan:
    before = requests_of(destination)[0]
    await decide(run, destination, undone, choices)
    reads = requests_of(destination)[0] - before
    plan = await plan_decided(run, destination, undone, choices)
    plan.reads = reads
    return plan


async def plan_decided(
    run: SyncRun, destination: Destination, undone: RunRecord, choices: RollbackChoices
) -> RollbackPlan:
    """Freezes the plan that follows from `rollback__<sync>`. Sends nothing; safe to repeat."""
    await run.on_tables(rollback_plan.freeze, run.ctx.run_id, undone.run_id)
    described = (await destination.describe(run.spec.object)).fields
    withheld = await handovers.decide(run, destination, described)
    await run.on_tables(verdicts.leave_withheld, [(w.key, w.field, w.why, w.whole) for w in withheld])
    plan = await run.on_tables(rollback_plan.summarise, undone, choices)
    if isinstance(destination, PublishesRuns):
        plan.consequences.append(PUBLISHED)
    elif write_only(destination):
        plan.consequences.append(UNSEEN)
    records = {Operation.UPDATE: plan.restore, Operation.DELETE: plan.archive, Operation.CREATE: plan.recreate}
    plan.requests = sum(-(-n // write_rows(destination, run.spec.object, n, op)) for op, n in records.items())
    return plan


def _links_broke_off(run: SyncRun, record: RunRecord, plan: RollbackPlan, links: sending.LinkReport) -> RollbackReport:
    """Then no record is sent: links go before the records that they tie."""
    status, exit_code, error = how_it_ended(links.counts, interrupted=run.ctx.stop.is_set(), error=links.error)
    record.counts = links.counts
    return RollbackReport(
        record.run_id, plan.sync, status, plan, record.counts, plan.changes, error=error, exit_code=exit_code
    )


async def _apply(
    run: SyncRun,
    destination: Destination,
    record: RunRecord,
    plan: RollbackPlan,
    options: RollbackOptions,
    links: sending.LinkReport,
) -> RollbackReport:
    """As the plan of a sync is applied, but for what waits afterwards."""
    frozen = FrozenPlan(record.run_id, plan.changes, rollback_plan.queue_restored, intent_rows=options.intent_rows)
    applier = await apply_plan(run, destination, record, frozen, stage="restoring")
    record.counts, not_sent = {**applier.counts, **links.counts}, plan.changes - applier.sent
    interrupted = run.ctx.stop.is_set() and bool(not_sent)
    status, exit_code, error = how_it_ended(record.counts, interrupted=interrupted, error=applier.error)
    return RollbackReport(
        record.run_id, plan.sync, status, plan, record.counts, not_sent, error=error, exit_code=exit_code
    )
