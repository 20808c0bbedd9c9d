"""How fast one account is asked: never more than n requests in any interval, and slower where the vendor says so."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from revetl.clock import Clock
from revetl.http.gate import Gate

DEFAULT_LIMIT = "default"

# Requests that leave evenly arrive unevenly, so the window is kept longer than the vendor's: by a hundredth, and by no
# more than the way of a request may differ from that of another, however long the window is.
_MARGIN = 0.01
_MOST_MARGIN_S = 0.25
# After a 429: what had passed in the window, less a tenth; then back by a fiftieth of the declared rate per window.
_CUT = 0.9
_LEAST_CUT = 0.5
_GROWTH = 0.02
# A window that is used up is ours where this much of it is: what is in flight is counted at other moments there.
_OURS = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """`requests` within any `per_s` seconds."""

    requests: int
    per_s: float = 1.0


class RateLimiter:
    """A sliding window: never more than `rate` in any interval of its length. No rate: no limit. Callers are served in
    the order of their coming."""

    def __init__(self, rate: Rate | None, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._sent: deque[float] = deque()
        self._queue = asyncio.Lock()
        self._limit = float(rate.requests) if rate else 0.0
        self._changed_at = 0.0
        self._wait_until = 0.0

    @property
    def limit(self) -> float:
        """Requests per window that are allowed at present."""
        return self._limit

    async def acquire(self) -> None:
        """Returns when one request may leave."""
        if self._rate is None:
            return
        if not self._queue.locked() and self._try_acquire(self._rate) == 0.0:
            return
        async with self._queue:
            while wait := self._try_acquire(self._rate):
                await self._clock.sleep(wait)

    def _try_acquire(self, rate: Rate) -> float:
        """0 where a slot was free and is now taken, else the seconds until one may be."""
        now = self._clock.monotonic()
        if now < self._wait_until:
            return self._wait_until - now
        window = rate.per_s + min(rate.per_s * _MARGIN, _MOST_MARGIN_S)
        sent = self._sent
        while sent and now - sent[0] >= window:
            sent.popleft()
        if self._limit < rate.requests and now - self._changed_at >= window:
            self._limit = min(rate.requests, self._limit + max(1.0, rate.requests * _GROWTH))
            self._changed_at = now
        if len(sent) < int(self._limit):
            sent.append(now)
            return 0.0
        # A rounding error must not make this 0 while the window is still full.
        return max(sent[len(sent) - int(self._limit)] + window - now, 1e-6)

    def throttled(self) -> None:
        """The vendor counted more than we did: somebody else uses the account, or its tier is lower than declared."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        # Few sent and refused all the same: a burst of somebody else's. At most halved, for growing back is slow.
        self._limit = max(1.0, self._limit * _LEAST_CUT, min(self._limit, float(len(self._sent))) * _CUT)
        self._changed_at = now

    def observe(self, limit: int | None, remaining: int | None) -> None:
        """The vendor's own count from the headers of an answer: `remaining` of `limit` requests in this window."""
        if self._rate is None:
            return
        if limit is not None and 0 < limit < self._limit:
            self._limit = float(limit)
            self._changed_at = self._clock.monotonic()
        if remaining is not None and remaining <= 0 and len(self._sent) < self._limit * _OURS:
            # Somebody else used the window up: look again after a tenth of it. Where we did, our own count knows when
            # the next may leave, and whoever keeps a rolling window full is told 0 all the time.
            self._wait_until = self._clock.monotonic() + self._rate.per_s / 10


class SharedLimit:
    """One rate limit of an account: its rate limiter, and the gate that a 429 shuts for all who share it.

    An account has a default one and one more for each endpoint that the vendor limits by itself. Sessions of one
    account may share it: then a 429 to one of them stops them all.
    """

    __slots__ = ("gate", "limiter")

    def __init__(self, rate: Rate | None, clock: Clock, rng: random.Random) -> None:
        self.limiter = RateLimiter(rate, clock)
        self.gate = Gate(clock, rng, first_wait_s=1.0, max_wait_s=30.0)
