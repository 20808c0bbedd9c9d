"""The connection to the warehouse while a plan is sent: one statement at a time; while it is lost nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from revetl.context import RunContext
from revetl.errors import WarehouseLost
from revetl.sync.lost_connection import again, reconnected

T = TypeVar("T")


class StateConnection:
    """Of one application of a plan. `one_at_a_time` is held around each use of the warehouse. `connected` is not set
    while the connection is lost. `lost_for_good`: nothing may be sent any more. `scratch_is_gone`: the tables of the
    connection went with it."""

    def __init__(self, ctx: RunContext) -> None:
        self._ctx = ctx
        self.one_at_a_time = asyncio.Lock()
        self.connected = asyncio.Event()
        self.connected.set()
        self.lost_for_good = False
        self.scratch_is_gone = False

    async def again(self, work: Callable[[], Awaitable[T]], repeat: Callable[[], Awaitable[T]]) -> T:
        """As `lost_connection.again`; from the loss on nothing is sent, until it is known that the lease is ours."""
        try:
            return await work()
        except WarehouseLost:
            self.connected.clear()
            self.scratch_is_gone = True
        try:
            await reconnected(self._ctx)
            return await again(self._ctx, repeat)
        except BaseException:
            self.lost_for_good = True
            raise
        finally:
            self.connected.set()
