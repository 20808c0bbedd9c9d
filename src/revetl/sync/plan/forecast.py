"""What a plan will cost at the destination: requests by kind, time at its rate limits, share of the day's quota.

Arithmetic only. Time is the least that the vendor's limits allow: latency, retries and others who use the account come
on top of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from revetl.destinations.base import Quota
from revetl.http import Rate


@dataclass(frozen=True, slots=True)
class PlanForecast:
    """Of one plan. Times in seconds."""

    lookups: int  # requests that this plan took to see which records stand there already; a sync takes them again
    reads: int  # the same, to see what field policies look at
    writes: dict[str, int] = field(default_factory=dict)  # operation → requests that applying takes
    plan_s: float = 0.0  # lookups and reads
    apply_s: float = 0.0  # writes
    rate: str | None = None  # the limit that takes the most of the time
    daily_limit: int | None = None  # requests; None where there is none
    daily_left: int | None = None
    daily_share: float | None = None  # of `daily_limit`
    notes: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        return self.lookups + self.reads + sum(self.writes.values())

    @property
    def seconds(self) -> float:
        return self.plan_s + self.apply_s


def forecast(quota: Quota, *, lookups: int, reads: int, writes: dict[str, int]) -> PlanForecast:
    """`writes`: operation → requests."""
    sent = {op: n for op, n in writes.items() if n}
    written, total = sum(sent.values()), lookups + reads + sum(sent.values())
    plan_s = _least_s(quota.lookup, lookups) + _least_s(quota.read, reads)
    apply_s = _least_s(quota.write, written)
    left = quota.daily_limit if quota.daily_left is None else quota.daily_left
    notes = list(quota.notes)
    if left is not None and total > left:
        notes.insert(0, f"it needs {total:,} requests and the day has {left:,} left: it would stop and go on tomorrow")
    binding = quota.lookup if plan_s > apply_s else quota.write
    return PlanForecast(
        lookups,
        reads,
        sent,
        plan_s,
        apply_s,
        None if binding is None else f"{binding.requests:,} requests per {binding.per_s:g} s",
        quota.daily_limit,
        quota.daily_left,
        total / quota.daily_limit if quota.daily_limit else None,
        tuple(notes),
    )


def _least_s(rate: Rate | None, requests: int) -> float:
    """A sliding window lets the first of a window's requests go at once, and the next batch when it has passed."""
    if rate is None or requests <= 0:
        return 0.0
    return (requests - 1) // rate.requests * rate.per_s
