"""What a vendor charges, per API key; and how often it may be asked."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from revetl.clock import Clock

DEFAULT_CREDITS = Decimal(10_000_000)


@dataclass(slots=True)
class Bill:
    """One vendor's books, per API key. Prices are list prices: what the sandbox says a run has cost.

    A key with `broke` in it has no credits.
    """

    vendor: str
    starting_credits: Decimal = DEFAULT_CREDITS
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    charged_usd: Decimal = Decimal(0)
    spent: dict[str, Decimal] = field(default_factory=dict)
    _remaining: dict[str, Decimal] = field(default_factory=dict)

    def remaining(self, key: str) -> Decimal:
        if "broke" in key:
            return Decimal(0)
        return self._remaining.setdefault(key, self.starting_credits)

    def charge(self, key: str, credits: Decimal, usd: Decimal) -> None:
        self._remaining[key] = self.remaining(key) - credits
        self.spent[key] = self.spent.get(key, Decimal(0)) + credits
        self.charged_usd += usd

    def set_remaining(self, credits: Decimal) -> None:
        """On every key, those to come too."""
        self.starting_credits = credits
        self._remaining.clear()

    def clear(self) -> None:
        self.requests.clear()
        self.answers.clear()
        self.spent.clear()
        self._remaining.clear()
        self.charged_usd = Decimal(0)
        self.starting_credits = DEFAULT_CREDITS

    def as_json(self) -> dict[str, Any]:
        """Keys by their last four characters only."""
        by_key: dict[str, dict[str, float]] = {}
        for key, requests in self.requests.items():
            line = by_key.setdefault(f"…{key[-4:]}", {"requests": 0, "credits": 0})
            line["requests"] += requests
            line["credits"] += float(self.spent.get(key, 0))
        return {
            "requests": sum(self.requests.values()),
            "answers": dict(self.answers),
            "credits": float(sum(self.spent.values())),
            "charged_usd": float(self.charged_usd),
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
