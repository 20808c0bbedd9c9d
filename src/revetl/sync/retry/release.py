"""Lets what waits be sent again: refused records and links, creates that nobody could confirm. Sends nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from revetl.clock import Clock
from revetl.model import SyncSpec
from revetl.state import snapshot
from revetl.state.leases import Holder
from revetl.state.sync_tables import resolve
from revetl.sync.leasing import leased
from revetl.sync.links import links_table as links
from revetl.sync.plan.matching import Offload
from revetl.sync.retry import queue
from revetl.sync.retry.queue import Waiting, Which
from revetl.warehouse.base import Warehouse


@dataclass(slots=True)
class Released:
    """Of one sync: records by why they waited, and how many links."""

    sync: str
    waiting: list[Waiting]
    links: int = 0

    @property
    def records(self) -> int:
        return sum(w.records for w in self.waiting)


async def release(
    warehouse: Warehouse,
    spec: SyncSpec,
    which: Which,
    *,
    clock: Clock,
    run_id: str,
    dry_run: bool = False,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    offload: Offload = asyncio.to_thread,
) -> Released:
    """Looks at what waits and, unless `dry_run`, lets it go. LeaseError where another run works on the sync. Safe to
    repeat. Links have no key of a record's refusal: they go where only keys, or nothing, is asked for."""
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:

        def let_go() -> Released:
            layout = resolve(held.warehouse, spec)
            snapshot.prepare(held.warehouse, layout)
            found = Released(spec.name, queue.waiting(held.warehouse, layout, which))
            with_links = not (which.run_id or which.codes or which.statuses)
            if not dry_run:
                queue.release(held.warehouse, layout, which)
                found.links = links.release(held.warehouse, layout, which.keys) if with_links else 0
            return found

        released: Released = await held.offload(let_go)
        return released
