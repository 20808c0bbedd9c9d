"""A run says while it lasts that it is alive, so that other runs leave its calls in flight alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from revetl.context import RunContext
from revetl.errors import WarehouseError, WarehouseFull, WarehouseLost
from revetl.state import heartbeats


class Heartbeat:
    """Beats while `kept()` lasts, three times as often as it has to."""

    def __init__(self, ctx: RunContext) -> None:
        self._ctx = ctx
        self._alive_until = ctx.clock.now() + heartbeats.LASTS

    @property
    def was_missed(self) -> bool:
        """No beat for so long that others may have taken this run for dead: the machine slept, or the database was
        away."""
        return self._ctx.clock.now() > self._alive_until

    def beat(self) -> None:
        """Now, and not only when it is due."""
        now = self._ctx.clock.now()
        heartbeats.beat(self._ctx.warehouse, self._ctx.run_id, now)
        self._alive_until = now + heartbeats.LASTS

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        self.beat()
        beating = asyncio.create_task(self._beat_on())
        try:
            yield
        finally:
            beating.cancel()
            # Else the lease ends by itself, and hides no failure of the run.
            with suppress(WarehouseLost, WarehouseFull):
                heartbeats.end(self._ctx.warehouse, self._ctx.run_id)

    async def _beat_on(self) -> None:
        while True:
            await self._ctx.clock.sleep(heartbeats.LASTS.total_seconds() / 3)
            try:
                self.beat()
            except WarehouseError:
                continue  # if it lasts, the run's own next statement raises it
