"""What a vendor charges, per API key, line by line; what it gives free again; how often it may be asked."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from revetl.clock import Clock

DEFAULT_CREDITS = Decimal(10_000_000)
# The last calls are kept for looking at; the lines of the invoice are kept all.
CALLS_KEPT = 50_000


@dataclass(frozen=True, slots=True)
class Charge:
    """What an answer costs for one person or company. `subject` is its id in the truth, whatever was asked with.

    `kind`: `charge`, `hold` (taken until the result is there), `refund` (of a hold; negative), or `free` (a repeat
    that the vendor doesn't charge again).
    """

    subject: str
    credits: Decimal
    usd: Decimal
    kind: str = "charge"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A charge as it stands on the invoice. `reference` is the job's id where there is one, else the call's number."""

    at: str
    key: str
    reference: str
    charge: Charge

    def as_json(self, vendor: str) -> dict[str, Any]:
        """Amounts as text, so that they add up exactly."""
        return {
            "vendor": vendor,
            "at": self.at,
            "key": self.key,
            "reference": self.reference,
            "subject": self.charge.subject,
            "kind": self.charge.kind,
            "credits": str(self.charge.credits),
            "usd": str(self.charge.usd),
        }


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One request as the vendor saw it; `counted` is what the answer was: hit, miss or why it was refused."""

    reference: str
    at: str
    key: str
    route: str
    status: int
    counted: str
    credits: Decimal

    def as_json(self) -> dict[str, Any]:
        return {**{n: getattr(self, n) for n in self.__dataclass_fields__}, "credits": str(self.credits)}


@dataclass(slots=True)
class Bill:
    """One vendor's books, per API key. Prices are list prices: what the sandbox says a run has cost.

    A key with `broke` in it has no credits.
    """

    vendor: str
    clock: Clock
    starting_credits: Decimal = DEFAULT_CREDITS  # on every key, where `set_remaining` says nothing else
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    charged_usd: Decimal = Decimal(0)
    spent: dict[str, Decimal] = field(default_factory=dict)
    lines: list[InvoiceLine] = field(default_factory=list)
    calls: deque[CallEntry] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    _remaining: dict[str, Decimal] = field(default_factory=dict)
    _set_to: Decimal | None = None
    _numbered: int = 0

    def next_reference(self) -> str:
        self._numbered += 1
        return f"{self.vendor}-{self._numbered:06d}"

    def now(self) -> str:
        return self.clock.now().isoformat()

    def remaining(self, key: str) -> Decimal:
        if "broke" in key:
            return Decimal(0)
        start = self.starting_credits if self._set_to is None else self._set_to
        return self._remaining.setdefault(key, start)

    def charge(self, key: str, reference: str, charges: Iterable[Charge]) -> Decimal:
        """Writes the lines; returns the credits in all."""
        total = Decimal(0)
        for charge in charges:
            total += charge.credits
            self.charged_usd += charge.usd
            self.lines.append(InvoiceLine(self.now(), _short(key), reference, charge))
        self._remaining[key] = self.remaining(key) - total
        self.spent[key] = self.spent.get(key, Decimal(0)) + total
        return total

    def note(self, reference: str, key: str, route: str, status: int, counted: str, credits: Decimal) -> None:
        self.requests[key] += 1
        self.answers[counted] += 1
        self.calls.append(CallEntry(reference, self.now(), _short(key), route, status, counted, credits))

    def set_remaining(self, credits: Decimal) -> None:
        """On every key, those to come too, until the books are cleared."""
        self._set_to = credits
        self._remaining.clear()

    def clear(self) -> None:
        self.requests.clear()
        self.answers.clear()
        self.spent.clear()
        self.lines.clear()
        self.calls.clear()
        self._remaining.clear()
        self.charged_usd = Decimal(0)
        self._set_to = None

    def as_json(self, *, calls: bool = False) -> dict[str, Any]:
        """Keys by their last four characters only."""
        by_key: dict[str, dict[str, float]] = {}
        for key, requests in self.requests.items():
            line = by_key.setdefault(_short(key), {"requests": 0, "credits": 0})
            line["requests"] += requests
            line["credits"] += float(self.spent.get(key, 0))
        return {
            "requests": sum(self.requests.values()),
            "answers": dict(self.answers),
            "credits": float(sum(self.spent.values())),
            "charged_usd": float(self.charged_usd),
            "lines": len(self.lines),
            "by_key": by_key,
            **({"calls": [call.as_json() for call in self.calls]} if calls else {}),
        }


def _short(key: str) -> str:
    return f"…{key[-4:]}"


class FreeRepeats:
    """What was paid for, and for how long the same is free: `days` None is for as long as the account lives."""

    def __init__(self, clock: Clock, days: float | None) -> None:
        self._clock = clock
        self._days = days
        self._paid_at: dict[tuple[str, str], float] = {}

    def is_free(self, key: str, question: str) -> bool:
        paid_at = self._paid_at.get((key, question))
        if paid_at is None:
            return False
        return self._days is None or self._clock.now().timestamp() - paid_at < self._days * 86_400

    def remember(self, key: str, question: str) -> None:
        self._paid_at[key, question] = self._clock.now().timestamp()

    def price(self, key: str, question: str, charge: Charge) -> Charge:
        """The charge, or nothing where the same was paid for; remembered from now on."""
        if self.is_free(key, question):
            return Charge(charge.subject, Decimal(0), Decimal(0), "free")
        self.remember(key, question)
        return charge

    def clear(self) -> None:
        self._paid_at.clear()


class FixedWindow:
    """At most `limit` calls per key in each window of `seconds` that starts at a multiple of it. None: no limit."""

    def __init__(self, limit: int | None, seconds: float, clock: Clock) -> None:
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._window: dict[str, tuple[int, int]] = {}

    def take(self, key: str) -> bool:
        """Whether one more is allowed; refused calls do not count."""
        if self.limit is None:
            return True
        number, used = self._used(key)
        if used >= self.limit:
            return False
        self._window[key] = (number, used + 1)
        return True

    def left(self, key: str) -> int | None:
        """How many more are allowed in this window; None where there is no limit."""
        return None if self.limit is None else self.limit - self._used(key)[1]

    def resets_in_s(self) -> int:
        return math.ceil(self.seconds - self._clock.monotonic() % self.seconds)

    def _used(self, key: str) -> tuple[int, int]:
        number = math.floor(self._clock.monotonic() / self.seconds)
        window, used = self._window.get(key, (number, 0))
        return number, used if window == number else 0
