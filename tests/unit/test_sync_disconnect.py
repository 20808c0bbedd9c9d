"""Leaving a destination: what stands there because of us, what becomes of it, and the end of the state."""

from __future__ import annotations

import asyncio
import csv
import json
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from revetl.clock import LoopClock
from revetl.destinations.base import DestinationField, ObjectSchema, RecordMatch
from revetl.errors import Ambiguous, ConfigError, GuardrailError, LeaseError
from revetl.model import EXISTED, Association, Guardrails, Scalar
from revetl.state import runs, syncs
from revetl.sync.disconnect.disconnecting import DisconnectOptions, DisconnectReport, disconnect
from revetl.sync.disconnect.taking_back import STOOD_BEFORE, Leaving
from revetl.sync.leasing import leased
from revetl.sync.rollback.rolling_back import roll_back
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import ANN, BOB, CID, Bench, drift
from tests.unit.test_sync_links import DDL, FIRMS, Two


async def leave(bench: Bench, way: Leaving = Leaving.LEAVE, **options: Any) -> DisconnectReport:
    known = syncs.read(bench.warehouse, bench.spec.name)
    assert known is not None
    asked = None if way is Leaving.LEAVE else bench.destination
    ctx = bench.context(command="disconnect", state_dir=options.pop("state_dir", None))
    return await disconnect(ctx, known, asked, DisconnectOptions(way=way, **options))


def left(bench: Bench, way: Leaving = Leaving.LEAVE, **options: Any) -> DisconnectReport:
    return asyncio.run(leave(bench, way, **options))


def state_of(bench: Bench) -> list[str]:
    """What lasts: Snowflake lists a session's temporary tables too."""
    present = bench.warehouse.tables("revetl")
    return sorted(n for n in present if n.endswith("fake__contacts") and not n.startswith("revetl_"))


@pytest.fixture
def bench() -> Bench:
    """Ann is a record of others, whose city we wrote over an earlier one; Bob was made by others and equal; we made
    Cid."""
    b = Bench()
    b.destination.make(email="ann@x.io", firstname="Ann", city="Paris")
    b.destination.make(email="bob@x.io", firstname="Bob")
    b.source([ANN, BOB, CID])
    b.run()
    return b


def fields_of(bench: Bench, email: str) -> dict[Scalar, Any]:
    return dict(bench.destination.by("email")[email])


def test_what_stands_there_because_of_us_is_counted(bench: Bench) -> None:
    plan = left(bench, dry_run=True).plan
    standing = plan.standing
    assert (standing.records, standing.created, standing.written, standing.matched) == (3, 1, 1, 1)
    assert standing.fields == {"city": 1}
    assert plan.tables
    assert state_of(bench)  # nothing was done


def test_leaving_changes_nothing_there_and_the_state_goes(bench: Bench) -> None:
    before = {i: dict(r) for i, r in bench.destination.records.items()}
    bench.destination.written.clear()
    report = left(bench)
    assert (report.status, report.exit_code, report.disconnected) == ("done", 0, True)
    assert bench.destination.records == before
    assert bench.destination.written == []
    assert state_of(bench) == []
    # What its runs did is told for ever.
    assert [run.command for run in runs.list_runs(bench.warehouse)] == ["disconnect", "sync"]
    assert bench.rows("SELECT count(*) FROM revetl.outcomes WHERE sync = 'fake__contacts'") == [(3,)]


def test_clearing_gives_back_what_stood_before_us(bench: Bench) -> None:
    report = left(bench, Leaving.CLEAR)
    assert (report.status, report.counts["ok"]) == ("done", 2)
    assert fields_of(bench, "ann@x.io") == {"email": "ann@x.io", "firstname": "Ann", "city": "Paris"}
    assert fields_of(bench, "bob@x.io") == {"email": "bob@x.io", "firstname": "Bob"}
    # A record of ours keeps what it is found by.
    assert fields_of(bench, "cid@x.io") == {"email": "cid@x.io"}
    assert state_of(bench) == []


