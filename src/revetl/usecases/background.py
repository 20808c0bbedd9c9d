"""A use case on a thread of its own: whoever calls may have an event loop that is busy, as in a notebook, or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

# What `Caller.stoppable` is: while the block lasts, sets the event when the work should end in good order.
Stoppable = Callable[[asyncio.Event], AbstractContextManager[None]]


class Background:
    """`work`, under way. It is given what stops it, for its `Caller`."""

    def __init__(self, work: Callable[[Stoppable], Any]) -> None:
        self.future: Future[Any] = Future()
        self._present: tuple[asyncio.AbstractEventLoop, asyncio.Event, asyncio.Task[Any] | None] | None = None
        self._stops = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._main, args=(work,), name="revetl", daemon=True).start()

    def _main(self, work: Callable[[Stoppable], Any]) -> None:
        try:
            self.future.set_result(work(self._stoppable))
        except BaseException as e:  # noqa: BLE001 - `result` raises it again, in the caller's thread
            self.future.set_exception(e)

    @contextmanager
    def _stoppable(self, stop: asyncio.Event) -> Iterator[None]:
        with self._lock:
            self._present = (asyncio.get_running_loop(), stop, asyncio.current_task())
            if self._stops:  # between two parts of the work: the next one must not begin
                stop.set()
        try:
            yield
        finally:
            with self._lock:
                self._present = None

    def result(self) -> Any:
        return self.future.result()

    def stop(self) -> None:
        """Once: in good order. Twice: at once."""
        with self._lock:
            self._stops += 1
            if self._present is None:
                return
            loop, stop, task = self._present
            loop.call_soon_threadsafe(stop.set if self._stops == 1 or task is None else task.cancel)

    def wait(self) -> None:
        """Until it has ended, however; a ctrl-C meanwhile ends it at once."""
        try:
            self.future.exception()
        except KeyboardInterrupt:
            self.stop()
            self.future.exception()


class Running(Background):
    """The same for work of an event loop, which is given the event itself."""

    def __init__(self, work: Callable[[asyncio.Event], Awaitable[T]]) -> None:
        async def main(stoppable: Stoppable) -> T:
            stop = asyncio.Event()
            with stoppable(stop):
                return await work(stop)

        super().__init__(lambda stoppable: asyncio.run(main(stoppable)))


def in_background(work: Callable[[Stoppable], T]) -> T:
    """Runs `work` on a thread of its own and waits for it. ctrl-C: nothing new begins, what is in flight ends and is
    written down; a second one ends at once. Raises what the work raises, and KeyboardInterrupt after a ctrl-C."""
    running = Background(work)
    try:
        result: T = running.result()
    except KeyboardInterrupt:
        running.stop()
        running.wait()
        raise
    return result
