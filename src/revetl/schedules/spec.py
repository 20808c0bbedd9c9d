"""`schedule:` of a sync or a waterfall, as the operator writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from revetl.errors import did_you_mean

CatchUp = Literal["skip", "last", "all"]
Overlap = Literal["wait", "skip"]
ScheduleKind = Literal["sync", "waterfall"]

DBT_BUILD = "dbt build"
SOURCE_CHANGE = "source change"
EVENTS = (DBT_BUILD, SOURCE_CHANGE)

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_EXAMPLE = "15 5 * * *, a quarter past five each morning"


def _five_fields(text: str) -> str:
    """ValueError for what cron does not take, and for a time that never comes."""
    from cronsim import CronSim, CronSimError

    if len(text.split()) != len(_FIELDS):
        raise ValueError(f"a cron has five fields: {', '.join(_FIELDS)}. Such as {_EXAMPLE}")
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as e:
        if _exists_without_month(text):
            raise ValueError("this time never comes: none of these months has such a day") from None
        named = re.search("minute|hour|day-of-month|month|day-of-week", str(e))
        of = f": its {named[0].replace('-', ' ')} is none" if named else ""
        raise ValueError(f"is no cron{of}. Such as {_EXAMPLE}") from None
    return " ".join(text.split())


def _exists_without_month(text: str) -> bool:
    """Whether only the month makes it a time that never comes, as the 30th of February."""
    from cronsim import CronSim, CronSimError

    minute, hour, day, month, weekday = text.split()
    try:
        for fields in ((minute, hour, day, "*", weekday), (minute, hour, "*", month, weekday)):
            next(CronSim(" ".join(fields), datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        return False
    return True


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


def _zone(name: str) -> str:
    """ValueError with the nearest name. `EST5EDT` and their like are left in: the database has them."""
    if name not in _zones():
        near = did_you_mean(name, sorted(_zones())) or ""
        hint = near if near.startswith("Did") else "Such as Europe/Berlin, America/New_York, UTC."
        raise ValueError(f"there is no time zone {name!r}. {hint}")
    return name


class ScheduleSpec(BaseModel):
    """When it runs by itself. `cron` says when; `after` what must have happened since the last time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: Annotated[str, AfterValidator(_five_fields)] | None = Field(
        default=None, description="Minute, hour, day of the month, month, day of the week."
    )
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="Whose wall clock the cron means, such as Europe/Berlin."
    )
    after: list[str] = Field(
        default=[],
        description="What must have happened since the last time: a sync, a waterfall, `dbt build`, `source change`.",
    )
    build: bool = Field(default=False, description="Build the models that it reads from first.")
    catch_up: CatchUp = Field(
        default="last", description="Of times that nobody was there for: run none, the last one, or all."
    )
    overlap: Overlap = Field(
        default="wait", description="A time that comes while the last run has not ended is kept, or skipped."
    )
    pause: bool = Field(default=False, description="Nothing is due while it stands here.")

    @model_validator(mode="after")
    def _something_starts_it(self) -> Self:
        if self.cron is None and not self.after:
            raise ValueError(f"say when: `cron: {_EXAMPLE.partition(',')[0]}`, or `after: [dbt build]`")
        if self.cron is None and "timezone" in self.model_fields_set:
            raise ValueError("`timezone` is that of a `cron`, and there is none")
        return self


@dataclass(frozen=True, slots=True)
class Schedule:
    """One declared schedule. `subject`: the sync or the waterfall; `model`: what it reads; `where`: file:line."""

    kind: ScheduleKind
    subject: str
    spec: ScheduleSpec
    model: str
    where: str = ""

    @property
    def name(self) -> str:
        """By what the tables know it: a sync and a waterfall may have one name."""
        return f"{self.kind}:{self.subject}"

    @property
    def definition(self) -> str:
        """Changes where times are other ones: what was before is then nobody's."""
        return f"{self.spec.cron} {self.spec.timezone}" if self.spec.cron else ""