def test_the_earliest_value_comes_back_whatever_we_wrote_since(bench: Bench) -> None:
    for city in ("Rome", "Bern", None):
        bench.source([("1", "ann@x.io", "Ann", city), BOB, CID])
        bench.run()
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


def ann_of(bench: Bench) -> dict[str, Scalar]:
    return next(r for r in bench.destination.records.values() if r["email"] == "ann@x.io")


def with_city(bench: Bench, city: str) -> None:
    """Ann's city in the model is another, and is sent."""
    bench.source([("1", "ann@x.io", "Ann", city), BOB, CID])
    bench.run()
    assert ann_of(bench)["city"] == city


def take_back_last(bench: Bench) -> None:
    last = runs.list_runs(bench.warehouse, 1)[0]
    asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, last))


def test_what_a_person_wrote_between_two_writes_of_ours_comes_back(bench: Bench) -> None:
    with_city(bench, "Rome")
    ann_of(bench)["city"] = "Lyon"
    with_city(bench, "Bern")
    with_city(bench, "Ulm")
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io")["city"] == "Lyon"


def test_after_a_rollback_a_later_write_is_the_first(bench: Bench) -> None:
    take_back_last(bench)
    assert ann_of(bench)["city"] == "Paris"
    ann_of(bench)["city"] = "Lyon"
    assert left(bench, Leaving.CLEAR, dry_run=True).plan.standing.written == 0
    with_city(bench, "Bern")
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io")["city"] == "Lyon"


def test_a_rollback_of_the_second_write_leaves_the_first_to_be_taken_back(bench: Bench) -> None:
    with_city(bench, "Rome")
    take_back_last(bench)
    assert ann_of(bench)["city"] == "Riga"
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


def test_a_write_whose_answer_was_lost_breaks_no_series(bench: Bench) -> None:
    bench.destination.after_write = lambda _: (_ for _ in ()).throw(RuntimeError)
    bench.source([("1", "ann@x.io", "Ann", "Rome"), BOB, CID])
    bench.run()
    bench.destination.after_write = lambda _: None
    with_city(bench, "Bern")
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


@pytest.mark.parametrize("way", [Leaving.CLEAR, Leaving.ARCHIVE])
def test_a_sync_that_is_connected_again_knows_nothing_of_its_earlier_life(bench: Bench, way: Leaving) -> None:
    left(bench)
    bench.clock = LoopClock(datetime(2026, 1, 2, tzinfo=UTC))
    syncs.reconnect(bench.warehouse, "fake__contacts")
    ann_of(bench)["city"] = "Lyon"
    bench.destination.fields = ("email", "firstname", "city", "synced")
    bench.sync_as(metadata={"synced": "run_id"})  # what is declared changes, and the sync is written down anew
    with_city(bench, "Bern")
    report = left(bench, way)
    standing = report.plan.standing
    assert (standing.created, standing.written, standing.matched) == (0, 1, 2)
    assert fields_of(bench, "ann@x.io")["city"] == ("Lyon" if way is Leaving.CLEAR else "Bern")
    assert "cid@x.io" in bench.destination.by("email"), "it was found, not made, in this life"


@pytest.mark.parametrize("way", [Leaving.CLEAR, Leaving.ARCHIVE])
def test_what_we_wrote_under_another_key_is_ours(bench: Bench, way: Leaving) -> None:
    anew = [("1b", *ANN[1:3], "Bern"), ("2b", *BOB[1:]), ("3b", *CID[1:])]
    bench.source(anew)
    bench.run()
    report = left(bench, way)
    standing = report.plan.standing
    assert (standing.records, standing.created, standing.written, standing.matched) == (3, 1, 1, 1)
    assert report.disconnected
    if way is Leaving.CLEAR:
        assert fields_of(bench, "ann@x.io") == {"email": "ann@x.io", "firstname": "Ann", "city": "Paris"}
        assert fields_of(bench, "cid@x.io") == {"email": "cid@x.io"}
    else:
        assert sorted(bench.destination.by("email")) == ["ann@x.io", "bob@x.io"]


