"""Schedules on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.schedules.deciding import DueRun
    from revetl.usecases.schedule import ScheduleView

_MOST_MISSED = 10


def show_schedules(screen: Console, views: Sequence[ScheduleView]) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table("schedule", "when", "next", "last", "state", box=None, pad_edge=False, show_edge=False)
    for view in views:
        next_ = _at(view.next[0], view.timezone) if view.next else ""
        shown.add_row(*map(Text, (view.schedule, _when(view), next_, _last(view.last, view.timezone), view.state)))
    screen.print(shown)
    for view in views:
        for reason in view.why:
            screen.print(f"{view.schedule}: {_verb(view.state)}{reason}", markup=False, soft_wrap=True)
    for view in views:
        for row in view.missed[:_MOST_MISSED]:
            screen.print(f"{view.schedule}: {_missed(row, view.timezone)}", markup=False, soft_wrap=True)


def _verb(state: str) -> str:
    return "waits for " if state == "waiting" else "nothing is due: " if state == "scheduled" else f"{state}: "


def _when(view: ScheduleView) -> str:
    zone = "" if view.timezone == "UTC" else f" {view.timezone}"
    after = "after " + ", ".join(view.after) if view.after else ""
    return " ".join(word for word in (view.cron and view.cron + zone, after) if word)


def _at(moment: datetime, zone: str) -> str:
    """On the wall clock of the schedule, with its offset: of an hour that comes twice, which."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %z}"


def _last(run: DueRun | None, zone: str) -> str:
    return "" if run is None else f"{_at(run.due_at, zone)} {run.status}"


def _missed(row: DueRun, zone: str) -> str:
    if row.status == "skipped":
        return f"skipped {_at(row.due_at, zone)}: {row.reason}"
    span = _at(row.due_at, zone)
    if row.missed > 1 and row.since is not None:
        span = f"{row.missed:,} times from {_at(row.since, zone)} to {span}"
    return f"missed {span}: {row.reason}"
