"""Take back what one run of one sync wrote: read what stands there now, decide field by field, and send it as a run.

What can fail between the steps is in docs/design/undo.md. Nothing here is sent that was not read a moment ago, and no
value is restored over one that somebody else has put there since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from revetl import __version__
from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import requests_of
from revetl.errors import GuardrailError, RevetlError
from revetl.model import RunRecord, RunStatus, Scalar, SyncSpec
from revetl.state import snapshot
from revetl.state.leases import Holder
from revetl.state.sync_tables import Layout, resolve
from revetl.sync.apply import checkpoint, intents
from revetl.sync.apply.applier import Applier
from revetl.sync.leasing import leased
from revetl.sync.plan.matching import Offload
from revetl.sync.recording import recorded
from revetl.sync.rollback import rollback_table
from revetl.sync.rollback.decisions import Choices, Progress, decide
from revetl.warehouse.base import Warehouse

__all__ = ["Choices", "Progress", "RollbackPlan", "RollbackReport", "roll_back"]

_SAMPLES = 5


@dataclass(slots=True)
class RollbackPlan:
    """What a rollback will do, in records; `fields`: field → verdict → records. `already`: stands as before the run, or
    is gone as asked.
    `left` records get nothing; fields that are left in records that get something are in `fields` and `reasons`:
    (why, whether the whole record is left, how many). `links` that the run made or removed are left: the next sync of a
    mended model puts them right. The lines stand in `rollback__<sync>`."""

    undone_run: str
    sync: str
    destination: str
    object: str
    restore: int = 0
    archive: int = 0
    recreate: int = 0
    already: int = 0
    left: int = 0
    links: int = 0
    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: list[tuple[str, bool, int]] = field(default_factory=list)
    samples: list[dict[str, Scalar]] = field(default_factory=list)
    requests: int = 0

    @property
    def changes(self) -> int:
        """Records that will be sent."""
        return self.restore + self.archive + self.recreate


@dataclass(slots=True)
class RollbackReport:
    """One rollback of one sync's run. `counts`: outcome status → records, `skipped` being those left alone."""

    run_id: str
    sync: str
    status: RunStatus
    plan: RollbackPlan
    counts: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0
    requests: int = 0
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    dry_run: bool = False


