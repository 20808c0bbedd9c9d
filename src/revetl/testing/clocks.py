"""Clocks that the suites hand in, and the watch that sees who waits without one."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

from revetl.clock import LoopClock

# Where a watched call is under way: what it did that it may not. A context variable, so that tasks which the call
# starts are watched too, and the vendor that answers it is not.
_watched: ContextVar[list[str] | None] = ContextVar("_watched", default=None)


class VirtualClock(LoopClock):
    """The loop's time. Waiting on it is what a connector is meant to do."""

    async def sleep(self, seconds: float) -> None:
        with unwatched():
            await super().sleep(seconds)


class ScaledClock:
    """Real time, `factor` times as fast: for vendors behind real sockets, whose answers take as long as they take."""

    def __init__(self, factor: float = 100.0) -> None:
        self._factor = factor
        self._start_s = time.monotonic()

    def monotonic(self) -> float:
        return self._start_s + (time.monotonic() - self._start_s) * self._factor

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic() - self._start_s)

    async def sleep(self, seconds: float) -> None:
        with unwatched():
            await asyncio.sleep(max(0.0, seconds) / self._factor)


@contextmanager
def unwatched() -> Iterator[None]:
    token = _watched.set(None)
    try:
        yield
    finally:
        _watched.reset(token)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is called inside must neither sleep but through the clock that it was given, nor read the environment.
    Gives the list of what it did of these, with the place. Not to be used twice at once."""
    import os

    seen: list[str] = []
    sleep, async_sleep = time.sleep, asyncio.sleep
    environ: Any = type(os.environ)
    read, listed = environ.__getitem__, environ.__iter__

    def caught(what: str) -> bool:
        log = _watched.get()
        if log is not None:
            log.append(f"{what} at {_caller()}")
        return log is not None

    def watched_sleep(seconds: float) -> None:
        if not caught(f"time.sleep({seconds})"):
            sleep(seconds)

    async def watched_async_sleep(delay: float, result: Any = None) -> Any:
        if delay > 0:  # 0 only lets others go on
            caught(f"asyncio.sleep({delay})")
        return await async_sleep(delay, result)

    def watched_read(self: Any, key: Any) -> Any:
        caught(f"os.environ[{key!r}]")
        return read(self, key)

    def watched_list(self: Any) -> Any:
        caught("os.environ as a whole")
        return listed(self)

    # Wherever they were imported by name, too.
    replaced = [
        (module, name, value)
        for module in list(sys.modules.values())
        if module is not None and module.__name__ != __name__
        for name, value in list(vars(module).items())
        if value is sleep or value is async_sleep
    ]
    for module, name, value in replaced:
        setattr(module, name, watched_sleep if value is sleep else watched_async_sleep)
    environ.__getitem__, environ.__iter__ = watched_read, watched_list
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)
        environ.__getitem__, environ.__iter__ = read, listed
        for module, name, value in replaced:
            setattr(module, name, value)


def _caller() -> str:
    """The nearest frame outside of this module and of the standard library's doors to the environment."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in (__name__, "os", "_collections_abc"):
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__')}:{frame.f_lineno}" if frame else "?"
