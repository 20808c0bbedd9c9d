"""Lets what waits be sent again: refused records and links, creates that nobody could confirm. Sends nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from revetl.context import RunContext
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.leasing import under_lease
from revetl.sync.links import links_table
from revetl.sync.retry import queue
from revetl.sync.retry.queue import QueuedRecords, QueueFilter


@dataclass(slots=True)
class RetryReport:
    """Of one sync: records by why they waited, and how many links."""

    sync: str
    waiting: list[QueuedRecords]
    links: int = 0

    @property
    def records(self) -> int:
        return sum(w.records for w in self.waiting)


async def release(ctx: RunContext, spec: SyncSpec, which: QueueFilter, *, dry_run: bool = False) -> RetryReport:
    """Looks at what waits and, unless `dry_run`, takes it out of the queue. LeaseError where another run works on the
    sync. Safe to repeat. Links have no key of a record's refusal: they are released where only keys, or nothing, is
    asked for."""
    async with under_lease(ctx, spec) as run:
        return await run.on_tables(_release, which, dry_run)


async def take_back(ctx: RunContext, spec: SyncSpec, since: datetime) -> None:
    """After a sync that sent nothing: what was released for it waits as before. Safe to repeat."""
    async with under_lease(ctx, spec) as run:
        await run.on_tables(queue.take_back, since)


def _release(tables: SyncTables, which: QueueFilter, dry_run: bool) -> RetryReport:
    report = RetryReport(tables.spec.name, queue.waiting(tables, which))
    if not dry_run:
        queue.release(tables, which)
        if not (which.run_id or which.codes or which.statuses):
            report.links = links_table.release(tables, which.keys)
    return report
