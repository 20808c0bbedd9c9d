"""What all waterfalls of a project may spend together: with everybody, and with one vendor's account.

It stands in revetl.yml and not in a waterfall, so it holds over waterfalls, and over one that is given another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from revetl.enrich.waterfall import Usd


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; one is named as in Europe/Berlin") from None
    return name


class CalendarBudget(BaseModel):
    """US dollars by day and by month of the calendar. None: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_day_usd: Usd | None = None
    per_month_usd: Usd | None = None


class ProjectBudget(CalendarBudget):
    """`providers`: a vendor, whose endpoints share one account, or one endpoint. `time_zone`: whose days and months;
    those of the waterfalls' own budgets are the same."""

    time_zone: Annotated[str, AfterValidator(_is_zone)] = Field(
        default="UTC", description="Whose days and months budgets are for, as in Europe/Berlin."
    )
    providers: Mapping[str, CalendarBudget] = Field(
        default_factory=dict, description="Limits of one vendor's account, or of one endpoint."
    )

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


NO_PROJECT_BUDGET = ProjectBudget()
