"""Time, handed in. Nothing in revetl but this module reads the wall clock or sleeps.

Inside the engine time is the event loop's (`loop.time()`), so a test that runs on a loop with virtual time
runs without waiting; `now()` is for what is written down (UTC).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol, overload


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class LoopClock:
    """The running event loop's time, counted from `start`: virtual wherever the loop's time is virtual."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._zero: float | None = None

    def monotonic(self) -> float:
        try:
            elapsed = asyncio.get_running_loop().time()
        except RuntimeError:
            # Between two loops (set-up and tear-down of a test) time stands still.
            return self._zero or 0.0
        if self._zero is None:
            self._zero = elapsed
        return elapsed

    def now(self) -> datetime:
        moment = self.monotonic()
        return self._start + timedelta(seconds=moment - (self._zero or 0.0))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


@overload
def naive(moment: datetime) -> datetime: ...
@overload
def naive(moment: None) -> None: ...
@overload
def naive(moment: datetime | None) -> datetime | None: ...
def naive(moment: datetime | None) -> datetime | None:
    """The moment in UTC without a zone, as the state tables hold it: a type that every warehouse has."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
