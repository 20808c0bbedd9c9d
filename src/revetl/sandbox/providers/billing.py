"""What a vendor charges, per API key; and how often it may be asked."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from revetl.clock import Clock

DEFAULT_CREDITS = 10_000_000


@dataclass(slots=True)
class Bill:
    """One vendor's books. `usd_per_credit` is a list price: what the sandbox says a run has cost.

    A key with `bad` in it is refused, one with `broke` has no credits.
    """

    vendor: str
    usd_per_credit: Decimal
    starting_credits: int = DEFAULT_CREDITS
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    _remaining: dict[str, int] = field(default_factory=dict)

    def remaining(self, key: str) -> int:
        if "broke" in key:
            return 0
        return self._remaining.setdefault(key, self.starting_credits)

    def charge(self, key: str, credits: int) -> None:
        self._remaining[key] = self.remaining(key) - credits
        self.spent[key] += credits

    def set_remaining(self, credits: int) -> None:
        self.starting_credits = credits
        for key in self._remaining:
            self._remaining[key] = credits

    def clear(self) -> None:
        for counter in (self.requests, self.answers, self.spent):
            counter.clear()
        self._remaining.clear()

    def as_json(self) -> dict[str, Any]:
        """Keys by their last four characters only."""
        credits = sum(self.spent.values())
        by_key: dict[str, dict[str, int]] = {}
        for key, requests in self.requests.items():
            line = by_key.setdefault(f"…{key[-4:]}", {"requests": 0, "credits": 0})
            line["requests"] += requests
            line["credits"] += self.spent[key]
        return {
            "requests": sum(self.requests.values()),
            "answers": dict(self.answers),
            "credits": credits,
            "charged_usd": float(credits * self.usd_per_credit),
            "by_key": by_key,
        }


class FixedWindow:
    """At most `limit` calls per key in each window of `seconds` that starts at a multiple of it. None: no limit."""

    def __init__(self, limit: int | None, seconds: float, clock: Clock) -> None:
        self.limit = limit
        self._seconds = seconds
        self._clock = clock
        self._window: dict[str, tuple[int, int]] = {}

    def take(self, key: str) -> bool:
        """Whether one more is allowed; refused calls do not count."""
        if self.limit is None:
            return True
        number = math.floor(self._clock.monotonic() / self._seconds)
        window, used = self._window.get(key, (number, 0))
        if window != number:
            used = 0
        if used >= self.limit:
            return False
        self._window[key] = (number, used + 1)
        return True

    def remaining(self, key: str) -> int:
        """Of the present window, as far as it has been used; 0 where there is no limit to speak of."""
        if self.limit is None:
            return 0
        return max(0, self.limit - self._window.get(key, (0, 0))[1])

    def resets_in_s(self) -> float:
        return self._seconds - self._clock.monotonic() % self._seconds
