"""An event loop whose time jumps: when nothing is ready it moves straight to the next timer.

`run_virtual(coro)` runs a coroutine on it; hours of waiting take milliseconds and always happen in the same order.
Real input and output are not supported (a socket would seem to answer late). Threads are: while work is in an
executor, time stands still. Nothing ready, no timer and no thread is a deadlock, and raises `VirtualDeadlock`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Above 0, so that "never happened" written as 0 can't be taken for "just now".
START_S = 1_000.0
# The sum of a time and a difference may fall short of the timer by a rounding error; this steps past it.
STEP_S = 1e-6


class VirtualDeadlock(RuntimeError):
    """Every task waits for something that can't come."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.threads:
            return super().select(None)
        if timeout is None:
            raise VirtualDeadlock("nothing is ready and no timer is set")
        self.loop.now += timeout + STEP_S
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = START_S
        self.threads = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self.threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.threads -= 1


def run_virtual(coro: Coroutine[Any, Any, T]) -> T:
    """Runs `coro` to its end on a fresh virtual loop. Call it from a plain (not async) test."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coro)
