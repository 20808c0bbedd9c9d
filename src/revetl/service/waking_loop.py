"""A loop of the service that looks, rests until something wakes it or its patience ends, and stops in good order."""

from __future__ import annotations

import asyncio


class WakingLoop:
    """`_tasks`: what is under way, by name. `_abandon`, set: it ends in good order. `_wake`, set: the rest is over."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._abandon = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: then what is under way ends in good order and is written down."""
        waker = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._step()
                await self._rest(stop)
        finally:
            waker.cancel()
            self._abandon.set()
            if self._tasks:
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._leave()

    async def _step(self) -> None:
        raise NotImplementedError

    async def _leave(self) -> None:
        """After the last task has ended."""
        raise NotImplementedError

    def _patience_s(self) -> float:
        raise NotImplementedError

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _rest(self, stop: asyncio.Event) -> None:
        patience_s = self._patience_s()
        if not stop.is_set():
            try:
                async with asyncio.timeout(patience_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
