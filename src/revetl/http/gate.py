"""One gate for all requests under one limit, so that a vendor's "too many" is heard once and not by each of them.

Open, it costs nothing. One bad answer shuts it for all: those who come wait in a queue, and when the time is over only
the first of them goes through, as a probe. Refused, the gate stays shut for longer; answered, it opens step by step,
one more request at once for each good answer, so that a limit that still holds is met by few.
"""

from __future__ import annotations

import asyncio
import random

from revetl.clock import Clock

_FULLY_OPEN = 1_000_000
# Past this many at once there is nothing left to be careful about.
_WIDE = 32


class GateShut(Exception):
    """Shut for longer than the caller has patience."""


class Gate:
    """`first_wait_s` doubles with every refused probe up to `max_wait_s`, each with up to a quarter of jitter."""

    def __init__(self, clock: Clock, rng: random.Random, *, first_wait_s: float, max_wait_s: float) -> None:
        self._clock = clock
        self._rng = rng
        self._first_wait_s = first_wait_s
        self._max_wait_s = max_wait_s
        self._queue = asyncio.Lock()
        self._changed = asyncio.Event()
        self._width = _FULLY_OPEN
        self._inside = 0
        self._generation = 0
        self._until = 0.0
        self._shut_since: float | None = None
        self._streak = 0

    @property
    def shut(self) -> bool:
        """Nothing has passed since it was shut."""
        return self._shut_since is not None

    async def enter(self, patience_s: float) -> int:
        """Returns a ticket for `leave`, `passed` and `close`. GateShut once it has been, or will have been, shut for
        `patience_s`."""
        if self._width == _FULLY_OPEN and not self._queue.locked():
            self._inside += 1
            return self._generation
        async with self._queue:
            while (wait := self._wait(patience_s)) is not None:
                if wait > 0:
                    await self._clock.sleep(wait)
                else:
                    self._changed.clear()
                    await self._changed.wait()
            self._inside += 1
            return self._generation

    def _wait(self, patience_s: float) -> float | None:
        """None: go. 0: wait for somebody inside. Else seconds."""
        now = self._clock.monotonic()
        if self._shut_since is not None and max(self._until, now) - self._shut_since > patience_s:
            raise GateShut
        if now < self._until:
            return self._until - now
        return None if self._inside < self._width else 0.0

    def current(self, ticket: int) -> bool:
        """Whether the gate has not been shut since this ticket was given."""
        return ticket == self._generation

    def leave(self, ticket: int) -> None:
        """Once per `enter`, however the request ended."""
        if ticket == self._generation:
            self._inside -= 1
            self._changed.set()

    def passed(self, ticket: int) -> None:
        """A good answer."""
        if self._width == _FULLY_OPEN or ticket != self._generation:
            return
        self._shut_since = None
        self._streak = 0
        self._width = self._width + 1 if self._width < _WIDE else _FULLY_OPEN
        self._changed.set()

    def close(self, ticket: int, wait_s: float | None = None) -> bool:
        """A bad answer. `wait_s` is the vendor's word for how long. False where the request had left before the gate
        was shut: that answer says nothing new."""
        if ticket != self._generation:
            return False
        now = self._clock.monotonic()
        wait = min(self._max_wait_s, self._first_wait_s * 2.0 ** min(self._streak, 20))
        if wait_s is not None:
            wait = max(wait_s, self._first_wait_s if self._streak else 0.0)
        self._until = now + wait * (1.0 + self._rng.random() / 4)
        self._streak += 1
        self._generation += 1
        self._inside = 0
        self._width = 1
        if self._shut_since is None:
            self._shut_since = now
        self._changed.set()
        return True
