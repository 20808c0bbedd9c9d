"""When a run is due: what may be declared, the times of a year with daylight saving, and what becomes of each."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from pydantic import ValidationError

from revetl.schedules.deciding import DueRun, ScheduleState, decide, first_seen
from revetl.schedules.spec import Schedule, ScheduleSpec
from revetl.schedules.tables import ScheduleTables
from revetl.schedules.times import times_after, times_between
from revetl.state.schema import TABLES, create_all
from revetl.warehouse.duckdb import DuckDBWarehouse

NIGHT = datetime(2026, 3, 2, 5, 15, tzinfo=UTC)


def schedule(**said: object) -> Schedule:
    return Schedule("sync", "contacts", ScheduleSpec.model_validate(said), "contacts", "x.yml:1")


def state(at: datetime, of: Schedule) -> ScheduleState:
    return replace(first_seen(of, at), decided_until=at)


def told(**said: object) -> str:
    with pytest.raises(ValidationError) as error:
        ScheduleSpec.model_validate(said)
    return str(error.value)


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"cron": "5 * *"}, "five fields: minute, hour, day of the month, month, day of the week"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "@daily"}, "five fields"),
        ({"cron": "61 * * * *"}, "its minute is none. Such as 15 5"),
        ({"cron": "0 0 30 2 *"}, "never comes"),
        ({"cron": "0 0 31 4,6 *"}, "never comes"),
        ({"cron": "0 0 * * 9"}, "its day of week is none"),
        ({"cron": "0 5 * * *", "timezone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'?"),
        ({"cron": "0 5 * * *", "timezone": "CET+1"}, "no time zone"),
        ({}, "say when: `cron: 15 5"),
        ({"after": ["dbt build"], "timezone": "UTC"}, "`timezone` is that of a `cron`"),
        ({"cron": "0 5 * * *", "catch_up": "some"}, "'skip', 'last' or 'all'"),
        ({"cron": "0 5 * * *", "retries": 3}, "Extra inputs are not permitted"),
    ],
)
def test_what_can_never_run_is_refused_with_what_to_write(said: dict[str, object], because: str) -> None:
    assert because in told(**said)


def utc(cron: str, zone: str, start: str, most: int) -> list[str]:
    spec = ScheduleSpec(cron=cron, timezone=zone)
    return [f"{at:%m-%d %H:%M}" for at in islice(times_after(spec, datetime.fromisoformat(start)), most)]


@pytest.mark.parametrize(
    ("cron", "start", "times"),
    [
        # 2026-03-29: 02:00 to 03:00 is skipped in Berlin. The fixed hour runs at the moment after the gap.
        ("30 2 * * *", "2026-03-28T12:00Z", ["03-29 01:00", "03-30 00:30"]),
        ("*/30 * * * *", "2026-03-29T00:10Z", ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"]),
        # 2026-10-25: 02:00 to 03:00 comes twice. The fixed hour runs in the first of the two.
        ("30 2 * * *", "2026-10-24T12:00Z", ["10-25 00:30", "10-26 01:30"]),
        ("*/30 * * * *", "2026-10-24T23:40Z", ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]),
    ],
)
def test_an_hour_that_is_skipped_or_comes_twice(cron: str, start: str, times: list[str]) -> None:
    assert utc(cron, "Europe/Berlin", start, len(times)) == times


def test_every_time_of_a_year_is_decided_once_wherever_a_service_looks() -> None:
    """Looks at odd moments, over both changes of the clock: the pieces fit without gap or overlap."""
    of = schedule(cron="*/20 1-3 * * *", timezone="America/New_York")
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    found, at, held = [], start, state(start, of)
    while at < end:
        at += timedelta(minutes=17, hours=at.day % 30)
        decision = decide(of, held, (), at, serving_since=start)
        found += [run.due_at for run in decision.new]
        held = decision.state
    assert found == times_between(of.spec, start, at)
    assert len(found) > 3_000


def statuses(runs: tuple[DueRun, ...]) -> list[tuple[str, str, int]]:
    return [(run.status, f"{run.due_at:%d %H:%M}", run.missed) for run in runs]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", [("missed", "05 05:15", 3)]),
        ("last", [("missed", "04 05:15", 2), ("waiting", "05 05:15", 0)]),
        ("all", [("waiting", "03 05:15", 0), ("waiting", "04 05:15", 0), ("waiting", "05 05:15", 0)]),
    ],
)
def test_times_that_nobody_was_there_for(policy: str, expected: list[tuple[str, str, int]]) -> None:
    of = schedule(cron="15 5 * * *", catch_up=policy)
    back = datetime(2026, 3, 5, 12, tzinfo=UTC)
    decision = decide(of, state(NIGHT, of), (), back, serving_since=back)
    assert statuses(decision.new) == expected
    missed = decision.new[0]
    if missed.status == "missed":
        assert missed.since == datetime(2026, 3, 3, 5, 15, tzinfo=UTC)
    # Once decided they never come again.
    assert decide(of, decision.state, (), back + timedelta(minutes=1), serving_since=back).new == ()


def test_a_time_that_comes_while_a_long_run_kept_the_service_from_looking_is_on_time() -> None:
    of = schedule(cron="15 5 * * *", catch_up="skip")
    serving = NIGHT - timedelta(days=3)
    late_look = NIGHT + timedelta(hours=2)
    decision = decide(of, state(NIGHT - timedelta(hours=1), of), (), late_look, serving_since=serving)
    assert statuses(decision.new) == [("waiting", "02 05:15", 0)]


def test_a_year_of_a_minutes_cron_is_bounded() -> None:
    of = schedule(cron="* * * * *", catch_up="all")
    back = NIGHT + timedelta(days=365)
    new = decide(of, state(NIGHT, of), (), back, serving_since=back).new
    assert [run.status for run in new].count("waiting") == 100 + 6  # and those of the last five minutes
    assert 44_000 < new[0].missed < 44_640


def test_overlap_keeps_one_or_none() -> None:
    running = DueRun(schedule="sync:contacts", due_at=NIGHT, status="running")
    at = NIGHT + timedelta(days=1, seconds=3)
    kept = schedule(cron="15 5 * * *")
    decision = decide(kept, state(NIGHT, kept), (running,), at, serving_since=NIGHT)
    assert statuses(decision.new) == [("waiting", "03 05:15", 0)]
    more = decide(kept, decision.state, (running, *decision.new), at + timedelta(days=1), serving_since=NIGHT)
    assert statuses(more.new) == [("skipped", "04 05:15", 0)]
    assert more.new[0].reason == "the run due at 2026-03-03 05:15 UTC waits and stands for it"
    none = schedule(cron="15 5 * * *", overlap="skip")
    decision = decide(none, state(NIGHT, none), (running,), at, serving_since=NIGHT)
    assert [run.reason for run in decision.new] == ["the run due at 2026-03-02 05:15 UTC had not ended"]


def test_nothing_is_due_for_times_before_it_was_seen_paused_or_edited() -> None:
    of = schedule(cron="15 5 * * *")
    assert decide(of, None, (), NIGHT, serving_since=NIGHT).new == ()
    day = NIGHT + timedelta(days=1)
    paused = schedule(cron="15 5 * * *", pause=True)
    decision = decide(paused, state(NIGHT, paused), (), day, serving_since=NIGHT)
    assert decision.new == ()
    assert decide(of, decision.state, (), day, serving_since=NIGHT).new == ()
    edited = schedule(cron="0 5 * * *")
    assert decide(edited, state(NIGHT, of), (), day, serving_since=NIGHT).new == ()


def test_a_clock_that_is_set_back_decides_nothing_twice() -> None:
    of = schedule(cron="15 5 * * *")
    held = decide(of, state(NIGHT, of), (), NIGHT + timedelta(days=1), serving_since=NIGHT)
    assert len(held.new) == 1
    back = decide(of, held.state, (), NIGHT + timedelta(hours=20), serving_since=NIGHT)
    assert (back.new, back.state) == ((), held.state)


def test_what_has_no_cron_is_due_once_all_has_happened() -> None:
    of = schedule(after=["dbt build"])
    later = NIGHT + timedelta(minutes=1)
    assert decide(of, state(NIGHT, of), (), later, serving_since=NIGHT, unmet=["dbt to build it"]).new == ()
    new = decide(of, state(NIGHT, of), (), later, serving_since=NIGHT).new
    assert statuses(new) == [("waiting", "02 05:16", 0)]
    assert decide(of, state(NIGHT, of), new, later, serving_since=NIGHT).new == ()


def test_the_tables_give_back_what_was_written(tmp_path: Path) -> None:
    assert [field.name for field in fields(DueRun)] == [name for name, _ in TABLES["scheduled_runs"]]
    of = schedule(cron="15 5 * * *", catch_up="all")
    back = datetime(2026, 3, 5, 12, tzinfo=UTC)
    warehouse = DuckDBWarehouse(tmp_path / "x.duckdb", state_schema="revetl", settings={})
    tables = ScheduleTables(warehouse)
    assert (tables.states(), tables.open_runs(), tables.newest()) == ({}, [], [])
    create_all(warehouse)
    decision = decide(of, state(NIGHT, of), (), back, serving_since=back)
    tables.write(decision)
    assert tables.open_runs() == list(decision.new)
    began = replace(decision.new[0], status="running", worker="w", attempts=1, began_at=back)
    tables.change(began)
    assert tables.states() == {of.name: replace(decision.state, last_began=back)}
    ended = replace(began, status="stopped", reason="a guardrail", ended_at=back, exit_code=3)
    tables.change(ended)
    assert tables.newest()[-1] == ended
    assert tables.open_runs() == list(decision.new[1:])
    tables.change(began)  # a worker that was followed meanwhile: what has ended stays as it is
    assert tables.newest()[-1] == ended
    warehouse.close()
