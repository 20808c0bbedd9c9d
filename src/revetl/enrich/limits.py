"""The limits that several runs share: of a waterfall's budget, and of the project's.

What counts against them stands in the warehouse (`state/spend.py`), and is summed under a lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from revetl.enrich.project_budget import ProjectBudget
from revetl.enrich.waterfall import BudgetSpec
from revetl.state.spend import SpendLine

Period = Literal["run", "day", "month"]


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """`provider` is an endpoint or a whole vendor; None: all of them. `waterfall` None: all of the project's."""

    usd: Decimal
    period: Period
    provider: str | None = None
    waterfall: str | None = None

    def __str__(self) -> str:
        of = "" if self.provider is None else f" for {self.provider}"
        over = " over all waterfalls" if self.waterfall is None else ""
        return f"the {self.period}'s budget of ${self.usd}{of}{over}"

    def covers(self, provider: str) -> bool:
        return self.provider is None or self.provider in (provider, provider.partition(".")[0])

    def used(self, lines: Iterable[SpendLine], run_id: str, day: str) -> Decimal:
        """What counts against it, of all that was committed or reserved."""
        return sum((line.usd for line in lines if self.counts(line, run_id, day)), Decimal(0))

    def counts(self, line: SpendLine, run_id: str, day: str) -> bool:
        when = {"run": line.run_id == run_id, "day": line.day == day, "month": line.day[:7] == day[:7]}
        ours = self.waterfall is None or line.waterfall == self.waterfall
        return ours and when[self.period] and self.covers(line.provider)


def limits_of(budget: BudgetSpec, waterfall: str) -> tuple[BudgetLimit, ...]:
    """All but the waterfall's own per run and per record, which no other run can use up."""
    found = []
    for provider, own in ((None, budget), *budget.providers.items()):
        each: tuple[tuple[Period, Decimal | None], ...] = (
            ("run", None if provider is None else own.per_run_usd),
            ("day", own.per_day_usd),
            ("month", own.per_month_usd),
        )
        found += [BudgetLimit(usd, period, provider, waterfall) for period, usd in each if usd is not None]
    return tuple(found)


def project_limits(budget: ProjectBudget) -> tuple[BudgetLimit, ...]:
    """Of all waterfalls together."""
    found = []
    for provider, own in ((None, budget), *budget.providers.items()):
        each: tuple[tuple[Period, Decimal | None], ...] = (("day", own.per_day_usd), ("month", own.per_month_usd))
        found += [BudgetLimit(usd, period, provider) for period, usd in each if usd is not None]
    return tuple(found)


def lowest(*limits: Decimal | None) -> Decimal | None:
    """The lowest of the limits that are set; None where none is."""
    return min((limit for limit in limits if limit is not None), default=None)
