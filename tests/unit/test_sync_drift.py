"""Drift: three ways to differ, and what accepting theirs or reasserting ours leads to in the syncs that follow."""

from __future__ import annotations

from typing import Any

import pytest

from revetl.destinations.base import RecordMatch
from revetl.errors import ConfigError, Unavailable
from revetl.model import FieldRule
from revetl.state.runs import list_runs
from revetl.sync.drift.reading import DriftReport
from revetl.sync.drift.resolution import DriftResolution
from tests.support.sync_bench import ANN, BOB, CID, Bench, drift

DAN = ("4", "dan@x.io", "Dan", "Rome")
A, B, C, D = "101", "102", "103", "104"  # their ids there


@pytest.fixture
def bench() -> Bench:
    b = Bench()
    b.source([ANN, BOB, CID, DAN])
    b.run()
    b.sent()
    return b


def accept(bench: Bench, *fields: str) -> DriftReport:
    return drift(bench, DriftResolution("accept", fields or None))


def reassert(bench: Bench, *fields: str) -> DriftReport:
    return drift(bench, DriftResolution("reassert", fields or None))


def edit(bench: Bench, id_: str, **fields: Any) -> None:
    bench.destination.records[id_] |= fields


def test_nothing_has_changed(bench: Bench) -> None:
    report = drift(bench)
    assert (report.read, report.drifted, report.fields, report.records) == (4, 0, {}, {})
    assert [r.command for r in list_runs(bench.warehouse)] == ["sync"], "looking is no run"


def test_the_three_ways(bench: Bench) -> None:
    edit(bench, A, city="Bern")  # there
    edit(bench, B, firstname="Robert", city="Kiel")  # both, differently; and there
    edit(bench, C, firstname="Cyd")  # both, the same
    bench.source(
        [ANN, ("2", "bob@x.io", "Bobby", None), ("3", "cid@x.io", "Cyd", "Oslo"), ("4", "dan@x.io", "D", "Rome")]
    )
    report = drift(bench)
    assert report.fields == {
        "city": {"theirs": 2},
        "firstname": {"conflict": 1, "pending": 1, "same": 1},
    }
    assert (report.drifted, report.records) == (2, {"conflict": 1, "pending": 1, "same": 1, "theirs": 2})
    (conflict,) = [s for s in report.samples if s["class"] == "conflict"]
    assert (conflict["ours_last"], conflict["wanted"], conflict["theirs"]) == ("Bob", "Bobby", "Robert")
    assert bench.sent() == []


def test_only_what_differs_in_the_destinations_own_form_is_drift(bench: Bench) -> None:
    edit(bench, A, email="ANN@X.IO")
    edit(bench, B, city="")
    assert drift(bench).drifted == 0


def test_accepted_is_kept_until_the_row_changes(bench: Bench) -> None:
    edit(bench, A, city="Bern")
    report = accept(bench, "city")
    assert (report.resolved, report.cells, report.delayed) == (1, 1, 0)
    assert list_runs(bench.warehouse, 1)[0].counts == {"accepted": 1}
    assert drift(bench).drifted == 0
    again = bench.run()
    assert (bench.sent(), again.plan.waiting) == ([], 1)
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID, DAN])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna", "city": "Riga"})]
    assert bench.run().plan.changes == 0


def test_a_model_that_takes_theirs_over_waits_for_nothing(bench: Bench) -> None:
    edit(bench, A, city="Bern")
    accept(bench)
    bench.source([("1", "ann@x.io", "Ann", "Bern"), BOB, CID, DAN])
    again = bench.run()
    assert (bench.sent(), again.plan.waiting, again.plan.changes) == ([], 0, 0)


def test_reasserted_is_sent_by_the_next_sync_and_can_be_undone(bench: Bench) -> None:
    edit(bench, A, city="Bern", firstname="Annie")
    report = reassert(bench, "city")
    assert (report.resolved, report.cells) == (1, 1)
    assert bench.sent() == [], "drift itself writes nothing there"
    bench.run()
    assert bench.sent() == [("update", "1", {"city": "Riga"})]
    assert bench.destination.records[A]["firstname"] == "Annie", "not asked for"
    assert bench.rows("SELECT \"before\" FROM revetl.outcomes WHERE key = '1' AND op = 'update'") == [
        ('{"city":"Bern"}',)
    ]
    assert drift(bench).fields == {"firstname": {"theirs": 1}}


