"""What a page shows, read from the tables. Each reader is a few statements over small results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from revetl.alerts.findings import EndedRunRow, read_facts
from revetl.alerts.incidents import Incident, IncidentTables
from revetl.clock import naive
from revetl.model import RunRecord
from revetl.schedules.deciding import DueRun
from revetl.schedules.spec import Schedule
from revetl.schedules.tables import ScheduleTables
from revetl.schedules.times import next_time
from revetl.state import outcomes, runs
from revetl.state.outcomes import RecordOutcome
from revetl.state.schema import relation
from revetl.warehouse.sql import table

if TYPE_CHECKING:
    from revetl.warehouse.base import Warehouse

DAYS = 30
PAGE_ROWS = 50
_MOST_OF_ONE = 5_000
# From what asks for a person to what does not; of a day the first that is there is shown.
_WORST_FIRST = ("failed", "stopped", "interrupted", "partial", "running", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAtAGlance:
    """One sync or waterfall. `health`: a word for each of the last 30 days, the oldest first; "" where none ran.
    `well_at`: when its last run that went well ended. `due`: its due run that waits or is under way."""

    subject: str
    last: EndedRunRow | None
    well_at: datetime | None
    waiting: int
    next_at: datetime | None
    due: DueRun | None
    paused: bool
    health: Sequence[tuple[date, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`read_at`: when it was read: a page shows it with its age."""

    read_at: datetime
    syncs: Sequence[SyncAtAGlance]
    incidents: Sequence[Incident]
    recent: Sequence[RunRecord]
    counted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run and a page of its records. `following`: the key after which the next page begins; None on the last."""

    run: RunRecord
    reasons: Sequence[tuple[str, str, str, int]]
    records: Sequence[RecordOutcome]
    following: str | None


def overview(warehouse: Warehouse, schedules: Sequence[Schedule], now: datetime) -> Overview:
    """Of what is scheduled and of what ran in the last 31 days."""
    facts = read_facts(warehouse, now, {})
    open_runs = ScheduleTables(warehouse).open_runs()
    health = _health(warehouse, now) if facts.runs else {}
    by_subject = {schedule.subject: schedule for schedule in schedules}
    days = [(now - timedelta(days=DAYS - 1 - i)).date() for i in range(DAYS)]
    syncs = []
    for subject in sorted({*by_subject, *facts.runs}):
        schedule = by_subject.get(subject)
        last = next(iter(facts.runs.get(subject, ())), None)
        paused = schedule is not None and schedule.spec.pause
        own = [run for run in open_runs if schedule is not None and run.schedule == schedule.name]
        syncs.append(
            SyncAtAGlance(
                subject=subject,
                last=last,
                well_at=facts.well_at.get(subject),
                waiting=last.waiting if last is not None else 0,
                next_at=next_time(schedule.spec, now) if schedule is not None and not paused else None,
                due=next((run for run in own if run.status == "running"), next(iter(own), None)),
                paused=paused,
                health=[(day, health.get((subject, day.isoformat()), "")) for day in days],
            )
        )
    counted: dict[str, int] = {}
    for run in open_runs:
        counted[run.status] = counted.get(run.status, 0) + 1
    incidents = IncidentTables(warehouse).open_incidents()
    return Overview(
        read_at=now, syncs=syncs, incidents=incidents, recent=runs.list_runs(warehouse, 20), counted=counted
    )


def _health(warehouse: Warehouse, now: datetime) -> dict[tuple[str, str], str]:
    """(subject, day) → the word of that day that most asks for a person."""
    found = warehouse.rows(
        f"""
        SELECT DISTINCT subject, substr(CAST(started_at AS VARCHAR), 1, 10), status
        FROM {table(relation(warehouse, "runs"))}
        WHERE started_at > ?
          AND subject IS NOT NULL
        """,
        [naive(now - timedelta(days=DAYS))],
    )
    words: dict[tuple[str, str], str] = {}
    for subject, day, status in found:
        at = (str(subject), str(day))
        words[at] = min(words.get(at, str(status)), str(status), key=_WORST_FIRST.index)
    return words


def run_page(
    warehouse: Warehouse, run_id: str, *, search: str = "", status: str = "", after: str = ""
) -> RunPage | None:
    """None where there is no such run. `search`: a key or its beginning; `after`: the last key of the page before."""
    run = runs.get_run(warehouse, run_id)
    if run is None:
        return None
    records, following = records_page(warehouse, run.run_id, search=search, status=status, after=after, limit=PAGE_ROWS)
    return RunPage(run=run, reasons=outcomes.reasons(warehouse, run.run_id), records=records, following=following)


def records_page(
    warehouse: Warehouse, run_id: str, *, search: str, status: str, after: str, limit: int
) -> tuple[list[RecordOutcome], str | None]:
    """Outcomes by key, and the key after which the next page begins; None on the last. About `limit`: what one record
    has (itself, and its links) is never parted, since the next page begins after its key."""

    def ask(rows: int) -> list[RecordOutcome]:
        return outcomes.page_of_run(warehouse, run_id, beginning=search, status=status, after=after, limit=rows)

    found = ask(limit + 1)
    if len(found) <= limit:
        return found, None
    if found[0].key == found[-1].key:  # one record with more than a page
        found = ask(_MOST_OF_ONE + 1)
        if len(found) <= _MOST_OF_ONE and found[0].key == found[-1].key:
            return found, None
        own = [outcome for outcome in found if outcome.key == found[0].key]
        return own, found[0].key
    whole = [outcome for outcome in found if outcome.key != found[-1].key]
    return whole, whole[-1].key


def changes_of(outcome: RecordOutcome) -> list[tuple[str, Any, Any]]:
    """(field, before, after) of what was sent."""
    names = dict.fromkeys([*outcome.changed_fields, *outcome.before, *outcome.after])
    return [(name, outcome.before.get(name), outcome.after.get(name)) for name in names]