def test_who_only_reads_makes_no_table_of_a_sync_that_was_disconnected(bench: Bench) -> None:
    (run,) = runs.list_runs(bench.warehouse, 1)
    left(bench)
    before = bench.warehouse.tables("revetl")
    assert (drift(bench).read, drift(bench).drifted) == (0, 0)
    with pytest.raises(ConfigError, match="holds no record"):
        drift(bench, keys=["1"])
    with pytest.raises(ConfigError, match="nothing can be taken back"):
        asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, run))
    assert bench.warehouse.tables("revetl") == before


def test_what_a_person_edited_since_is_left(bench: Bench) -> None:
    ann, cid = (
        next(i for i, r in bench.destination.records.items() if r["email"] == e) for e in ("ann@x.io", "cid@x.io")
    )
    bench.destination.records[ann]["city"] = "Hand"
    bench.destination.records[cid]["city"] = "Hand"
    report = left(bench, Leaving.CLEAR)
    assert report.status == "done"
    assert fields_of(bench, "ann@x.io")["city"] == "Hand"
    assert fields_of(bench, "cid@x.io") == {"email": "cid@x.io", "city": "Hand"}
    assert report.plan.changes is not None
    assert ("edited there since", False, 2) in report.plan.changes.reasons


def test_archiving_takes_only_what_we_made_and_nobody_edited(bench: Bench) -> None:
    dan = ("4", "dan@x.io", "Dan", "Ulm")
    bench.source([ANN, BOB, CID, dan])
    bench.run()
    id_ = next(i for i, r in bench.destination.records.items() if r["email"] == "dan@x.io")
    bench.destination.records[id_]["city"] = "Hand"
    report = left(bench, Leaving.ARCHIVE)
    assert report.plan.changes is not None
    assert (report.plan.changes.archive, report.plan.changes.left) == (1, 1)
    assert sorted(bench.destination.by("email")) == ["ann@x.io", "bob@x.io", "dan@x.io"]
    assert fields_of(bench, "ann@x.io")["city"] == "Riga"  # a record of others is left as it stands
    assert state_of(bench) == []


def test_a_record_that_was_found_after_a_lost_answer_is_not_taken_for_ours() -> None:
    bench = Bench()
    bench.source([CID])
    bench.destination.after_write = lambda _: (_ for _ in ()).throw(RuntimeError)
    bench.run()
    bench.destination.after_write = lambda _: None
    bench.run()
    report = left(bench, Leaving.ARCHIVE)
    assert (report.plan.standing.created, len(bench.destination.records)) == (0, 1)


def test_an_archive_without_an_answer_is_done_again(bench: Bench) -> None:
    def lost(_: object) -> None:
        raise Ambiguous("no answer")

    bench.destination.before_write = lost
    report = left(bench, Leaving.ARCHIVE)
    assert (report.exit_code, report.disconnected, report.counts["unknown"]) == (1, False, 1)
    bench.destination.before_write = lambda _: None
    assert left(bench, Leaving.ARCHIVE).disconnected
    assert sorted(bench.destination.by("email")) == ["ann@x.io", "bob@x.io"]


def test_what_stood_there_when_our_create_arrived_is_not_ours() -> None:
    bench = Bench()
    bench.source([CID])
    bench.destination.answer = lambda outcomes: [replace(o, error_code=EXISTED) for o in outcomes]
    bench.run()
    bench.destination.answer = lambda outcomes: outcomes
    report = left(bench, Leaving.ARCHIVE)
    assert (report.plan.standing.created, len(bench.destination.records), report.disconnected) == (0, 1, True)


class OldFake(FakeDestination):
    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        found = await super().read_back(object_, ids, fields)
        return {id_: replace(match, created_at=datetime(2020, 1, 1, tzinfo=UTC)) for id_, match in found.items()}