async def roll_back(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination,
    undone: RunRecord,
    choices: Choices,
    *,
    clock: Clock,
    run_id: str,
    target: str,
    dry_run: bool = False,
    confirm: Callable[[RollbackPlan], bool] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    stop_event: asyncio.Event | None = None,
    offload: Offload = asyncio.to_thread,
    intent_rows: int | None = None,
) -> RollbackReport:
    """Undoes run `undone` of this sync. Safe to repeat, and to repeat after a crash at any point: what is restored
    already is seen to stand there.

    `confirm`: shown the plan before anything is sent; False ends the run as stopped. `progress`: given a word for what
    goes on, gives what is told of it. `wait_s` and `on_wait` are for a sync that another run holds. Raises as
    `run_sync`.
    """
    started_s = clock.monotonic()
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:
        warehouse, offload = held.warehouse, held.offload
        layout = await offload(_prepare, warehouse, spec)
        await offload(lambda: intents.recover(warehouse, layout, clock, present_run=run_id))
        told = progress or _untold
        work = _Work(warehouse, rollback_table.unruled(layout), destination, clock, offload)
        if dry_run:
            plan = await work.plan(run_id, undone, choices, told("reading"))
            return RollbackReport(run_id, spec.name, "done", plan, requests=requests_of(destination)[0], dry_run=True)
        run = RunRecord(
            run_id, rollback_table.COMMAND, spec.name, target, clock.now(), __version__, undoes=undone.run_id
        )
        async with recorded(warehouse, run, destination, clock, offload):
            plan = await work.plan(run_id, undone, choices, told("reading"))
            if plan.changes and confirm is not None and not confirm(plan):
                raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
            applier = await work.apply(run, plan, told("restoring"), stop_event, intent_rows)
            report = _report(run, plan, applier, stop_event)
            run.status, run.error = report.status, report.error
    report.requests, report.seconds = run.requests, clock.monotonic() - started_s
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    """The two halves of a rollback, over one lease."""

    warehouse: Warehouse
    layout: Layout
    destination: Destination
    clock: Clock
    offload: Offload

    async def plan(self, plan_id: str, undone: RunRecord, choices: Choices, progress: Progress | None) -> RollbackPlan:
        await decide(
            self.warehouse, self.layout, self.destination, undone, choices, offload=self.offload, progress=progress
        )
        await self.offload(rollback_table.freeze, self.warehouse, self.layout, plan_id, undone.run_id)
        plan: RollbackPlan = await self.offload(_summarise, self.warehouse, self.layout, undone, choices)
        size = self.destination.limits(self.layout.spec.object).batch_rows
        plan.requests = sum(-(-n // size) for n in (plan.restore, plan.archive, plan.recreate))
        return plan

    async def apply(
        self,
        run: RunRecord,
        plan: RollbackPlan,
        progress: Progress | None,
        stop_event: asyncio.Event | None,
        intent_rows: int | None,
    ) -> Applier:
        """As the plan of a sync is applied."""
        warehouse, layout, offload = self.warehouse, self.layout, self.offload
        run.counts = await offload(checkpoint.settled_in_plan, warehouse, layout, run, self.clock)
        applier = Applier(
            warehouse,
            layout,
            self.destination,
            run,
            run.run_id,
            plan.changes,
            clock=self.clock,
            offload=offload,
            progress=progress,
            stop=stop_event,
            intent_rows=intent_rows,
        )
        if plan.changes:
            await offload(checkpoint.prepare, warehouse, layout)
            await offload(lambda: intents.begin(warehouse, layout, run.run_id, run.run_id, plan.changes, self.clock))
            await applier.apply()
            await offload(intents.finish, warehouse, layout, run.run_id)
        return applier


def _prepare(warehouse: Warehouse, spec: SyncSpec) -> Layout:
    layout = resolve(warehouse, spec)
    snapshot.prepare(warehouse, layout)
    return layout


def _summarise(warehouse: Warehouse, layout: Layout, undone: RunRecord, choices: Choices) -> RollbackPlan:
    records = rollback_table.records_touched(warehouse, layout)
    return RollbackPlan(
        undone.run_id,
        layout.spec.name,
        layout.spec.destination,
        layout.spec.object,
        **{word: records.get(word, 0) for word in ("restore", "archive", "recreate", "left")},
        already=records.get("already", 0) + records.get("gone", 0),
        links=rollback_table.count_links(warehouse, layout, undone.run_id, choices.keys),
        fields=rollback_table.fields_touched(warehouse, layout),
        reasons=rollback_table.reasons(warehouse, layout),
        samples=rollback_table.samples(warehouse, layout, per_verdict=_SAMPLES),
    )


def _report(run: RunRecord, plan: RollbackPlan, applier: Applier, stop_event: asyncio.Event | None) -> RollbackReport:
    counts, not_sent = dict(applier.counts), plan.changes - applier.sent
    report = RollbackReport(run.run_id, plan.sync, "done", plan, counts, not_sent)
    if counts.get("rejected") or counts.get("unknown"):
        report.status, report.exit_code = "partial", 1
    if stop_event is not None and stop_event.is_set() and not_sent:
        report.status, report.exit_code = "interrupted", 1
    if applier.error is not None:
        known = isinstance(applier.error, RevetlError)
        report.status = "failed"
        report.exit_code = applier.error.exit_code if isinstance(applier.error, RevetlError) else 1
        report.error = str(applier.error) if known else type(applier.error).__name__
    run.counts = counts
    return report


def _untold(_: str) -> None:
    return None
