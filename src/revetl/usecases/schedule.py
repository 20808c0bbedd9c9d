"""`revetl schedule`: what runs next, what was missed, and why one waits. `outlook` is what the service asks too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from revetl.clock import naive
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.project.health import BAD
from revetl.schedules.deciding import DueRun, ScheduleState
from revetl.schedules.spec import DBT_BUILD, SOURCE_CHANGE, Schedule
from revetl.schedules.tables import ScheduleTables
from revetl.schedules.times import times_after
from revetl.state.schema import relation
from revetl.usecases.caller import Caller
from revetl.warehouse.sql import from_dialect, table

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

_RECENT = timedelta(days=7)
NEXT_TIMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a due run of one schedule waits for now, as phrases; none where it may start. `source_mark`: the newest
    moment of its sources, where the schedule asks for it."""

    unmet: tuple[str, ...] = ()
    source_mark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule, for a person. Times are aware, UTC.

    state    paused, waiting, running, or scheduled: nothing is due
    why      why it waits, or why nothing is due though it has no cron
    next     its next times; none where it has no cron
    last     its last due run that was not missed or skipped
    missed   times of the last seven days that were missed or skipped, by row
    """

    schedule: str
    kind: str
    subject: str
    cron: str | None
    timezone: str
    after: tuple[str, ...]
    declared: str
    state: str
    why: tuple[str, ...]
    next: tuple[datetime, ...]
    last: DueRun | None
    missed: tuple[DueRun, ...]


def view(project: Project, caller: Caller) -> list[ScheduleView]:
    """Every declared schedule, in order. ConfigError with every mistake in them; WarehouseError."""
    schedules = project.schedules()
    if not schedules:
        return []
    now = caller.clock.now()
    with caller.warehouse(project) as warehouse:
        tables = ScheduleTables(warehouse)
        states, open_runs, ended = tables.states(), tables.open_runs(), tables.newest()
        missed = tables.missed_since(now - _RECENT)
        found = []
        for schedule in schedules:
            state = states.get(schedule.name)
            outlook_ = outlook(project, warehouse, schedule, state)
            own = [run for run in open_runs if run.schedule == schedule.name]
            word, why = _situation(schedule, own, outlook_, state)
            found.append(
                ScheduleView(
                    schedule=schedule.name,
                    kind=schedule.kind,
                    subject=schedule.subject,
                    cron=schedule.spec.cron,
                    timezone=schedule.spec.timezone,
                    after=tuple(schedule.spec.after),
                    declared=schedule.where,
                    state=word,
                    why=why,
                    next=() if schedule.spec.pause else (*islice(times_after(schedule.spec, now), NEXT_TIMES),),
                    last=next((r for r in ended if r.schedule == schedule.name and _ran(r)), None),
                    missed=tuple(run for run in missed if run.schedule == schedule.name),
                )
            )
    return found


def _ran(run: DueRun) -> bool:
    return run.status not in ("missed", "skipped", "waiting")


def _situation(
    schedule: Schedule, own: Sequence[DueRun], outlook_: Outlook, state: ScheduleState | None
) -> tuple[str, tuple[str, ...]]:
    if schedule.spec.pause:
        return "paused", (f"`pause: true` in {schedule.where}",)
    if running := next((run for run in own if run.status == "running"), None):
        return "running", (f"on {running.worker} since {running.began_at:%Y-%m-%d %H:%M} UTC",)
    if state is None:
        return "scheduled", ("no service has seen it yet: `revetl serve`",)
    waiting = next((run for run in own if run.status == "waiting"), None)
    if waiting is not None:
        return "waiting", outlook_.unmet or (waiting.reason or "for its turn",)
    return "scheduled", () if schedule.spec.cron else outlook_.unmet


def outlook(project: Project, warehouse: Warehouse, schedule: Schedule, state: ScheduleState | None) -> Outlook:
    """What of `after` has not happened since the last due run began. WarehouseError."""
    if not schedule.spec.after:
        return Outlook()
    since = state.counts_from if state is not None else None
    unmet, mark = list[str](), None
    for name in schedule.spec.after:
        if name == DBT_BUILD:
            unmet += _not_built(project, schedule, since)
        elif name == SOURCE_CHANGE:
            mark = _source_mark(project, warehouse, schedule)
            if state is None or mark == state.source_mark:
                unmet.append("a source to change")
        elif not _ended_since(warehouse, name, since):
            unmet.append(f"{name}, which has not run well since {_said(since)}")
    return Outlook(unmet=tuple(unmet), source_mark=mark)


def _said(since: datetime | None) -> str:
    return "it was first seen" if since is None else f"{since:%Y-%m-%d %H:%M} UTC"


def _ended_since(warehouse: Warehouse, subject: str, since: datetime | None) -> bool:
    runs = relation(warehouse, "runs")
    if since is None or not warehouse.columns(runs):
        return False
    found = warehouse.rows(
        f"""
        SELECT 1
        FROM {table(runs)}
        WHERE subject = ?
          AND status IN ('done', 'partial')
          AND command <> 'rollback'
          AND finished_at > ?
        LIMIT 1
        """,
        [subject, naive(since)],
    )
    return bool(found)


def _not_built(project: Project, schedule: Schedule, since: datetime | None) -> list[str]:
    id_ = project.manifest.model_id(schedule.model)
    last = project.health().nodes.get(id_ or "")
    if last is None or not last.at:
        return [f"dbt to build {schedule.model}"]
    if last.status in BAD:
        return [f"dbt to build {schedule.model} well: its last build ended with {last.status}"]
    at = datetime.fromisoformat(last.at)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if since is None or at <= since:
        return [f"dbt to build {schedule.model}, last built {at:%Y-%m-%d %H:%M} UTC"]
    return []


def _source_mark(project: Project, warehouse: Warehouse, schedule: Schedule) -> str:
    """The newest moment of each source that says one. ConfigError where its expression can't be read."""
    found = []
    for source, said in project.manifest.source_moments(schedule.model):
        expression = _expression(said, warehouse.dialect, source)
        ((moment,),) = warehouse.rows(f"SELECT max({expression}) FROM {table(source)}")
        found.append(f"{source.schema}.{source.name}={moment!s}")
    return " ".join(found)


def _expression(said: str, dialect: str, source: Relation) -> str:
    try:
        return from_dialect(said, dialect)
    except ValueError as e:
        raise ConfigError(f"source {source.schema}.{source.name}: loaded_at_field can't be read: {e}") from None
