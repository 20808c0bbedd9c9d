"""Lets what waits be sent again: refused records and links, creates that nobody could confirm. Sends nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from revetl.context import RunContext
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync import awaited
from revetl.sync.awaited import AwaitedRecords
from revetl.sync.leasing import under_lease
from revetl.sync.links import refused
from revetl.sync.references.missing import REFERENCE_MISSING
from revetl.sync.retry import queue
from revetl.sync.retry.queue import QueuedRecords, QueueFilter


@dataclass(slots=True)
class RetryReport:
    """Of one sync: records by why they waited, refused links by error code, and how many links were released.
    `awaited`: of a dry run, what fields and links wait for; nothing releases these."""

    sync: str
    waiting: list[QueuedRecords]
    links: int = 0
    links_waiting: dict[str, int] = field(default_factory=dict)
    awaited: AwaitedRecords = field(default_factory=AwaitedRecords)

    @property
    def records(self) -> int:
        return sum(w.records for w in self.waiting)


async def release(ctx: RunContext, spec: SyncSpec, which: QueueFilter, *, dry_run: bool = False) -> RetryReport:
    """Looks at what waits and, unless `dry_run`, takes it out of the queue. LeaseError where another run works on the
    sync. Safe to repeat. Links are meant by the keys of their records and by error codes; where a run or a status is
    asked for, none is."""
    async with under_lease(ctx, spec) as run:
        return await run.on_tables(_release, which, dry_run, ctx.state_dir)


async def take_back(ctx: RunContext, spec: SyncSpec, since: datetime) -> None:
    """After a sync that sent nothing: what was released for it waits as before. Safe to repeat."""
    async with under_lease(ctx, spec) as run:
        await run.on_tables(queue.take_back, since)


def _release(tables: SyncTables, which: QueueFilter, dry_run: bool, state_dir: Path | None) -> RetryReport:
    report = RetryReport(tables.spec.name, queue.waiting(tables, which))
    of_links = not (which.run_id or which.statuses)
    if of_links:
        report.links_waiting = refused.waiting(tables, which.keys, which.codes)
    if dry_run and (which == QueueFilter() or REFERENCE_MISSING in which.codes):
        report.awaited = awaited.look(tables, state_dir)
    if not dry_run:
        queue.release(tables, which)
        if of_links:
            report.links = refused.release(tables, which.keys, which.codes)
    return report
