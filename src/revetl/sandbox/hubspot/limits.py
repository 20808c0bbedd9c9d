"""HubSpot's limits: a rolling ten seconds per app, a second for search, a day per account."""

from __future__ import annotations

from collections import deque

from revetl.clock import Clock
from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.options import HubSpotSandboxOptions


class RollingWindow:
    """At most `limit` in any `seconds`. Refused calls do not count."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self._seconds = seconds
        self._times: deque[float] = deque()

    def take(self, now: float) -> bool:
        times = self._times
        horizon = now - self._seconds
        while times and times[0] <= horizon:
            times.popleft()
        if len(times) >= self.limit:
            return False
        times.append(now)
        return True

    @property
    def remaining(self) -> int:
        return self.limit - len(self._times)


class RateLimits:
    """One account's. `take` raises the vendor's 429; `headers` are those of the last taken call."""

    def __init__(self, options: HubSpotSandboxOptions, clock: Clock) -> None:
        self.options = options
        self._clock = clock
        self._bursts: dict[str, RollingWindow] = {}
        self._search = None if options.search_per_s is None else RollingWindow(options.search_per_s, 1.0)
        self._day = clock.now().date()
        self._today = 0

    def take(self, token: str, *, search: bool, oauth: bool) -> dict[str, str]:
        """Counts one call and gives its headers; search answers carry none, OAuth answers no daily ones (docs)."""
        self._take_daily()
        now = self._clock.monotonic()
        if search:
            if self._search is not None and not self._search.take(now):
                raise errors.throttled("SECONDLY")
            self._today += 1
            return {}
        if self.options.burst is None:
            self._today += 1
            return {}
        window = self._bursts.get(token)
        if window is None:
            window = self._bursts[token] = RollingWindow(self.options.burst, 10.0)
        if not window.take(now):
            raise errors.throttled("TEN_SECONDLY_ROLLING")
        self._today += 1
        headers = {
            "X-HubSpot-RateLimit-Max": str(window.limit),
            "X-HubSpot-RateLimit-Remaining": str(window.remaining),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        }
        if not oauth and self.options.daily is not None:
            headers["X-HubSpot-RateLimit-Daily"] = str(self.options.daily)
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(self.options.daily - self._today)
        return headers

    def _take_daily(self) -> None:
        day = self._clock.now().date()
        if day != self._day:
            self._day, self._today = day, 0
        if self.options.daily is not None and self._today >= self.options.daily:
            raise errors.throttled("DAILY")