def test_a_value_that_was_cleared_there_is_seen_both_ways(bench: Bench) -> None:
    edit(bench, A, city=None)
    edit(bench, B, city="Kiel")
    assert reassert(bench).cells == 2
    bench.run()
    assert bench.sent() == [("update", "1", {"city": "Riga"}), ("update", "2", {"city": None})]


def test_a_conflict_goes_the_way_that_was_chosen(bench: Bench) -> None:
    edit(bench, B, firstname="Robert")
    bench.source([ANN, ("2", "bob@x.io", "Bobby", "Ulm"), CID, DAN])
    report = accept(bench, "firstname")
    assert report.delayed == 1, "the new city waits with it"
    assert (bench.run().plan.waiting, bench.sent()) == (1, [])
    edit(bench, B, firstname="Rob")
    reassert(bench, "firstname")
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby", "city": "Ulm"})]


def test_missing_accepted_stays_deleted_and_reasserted_is_created_again(bench: Bench) -> None:
    del bench.destination.records[A]
    del bench.destination.records[B]
    report = drift(bench)
    assert (report.drifted, report.records) == (2, {"missing": 2})
    drift(bench, DriftResolution("accept", None), keys=["1"])
    assert drift(bench).records == {"missing": 1}
    bench.run()
    assert bench.sent() == []
    assert reassert(bench).resolved == 1
    bench.run()
    assert bench.sent() == [("create", "2", {"email": "bob@x.io", "firstname": "Bob"})]
    assert drift(bench).drifted == 0


def test_fields_alone_leave_missing_records_as_they_are(bench: Bench) -> None:
    del bench.destination.records[A]
    assert reassert(bench, "city").resolved == 0
    assert drift(bench).records == {"missing": 1}


def merge(bench: Bench, monkeypatch: pytest.MonkeyPatch, moved: dict[str, str]) -> None:
    """From now on these ids lead to others."""
    read = bench.destination.read_back

    async def leading(object_: str, ids: Any, fields: Any) -> dict[str, RecordMatch]:
        found = await read(object_, [moved.get(i, i) for i in ids], fields)
        return {i: found[moved.get(i, i)] for i in ids if moved.get(i, i) in found}

    monkeypatch.setattr(bench.destination, "read_back", leading)


def test_a_record_merged_into_a_strangers_gets_its_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.destination.records["900"] = bench.destination.records.pop(A) | {"city": "Bern"}
    merge(bench, monkeypatch, {A: "900"})
    report = drift(bench)
    assert report.records == {"merged": 1, "theirs": 1}
    assert reassert(bench).resolved == 2
    bench.run()
    assert bench.sent() == [("update", "1", {"city": "Riga"})]
    assert bench.destination.records["900"]["city"] == "Riga"
    assert drift(bench).drifted == 0


def test_two_of_ours_that_were_merged_are_named_and_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    del bench.destination.records[A]
    merge(bench, monkeypatch, {A: B})
    report = drift(bench)
    assert (report.records, report.fields) == ({"merged": 1}, {})
    assert report.samples[0]["note"] == "another key of the model has that record"
    assert reassert(bench).resolved == 0
    bench.run()
    assert bench.sent() == []


def test_rules_say_what_we_would_leave_standing(bench: Bench) -> None:
    bench.sync_as(fields={"city": FieldRule(policy="fill_blank"), "firstname": FieldRule(when_null="keep")})
    edit(bench, A, city="Bern")
    edit(bench, C, city=None)
    edit(bench, D, firstname="Daniel")
    bench.source([ANN, BOB, CID, ("4", "dan@x.io", None, "Rome")])
    report = drift(bench)
    assert report.fields == {"city": {"same": 1, "theirs": 1}, "firstname": {"same": 1}}


def test_held_rows_want_what_stands(bench: Bench) -> None:
    bench.destination.poison = {"Bad"}
    bench.source([("1", "ann@x.io", "Bad", "Riga"), BOB, CID, DAN])
    bench.run()
    assert drift(bench).fields == {}, "what was refused waits: nothing is pending"


