"""Lets what waits be sent again: refused records and links, creates that nobody could confirm. Sends nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from revetl.clock import Clock
from revetl.model import SyncSpec
from revetl.state import links, snapshot
from revetl.state.layout import resolve
from revetl.state.leases import Holder
from revetl.sync.leasing import leased
from revetl.sync.matching import Offload
from revetl.warehouse.base import Warehouse


async def release(
    warehouse: Warehouse,
    spec: SyncSpec,
    keys: Sequence[str],
    *,
    clock: Clock,
    run_id: str,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    offload: Offload = asyncio.to_thread,
) -> int:
    """These keys, or all where none is given; returns how many waited. LeaseError where another run works on the sync.
    Safe to repeat."""
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:

        def let_go() -> int:
            layout = resolve(held.warehouse, spec)
            snapshot.prepare(held.warehouse, layout)
            records = snapshot.release(held.warehouse, layout, keys)
            return records + links.release(held.warehouse, layout, keys)

        released: int = await held.offload(let_go)
        return released
