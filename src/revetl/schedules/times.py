"""The times of a schedule, in UTC. cronsim follows Debian's cron over daylight saving: docs/design/schedules.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

from revetl.schedules.spec import ScheduleSpec


def times_after(spec: ScheduleSpec, moment: datetime) -> Iterator[datetime]:
    """Every time after the moment (aware), in order; none without a cron. Ends only where no further one comes."""
    from cronsim import CronSim

    if spec.cron is None:
        return
    last = moment
    for found in CronSim(spec.cron, moment.astimezone(ZoneInfo(spec.timezone))):
        at = found.astimezone(UTC)
        # Of an hour that comes twice, what a clock on the wall shows must not lead back.
        if at > last:
            last = at
            yield at


def times_between(spec: ScheduleSpec, after: datetime, until: datetime) -> list[datetime]:
    """The times in (after, until]."""
    return [*takewhile(lambda at: at <= until, times_after(spec, after))]


def next_time(spec: ScheduleSpec, after: datetime) -> datetime | None:
    return next(times_after(spec, after), None)