def test_values_that_our_column_cannot_hold_are_left_and_counted(bench: Bench) -> None:
    bench.destination.fields = ("email", "seats")
    bench.sync_as(columns=("golden_id", "email", "seats"))
    bench.source([("1", "ann@x.io", 5)], "golden_id VARCHAR, email VARCHAR, seats INTEGER")
    bench.run()
    edit(bench, A, seats="5.5")
    report = accept(bench)
    assert (report.drifted, report.unfit, report.cells) == (1, 1, 0)
    edit(bench, A, seats="7")
    assert accept(bench).cells == 1
    assert drift(bench).drifted == 0


def test_unknown_fields_and_a_destination_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'city'"):
        accept(bench, "cty")

    async def away(*_: Any) -> dict[str, RecordMatch]:
        raise Unavailable("away")

    edit(bench, A, city="Bern")
    monkeypatch.setattr(bench.destination, "read_back", away)
    with pytest.raises(Unavailable):
        accept(bench)
    monkeypatch.undo()
    assert list_runs(bench.warehouse, 1)[0].status == "failed"
    bench.run()
    assert bench.sent() == [], "nothing was accepted, nothing reasserted"
    assert drift(bench).drifted == 1


def test_records_that_left_the_model_are_compared_with_what_we_wrote(bench: Bench) -> None:
    bench.source([ANN])
    edit(bench, B, city="Kiel")
    assert drift(bench).fields == {"city": {"theirs": 1}}
    accept(bench)
    assert drift(bench).drifted == 0
    assert bench.rows("SELECT count(*) FROM revetl.rejected__fake__contacts") == [(0,)], "nobody would send it"


def test_a_large_destination_is_read_in_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revetl.sync.drift.reading.CHUNK_ROWS", 2)
    edit(bench, A, city="Bern")
    edit(bench, D, city="Bonn")
    told: list[tuple[int, int]] = []
    report = drift(bench, progress=lambda done, total: told.append((done, total)))
    assert (report.drifted, told) == (2, [(2, 4), (4, 4)])


@pytest.mark.parametrize("fields", [("firstname",), ()], ids=["of a field", "of all"])
def test_reasserting_one_field_leaves_out_a_record_with_an_accepted_value_in_another(
    bench: Bench, fields: tuple[str, ...]
) -> None:
    edit(bench, A, city="Bern")
    accept(bench, "city")
    edit(bench, A, firstname="Annie")
    edit(bench, B, firstname="Robert")
    report = reassert(bench, *fields)
    assert (report.resolved, report.cells) == (1, 1)
    assert [(h.status, h.records, h.keys) for h in report.left_out] == [("accepted", 1, ("1",))]
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bob"})]
    edit(bench, A, city="Bonn")
    report = reassert(bench, "firstname", "city")
    assert (report.cells, report.left_out) == (2, []), "all that was accepted is named"
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Ann", "city": "Riga"})]


def test_what_was_accepted_one_after_the_other_is_held_together(bench: Bench) -> None:
    edit(bench, A, city="Bern")
    accept(bench, "city")
    edit(bench, A, firstname="Annie")
    accept(bench, "firstname")
    edit(bench, A, firstname="Anna")
    assert [h.keys for h in reassert(bench, "firstname").left_out] == [("1",)]
    bench.run()
    assert bench.sent() == []


def test_a_row_that_changed_since_it_was_accepted_holds_nothing_back(bench: Bench) -> None:
    edit(bench, A, city="Bern")
    accept(bench, "city")
    edit(bench, A, firstname="Annie")
    bench.source([("1", "ann@x.io", "Ann", "Rome"), BOB, CID, DAN])
    report = reassert(bench, "firstname")
    assert (report.cells, report.left_out) == (1, [])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Ann", "city": "Rome"})]


def test_a_queue_of_an_earlier_version_holds_all_that_was_accepted(bench: Bench) -> None:
    edit(bench, A, city="Bern")
    accept(bench, "city")
    bench.warehouse.execute("ALTER TABLE revetl.rejected__fake__contacts DROP COLUMN kept_fields")
    edit(bench, A, firstname="Annie")
    assert [h.keys for h in reassert(bench, "firstname").left_out] == [("1",)]
    bench.run()
    assert bench.sent() == []
