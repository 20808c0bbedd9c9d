"""The money of one run. Reserved at the greatest price before a call leaves, settled when its answer is known."""

from __future__ import annotations

from decimal import Decimal


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
