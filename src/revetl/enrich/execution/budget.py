"""Money of one run: reserved at the greatest price before a call leaves, settled when its answer is known.

Nobody else can touch it, so it is kept in memory. Limits that runs share are in `enrich/limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from revetl.enrich.limits import BudgetLimit
from revetl.state.spend import SpendLine

ZERO = Decimal(0)


class RunBudget:
    """`limit_usd` None: no limit. What is spent, reserved and in doubt together never passes it by our doing."""

    def __init__(self, limit_usd: Decimal | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = ZERO
        self.in_doubt_usd = ZERO
        self.reserved_usd = ZERO

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


@dataclass(frozen=True, slots=True)
class SharedSpend:
    """What the runs of a waterfall have spent together, as one run sees it inside the transaction that has the lock."""

    lines: Sequence[SpendLine]
    run_id: str
    day: str

    def used(self, limit: BudgetLimit) -> Decimal:
        return limit.used(self.lines, self.run_id, self.day)

    def reserved_for(self, provider: str) -> list[SpendLine]:
        """What this run has reserved for this provider, to verify what others found."""
        return [line for line in self.lines if line.run_id == self.run_id and line.provider == provider]

    def fitting(
        self, limits: Iterable[BudgetLimit], wanted: int, each: Mapping[str, Decimal], provider: str
    ) -> tuple[int, BudgetLimit | None]:
        """How many of `wanted` questions to `provider` fit under all limits, and the limit that keeps the rest out.

        `each` is what one question takes, by provider. What is reserved for this provider may be used for them.
        """
        binding = None
        for limit in limits:
            price = sum((usd for name, usd in each.items() if limit.covers(name)), ZERO)
            if price <= 0:
                continue
            usable = (
                line.reserved_usd for line in self.reserved_for(provider) if limit.counts(line, self.run_id, self.day)
            )
            free = limit.usd - self.used(limit) + sum(usable, ZERO)
            fits = max(0, int(free / price))
            if fits < wanted:
                wanted, binding = fits, limit
        return wanted, binding
