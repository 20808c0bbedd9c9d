"""Waiting until a lost connection is there again, on the clock that is handed in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from revetl.clock import Clock
from revetl.errors import WarehouseLost
from revetl.warehouse.base import Warehouse

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


@runtime_checkable
class WaitsToReconnect(Protocol):
    """A warehouse that waits by itself, blocking its thread, until there is a new session."""

    def failing_at_once(self) -> AbstractContextManager[None]: ...


def failing_at_once(warehouse: Warehouse) -> AbstractContextManager[None]:
    """Inside, one attempt is made to replace a lost session, and WarehouseLost raised where it fails. For whoever works
    on an event loop: while a thread waits there, answers of others time out."""
    return warehouse.failing_at_once() if isinstance(warehouse, WaitsToReconnect) else nullcontext()


async def until_back(
    probe: Callable[[], Awaitable[object]], clock: Clock, *, patience_s: float, stop: asyncio.Event
) -> None:
    """Repeats `probe`, a statement that is safe to repeat, until it is answered. WarehouseLost when `patience_s` is
    over or `stop` is set; other errors at once."""
    deadline, pause_s = clock.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            await probe()
            return
        except WarehouseLost:
            left_s = deadline - clock.monotonic()
            if left_s <= 0 or stop.is_set():
                raise
        await clock.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
