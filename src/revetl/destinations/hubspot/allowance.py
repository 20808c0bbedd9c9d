"""What HubSpot lets an account ask: the declared rates, and the day's quota as its answers tell it."""

from __future__ import annotations

from math import ceil, inf

from revetl.destinations.base import Quota
from revetl.destinations.hubspot.options import Options
from revetl.errors import Throttled
from revetl.http import Rate, Response

# Requests per 10 s of the tier → per day and account (docs). 190 is Professional's and Enterprise's: the smaller day is
# taken. A public app's answers name no day, and none is documented for it alone.
_DAILY = {100: 250_000, 190: 625_000, 250: 1_625_000}


class Allowance:
    """Remembers the newest daily headers. Search answers and those to OAuth tokens carry none (docs)."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._limit: int | None = None
        self._left: int | None = None

    def observe(self, response: Response) -> None:
        limit = _count(response.headers.get("x-hubspot-ratelimit-daily", ""))
        left = _count(response.headers.get("x-hubspot-ratelimit-daily-remaining", ""))
        self._limit = self._limit if limit is None else limit
        self._left = self._left if left is None else left

    @property
    def _reserved(self) -> int:
        """Requests of the day that are left to others."""
        return ceil((self._limit or 0) * self._options.daily_reserve)

    def check(self, name: str) -> None:
        """Throttled, before a request, where no more of the day is left than others are to have. What is on its way is
        answered still, so `concurrency` calls may go past it."""
        if self._left is not None and self._options.daily_reserve and self._left <= self._reserved:
            message = f"{name}: {self._left:,} requests of the day are left, and {self._reserved:,} are left to others"
            raise Throttled(message, retry_after_s=inf, code="DAILY_RESERVE")

    def quota(self, *, searched: bool) -> Quota:
        burst = Rate(self._options.requests_per_10_s, 10.0)
        search = Rate(self._options.searches_per_s, 1.0)
        notes = []
        limit = self._limit
        if limit is None:
            limit = _DAILY.get(self._options.requests_per_10_s)
            notes.append(
                "the account has not told its daily quota"
                + (": the documented one of its tier is assumed" if limit is not None else "")
            )
        if searched:
            notes.append("whether searches count towards the daily quota is not confirmed: they are counted")
        left = None if self._left is None else max(0, self._left - self._reserved)
        if self._options.daily_reserve:
            notes.append(f"{self._options.daily_reserve:.0%} of the day's requests are left to others")
        return Quota(search if searched else burst, burst, burst, limit, left, tuple(notes))


def _count(text: str) -> int | None:
    """None for what is no count, or a larger one than any account has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
