"""Which times of a schedule are due, late, missed or skipped. Plain values in and out: no clock, no warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from revetl.schedules.spec import Schedule
from revetl.schedules.times import times_between

DueStatus = Literal["waiting", "running", "done", "partial", "stopped", "failed", "missed", "skipped"]
OPEN: tuple[DueStatus, ...] = ("waiting", "running")

# A service looks every few seconds; a machine that sleeps or a warehouse that is away for a moment is not a missed run.
ON_TIME = timedelta(minutes=5)
LOOK_BACK = timedelta(days=31)  # a minute's cron has 44,640 times in them, which take a fifth of a second
MOST_CAUGHT_UP = 100
MOST_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRun:
    """One row of `scheduled_runs`. `due_at` and the others are aware, UTC; `due_at` and `schedule` name the row."""

    schedule: str
    due_at: datetime
    status: DueStatus
    reason: str | None = None
    since: datetime | None = None
    missed: int = 0
    worker: str | None = None
    attempts: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """One row of `schedules`. `last_began`: when its last due run began, None where none did."""

    schedule: str
    definition: str
    since: datetime
    decided_until: datetime
    source_mark: str | None = None
    last_began: datetime | None = None

    @property
    def counts_from(self) -> datetime:
        """What is under `after` has happened where it did after this."""
        return self.since if self.last_began is None else max(self.since, self.last_began)


@dataclass(frozen=True, slots=True)
class ScheduleDecision:
    """The row of the schedule as it is from now on, and rows that are new."""

    state: ScheduleState
    new: tuple[DueRun, ...] = ()


def first_seen(schedule: Schedule, now: datetime) -> ScheduleState:
    return ScheduleState(schedule=schedule.name, definition=schedule.definition, since=now, decided_until=now)


def decide(
    schedule: Schedule,
    state: ScheduleState | None,
    open_runs: Sequence[DueRun],
    now: datetime,
    *,
    serving_since: datetime,
    unmet: Sequence[str] = (),
) -> ScheduleDecision:
    """What becomes of the times in (`decided_until`, now]. `open_runs`: of this schedule, waiting or running.
    `serving_since`: from when on somebody was there; a time after it is on time however late it is looked at.
    `unmet`: what is under `after` and has not happened."""
    if state is None:
        return ScheduleDecision(first_seen(schedule, now))
    if state.definition != schedule.definition:
        edited = replace(state, definition=schedule.definition, decided_until=now)
        return ScheduleDecision(edited)
    if now <= state.decided_until:  # the clock was set back: nothing is decided twice
        return ScheduleDecision(state)
    decided = replace(state, decided_until=now)
    if schedule.spec.pause:
        return ScheduleDecision(decided)
    if schedule.spec.cron is None:
        if open_runs or unmet:
            return ScheduleDecision(decided)
        return ScheduleDecision(decided, (DueRun(schedule=schedule.name, due_at=now, status="waiting"),))
    times = times_between(schedule.spec, max(state.decided_until, now - LOOK_BACK), now)
    on_time_from = min(serving_since, now - ON_TIME)
    late = [at for at in times if at < on_time_from]
    due, missed = _caught_up(schedule, late, times[len(late) :])
    return ScheduleDecision(decided, (*_missed(schedule, missed), *_overlapping(schedule, due, open_runs)))


def _caught_up(
    schedule: Schedule, late: list[datetime], on_time: list[datetime]
) -> tuple[list[datetime], list[datetime]]:
    """(due, missed) by the catch-up policy. `last`: where one is on time, it stands for those before it."""
    policy = schedule.spec.catch_up
    kept = 0 if policy == "skip" else MOST_CAUGHT_UP if policy == "all" else int(not on_time)
    taken = late[len(late) - kept :] if 0 < kept < len(late) else late if kept else []
    return [*taken, *on_time], late[: len(late) - len(taken)]


def _missed(schedule: Schedule, times: list[datetime]) -> tuple[DueRun, ...]:
    if not times:
        return ()
    reason = "nobody was there to run it"
    row = DueRun(
        schedule=schedule.name,
        due_at=times[-1],
        status="missed",
        reason=reason,
        since=times[0],
        missed=len(times),
    )
    return (row,)


def _overlapping(schedule: Schedule, due: list[datetime], open_runs: Sequence[DueRun]) -> list[DueRun]:
    """Each due time as waiting, or as skipped where its last run has not ended and none is kept."""
    found: list[DueRun] = []
    waiting = next((run.due_at for run in open_runs if run.status == "waiting"), None)
    running = next((run.due_at for run in open_runs if run.status == "running"), None)
    for at in due:
        if waiting is not None and schedule.spec.catch_up != "all":
            why = f"the run due at {waiting:%Y-%m-%d %H:%M} UTC waits and stands for it"
        elif running is not None and schedule.spec.overlap == "skip":
            why = f"the run due at {running:%Y-%m-%d %H:%M} UTC had not ended"
        else:
            found.append(DueRun(schedule=schedule.name, due_at=at, status="waiting"))
            waiting = at
            continue
        found.append(DueRun(schedule=schedule.name, due_at=at, status="skipped", reason=why))
    return found
