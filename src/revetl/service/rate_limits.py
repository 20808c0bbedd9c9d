"""How often somebody may ask: a bucket of tokens for each name, filled at a steady rate. In memory of one service."""

from __future__ import annotations

from collections import OrderedDict

from revetl.clock import Clock

_MOST_NAMES = 10_000


class RateLimit:
    """`burst` at once, and `per_s` over time."""

    def __init__(self, clock: Clock, *, burst: int, per_s: float) -> None:
        self._clock, self._burst, self._per_s = clock, burst, per_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float | None:
        """None: it may. Otherwise in how many seconds it may again."""
        now = self._clock.monotonic()
        left, at = self._left.pop(name, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1
        self._left[name] = (left - 1 if allowed else left, now)
        if len(self._left) > _MOST_NAMES:
            self._left.popitem(last=False)
        return None if allowed else (1 - left) / self._per_s