def test_a_record_that_is_older_than_our_run_is_not_archived() -> None:
    bench = Bench(destination=OldFake())
    bench.source([CID])
    bench.run()
    report = left(bench, Leaving.ARCHIVE)
    assert report.plan.changes is not None
    assert report.plan.changes.reasons == [(STOOD_BEFORE, True, 1)]
    assert len(bench.destination.records) == 1


def test_a_write_whose_answer_was_lost_is_taken_back_where_it_arrived(bench: Bench) -> None:
    def lost(_: object) -> None:
        raise Ambiguous("no answer")

    bench.source([("1", "ann@x.io", "Ann", "Rome"), BOB, CID])
    bench.destination.after_write = lost
    bench.run()
    bench.destination.after_write = lambda _: None
    assert fields_of(bench, "ann@x.io")["city"] == "Rome"
    assert left(bench, Leaving.CLEAR).disconnected
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


def test_the_mapping_is_for_its_owner_and_safe_for_spreadsheets(bench: Bench, tmp_path: Path) -> None:
    bench.source([ANN, ("=cmd", "x@x.io", "X", None)])
    bench.run()
    file = tmp_path / "mapping.csv"
    report = left(bench, mapping=file)
    rows = list(csv.DictReader(file.open()))
    assert report.mapped == len(rows) == 4
    assert {row["key"] for row in rows} == {"1", "2", "3", "'=cmd"}
    assert all(row["record_id"] and row["destination"] == "fake" and row["object"] == "contacts" for row in rows)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_mapping_as_ndjson_is_exact(bench: Bench, tmp_path: Path) -> None:
    bench.source([("=cmd", "x@x.io", "X", None)])
    bench.run()
    file = tmp_path / "mapping.ndjson"
    left(bench, mapping=file)
    assert "=cmd" in {json.loads(line)["key"] for line in file.read_text().splitlines()}


def test_a_mapping_that_cannot_be_written_keeps_the_state(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="written as"):
        left(bench, mapping=tmp_path / "mapping.xlsx")
    with pytest.raises(ConfigError, match="no folder"):
        left(bench, mapping=tmp_path / "no" / "mapping.csv")
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(OSError, match="directory"):
        left(bench, mapping=tmp_path / "taken.csv")
    assert "snapshot__fake__contacts" in state_of(bench)


def test_it_may_be_done_twice(bench: Bench) -> None:
    left(bench)
    known = syncs.read(bench.warehouse, "fake__contacts")
    assert known is not None
    assert known.disconnected_at is not None
    again = left(bench)
    assert (again.already, again.disconnected, again.exit_code) == (True, True, 0)


def test_nothing_is_sent_of_it_any_more_until_it_is_connected_again(bench: Bench, tmp_path: Path) -> None:
    bench.run(state_dir=tmp_path)
    left(bench, state_dir=tmp_path)
    bench.destination.written.clear()
    with pytest.raises(GuardrailError, match="was disconnected on"):
        bench.run(state_dir=tmp_path)
    with pytest.raises(GuardrailError, match="was disconnected on"):
        bench.plan()
    assert bench.destination.written == []
    syncs.reconnect(bench.warehouse, "fake__contacts")
    bench.source([ANN, BOB, CID, ("4", "dan@x.io", "Dan", None)])
    report = bench.run(state_dir=tmp_path)  # begins anew: finds the three, and makes the fourth without more ado
    assert (report.status, report.plan.matched, report.plan.create) == ("done", 3, 1)


def test_it_refuses_while_a_run_holds_the_lease(bench: Bench) -> None:
    async def both() -> None:
        async with leased(bench.context(), "fake__contacts"):
            await leave(bench)

    with pytest.raises(LeaseError, match="is held by"):
        asyncio.run(both())
    assert state_of(bench)


def test_nothing_is_changed_where_it_is_not_agreed_to(bench: Bench) -> None:
    bench.destination.written.clear()
    with pytest.raises(GuardrailError, match="not confirmed"):
        left(bench, Leaving.CLEAR, confirm=lambda _: False)
    assert bench.destination.written == []
    assert bench.run().plan.changes == 0


