"""Work of an event loop on a thread of its own: a caller may have a loop that is busy, or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Running:
    """`work`, under way. It is given an event that is set when it should end in good order."""

    def __init__(self, work: Callable[[asyncio.Event], Awaitable[T]]) -> None:
        self.future: Future[Any] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stops = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._main, args=(work,), name="revetl-enrich", daemon=True).start()

    def _main(self, work: Callable[[asyncio.Event], Awaitable[Any]]) -> None:
        async def main() -> Any:
            with self._lock:
                self._loop, self._event, self._task = (
                    asyncio.get_running_loop(),
                    asyncio.Event(),
                    asyncio.current_task(),
                )
                if self._stops:
                    self._event.set()
            return await work(self._event)

        try:
            self.future.set_result(asyncio.run(main()))
        except BaseException as e:  # noqa: BLE001 - `result` raises it again, in the caller's thread
            self.future.set_exception(e)

    def result(self) -> Any:
        return self.future.result()

    def stop(self) -> None:
        """Once: in good order. Twice: at once."""
        with self._lock:
            self._stops += 1
            if self._loop is None or self._event is None or self._task is None:
                return
            act = self._event.set if self._stops == 1 else self._task.cancel
            self._loop.call_soon_threadsafe(act)

    def wait(self) -> None:
        """Until it has ended, however; a ctrl-C meanwhile ends it at once."""
        try:
            self.future.exception()
        except KeyboardInterrupt:
            self.stop()
            self.future.exception()
