"""Money: reserved at the greatest price before a call leaves, settled when its answer is known.

`Budget` is what one run may spend, which nobody else can touch. A `Limit` is shared by runs, so what counts against it
stands in the warehouse (`state/spend.py`) and is summed under a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from revetl.enrich.waterfall import BudgetSpec
from revetl.state.spend import Line


class Budget:
    """`limit_usd` None: no limit. What is spent, reserved and in doubt together never passes it by our doing."""

    def __init__(self, limit_usd: Decimal | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = Decimal(0)
        self.in_doubt_usd = Decimal(0)
        self.reserved_usd = Decimal(0)

    @property
    def committed_usd(self) -> Decimal:
        return self.spent_usd + self.in_doubt_usd + self.reserved_usd

    def reserve(self, usd: Decimal) -> bool:
        """False, and nothing is reserved, where the limit would be passed. What is free is always allowed."""
        if self.limit_usd is not None and usd > 0 and self.committed_usd + usd > self.limit_usd:
            return False
        self.reserved_usd += usd
        return True

    def release(self, usd: Decimal) -> None:
        self.reserved_usd -= usd

    def settle(self, reserved_usd: Decimal, charged_usd: Decimal) -> None:
        """`charged_usd` may be more than was reserved, where a vendor bills above its price: it counts in full."""
        self.reserved_usd -= reserved_usd
        self.spent_usd += charged_usd

    def doubt(self, reserved_usd: Decimal) -> None:
        """Nobody knows whether it was charged, so it stays taken to the end of the run."""
        self.reserved_usd -= reserved_usd
        self.in_doubt_usd += reserved_usd


Period = Literal["run", "day", "month"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a waterfall's budget that runs share. `provider` is an endpoint or a vendor; None: all of them."""

    usd: Decimal
    period: Period
    provider: str | None = None

    def __str__(self) -> str:
        of = "" if self.provider is None else f" for {self.provider}"
        return f"the {self.period}'s budget of ${self.usd}{of}"

    def is_about(self, provider: str) -> bool:
        return self.provider is None or self.provider in (provider, provider.partition(".")[0])

    def used(self, lines: Iterable[Line], run_id: str, day: str) -> Decimal:
        """What counts against it, of all that the waterfall committed."""
        return sum((line.usd for line in lines if self.counts(line, run_id, day)), Decimal(0))

    def counts(self, line: Line, run_id: str, day: str) -> bool:
        when = {"run": line.run_id == run_id, "day": line.day == day, "month": line.day[:7] == day[:7]}
        return when[self.period] and self.is_about(line.provider)


def limits_of(budget: BudgetSpec) -> tuple[Limit, ...]:
    """All but the waterfall's own per run and per record, which no other run can touch."""
    found = []
    for provider, own in ((None, budget), *budget.providers.items()):
        each: tuple[tuple[Period, Decimal | None], ...] = (
            ("run", None if provider is None else own.per_run_usd),
            ("day", own.per_day_usd),
            ("month", own.per_month_usd),
        )
        found += [Limit(usd, period, provider) for period, usd in each if usd is not None]
    return tuple(found)


def fitting(
    limits: Iterable[Limit],
    lines: Sequence[Line],
    aside: Sequence[Line],
    run_id: str,
    day: str,
    wanted: int,
    each: Mapping[str, Decimal],
) -> tuple[int, Limit | None]:
    """How many of `wanted` questions fit under all limits, and the limit that keeps the rest out.

    `each` is what one question takes, by provider; of `aside`, some of the lines, they may use what is held.
    """
    binding = None
    for limit in limits:
        price = sum((usd for name, usd in each.items() if limit.is_about(name)), Decimal(0))
        if price <= 0:
            continue
        free = limit.usd - limit.used(lines, run_id, day)
        free += sum((line.held for line in aside if limit.counts(line, run_id, day)), Decimal(0))
        fits = max(0, int(free / price))
        if fits < wanted:
            wanted, binding = fits, limit
    return wanted, binding