def test_the_model_may_be_gone(bench: Bench) -> None:
    bench.warehouse.execute("DROP TABLE contacts")
    assert left(bench, Leaving.CLEAR).disconnected
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


def test_what_is_refused_keeps_the_state(bench: Bench) -> None:
    bench.destination.refuses = lambda change: "NO" if change.fields.get("city") == "Paris" else None
    report = left(bench, Leaving.CLEAR)
    assert (report.status, report.exit_code, report.disconnected) == ("partial", 1, False)
    assert "snapshot__fake__contacts" in state_of(bench)
    bench.destination.refuses = lambda _: None
    assert left(bench, Leaving.CLEAR).disconnected
    assert fields_of(bench, "ann@x.io")["city"] == "Paris"


def test_an_option_of_ours_goes_and_those_of_people_stay() -> None:
    bench = Bench()
    bench.destination.described = {"city": DestinationField("city", "multi_enum")}
    id_ = bench.destination.make(email="ann@x.io", firstname="Ann", city="red;old")
    bench.source([("1", "ann@x.io", "Ann", "red;blue")])
    bench.run()
    assert bench.destination.records[id_]["city"] == "red;old;blue"
    bench.destination.records[id_]["city"] = "red;blue;person"
    left(bench, Leaving.CLEAR)
    assert bench.destination.records[id_]["city"] == "red;person"


def test_what_tells_of_our_runs_goes_too() -> None:
    bench = Bench()
    bench.destination.fields = ("email", "firstname", "city", "synced")
    bench.sync_as(metadata={"synced": "run_id"})
    bench.source([ANN])
    bench.run()
    assert fields_of(bench, "ann@x.io")["synced"]
    left(bench, Leaving.CLEAR)
    assert fields_of(bench, "ann@x.io") == {"email": "ann@x.io"}


def test_links_of_ours_go_and_those_of_people_stay() -> None:
    bench = Two()
    bench.destination.fields = ("email", "domain")
    bench.sync_as(
        columns=("golden_id", "email", "firm_id"),
        associate=(Association("fake__firms", "firm_id", 1, "firms"),),
        guardrails=Guardrails(min_rows=0),
    )
    bench.firms("acme", "bolt")
    bench.people(ann="acme", bob="bolt")
    bench.run_firms()
    bench.run()
    records = bench.destination.records
    ids = {str(r.get("email") or r.get("domain")): i for i, r in records.items()}
    bench.destination.links.add((ids["ann@x.io"], ids["bolt.example"], 1))  # a person's
    report = left(bench, Leaving.CLEAR)
    assert (report.plan.standing.links, report.plan.unlink, report.counts["unlinked"]) == ({"fake__firms": 2}, 2, 2)
    assert report.plan.unlink_requests == 1
    assert bench.linked() == [("ann", "bolt")]
    assert FIRMS.name in syncs.names(bench.warehouse)
    assert DDL


class EventFake(FakeDestination):
    async def describe(self, object_: str) -> ObjectSchema:
        fields = (await super().describe(object_)).fields
        return ObjectSchema(fields, kind="events", event_id="email")


def test_events_can_only_be_left() -> None:
    bench = Bench(destination=EventFake())
    bench.sync_as(mode="insert")
    bench.source([ANN])
    bench.run()
    with pytest.raises(ConfigError, match="only added"):
        left(bench, Leaving.CLEAR)
    assert left(bench).disconnected


def test_a_saved_plan_of_it_goes(bench: Bench) -> None:
    bench.rows("SELECT 1")
    bench.warehouse.execute(
        "INSERT INTO revetl.saved_plans (plan_id, sync, status) VALUES ('p', 'fake__contacts', 'saved')"
    )
    left(bench)
    assert bench.rows("SELECT status FROM revetl.saved_plans") == [("disconnected",)]
