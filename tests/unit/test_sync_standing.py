"""Records that people and other tools touch too: merged, archived, made again, edited to what we would write. What
stands there is read before it is changed, and nobody's record is written over by another of ours."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from revetl.destinations.base import DestinationField
from revetl.model import FieldRule, Guardrails, Scalar
from revetl.state import outcomes, runs
from revetl.sync.plan import saved
from revetl.sync.rollback.rolling_back import RollbackReport, roll_back
from revetl.warehouse.base import Warehouse
from tests.support.destination_kinds import AcceptingFake
from tests.support.fake_destination import FakeDestination, UnreadableFake
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three, drift

A, B, C = "101", "102", "103"


@pytest.fixture
def bench() -> Bench:
    bench = bench_of_three()
    bench.run()
    bench.sent()
    return bench


def source(bench: Bench, **changes: dict[str, Any]) -> None:
    """The model of three with changes by first name."""
    rows = {"ann": ANN, "bob": BOB, "cid": CID}
    names = ("golden_id", "email", "firstname", "city")
    bench.source([tuple((dict(zip(names, row, strict=True)) | changes.get(n, {})).values()) for n, row in rows.items()])


def id_of(bench: Bench, key: str) -> str | None:
    [(id_,)] = bench.rows("SELECT destination_id FROM revetl.snapshot__fake__contacts WHERE key = ?", key)
    return None if id_ is None else str(id_)


def outcome(bench: Bench, run_id: str, key: str) -> outcomes.RecordOutcome:
    return next(o for o in outcomes.of_run(bench.warehouse, run_id) if o.key == key)


def undo(bench: Bench, run_id: str) -> RollbackReport:
    undone = runs.get_run(bench.warehouse, run_id)
    assert undone is not None
    return asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone))


# Merged


def test_of_two_that_were_merged_one_writes_and_the_other_is_withheld_by_name(bench: Bench) -> None:
    left = bench.destination.merge(A, B)
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"})
    plan = bench.plan()
    assert (plan.update, plan.merged, plan.reasons) == (1, 2, {"SAME_RECORD": 1})
    report = bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    assert bench.destination.records[left] == {"email": "ann@x.io", "firstname": "Anna", "city": "Riga"}
    assert (id_of(bench, "1"), report.counts) == (left, {"ok": 1, "rejected": 1})
    said = outcome(bench, report.run_id, "2")
    assert (said.error_code, "of 1 of this model" in str(said.message)) == ("SAME_RECORD", True)


def test_the_record_is_of_the_key_whose_value_is_its_main_one(bench: Bench) -> None:
    left = bench.destination.merge(B, A)
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"})
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby"})]
    assert id_of(bench, "2") == left


def test_the_key_of_the_main_value_need_not_have_changed(bench: Bench) -> None:
    bench.destination.merge(B, A)
    source(bench, ann={"firstname": "Anna"})
    assert bench.plan().reasons == {"SAME_RECORD": 1}
    bench.run()
    assert bench.sent() == []


@pytest.mark.parametrize("unique", [{"email"}, set()])
def test_a_value_that_a_withheld_key_was_to_give_up_is_nobody_elses(bench: Bench, unique: set[str]) -> None:
    """Its new owner is not made by it: that would write the record of the two."""
    bench.destination.unique = unique
    left = bench.destination.merge(B, A)
    source(bench, ann={"firstname": "Anna"}, bob={"email": "bob.new@x.io"})
    bench.warehouse.execute("INSERT INTO contacts VALUES ('4', 'bob@x.io', 'Dan', NULL)")
    plan = bench.plan()
    report = bench.run()
    assert (plan.create, plan.reasons) == (0, {"SAME_RECORD": 1, "VALUE_HELD": 1})
    assert (report.counts, report.exit_code) == ({"ok": 1, "rejected": 2}, 1)
    assert bench.destination.records[left]["firstname"] == "Anna"
    bench.sent()
    assert bench.run().exit_code == 1
    assert bench.sent() == []


def test_who_holds_the_record_already_keeps_it(bench: Bench) -> None:
    """Also from the key whose value is the main one: it was decided once, and one writer is enough."""
    left = bench.destination.merge(A, C)
    source(bench, ann={"firstname": "Anna"})
    bench.run()
    bench.sent()
    bench.destination.records[left]["email"] = "cid@x.io"
    bench.destination.further[left] = ["ann@x.io"]
    source(bench, ann={"firstname": "Anna"}, cid={"firstname": "Cidney"})
    report = bench.run()
    assert bench.sent() == []
    assert outcome(bench, report.run_id, "3").error_code == "SAME_RECORD"


@pytest.mark.parametrize("equal", [True, False], ids=["equal there", "to be written"])
def test_a_new_key_to_whose_record_ours_was_merged_writes_and_ours_is_withheld_by_name(
    bench: Bench, equal: bool
) -> None:
    theirs = bench.destination.make(email="dan@x.io", firstname="Dan", city="Oslo" if equal else None)
    left = bench.destination.merge(theirs, A)
    bench.destination.records[left]["city"] = "Oslo" if equal else "Riga"
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID, ("4", "dan@x.io", "Dan", "Oslo")])
    report = bench.run()
    assert bench.sent() == ([] if equal else [("update", "4", {"city": "Oslo"})])
    assert (report.exit_code, report.waiting_reasons) == (1, {"SAME_RECORD": 1})
    assert bench.destination.records[left] == {"email": "dan@x.io", "firstname": "Dan", "city": "Oslo"}


DAN = ("4", "dan@x.io", "Dan", "Oslo")


@pytest.mark.parametrize("told", [True, False], ids=["former ids are told", "read back by the main value"])
def test_a_new_key_does_not_overwrite_the_record_of_ours_that_a_person_merged(bench: Bench, told: bool) -> None:
    left = bench.destination.merge(A, bench.destination.make(email="dan@x.io", firstname="Person"))
    bench.destination.tells_former = told
    bench.source([ANN, BOB, CID, DAN])
    assert bench.plan().reasons == {"HELD_BY_ANOTHER_KEY": 1}
    assert id_of(bench, "1") == left
    report = bench.run()
    assert (bench.sent(), report.exit_code, report.waiting_reasons) == ([], 1, {"HELD_BY_ANOTHER_KEY": 1})
    assert "is kept by 1 of this model" in str(outcome(bench, report.run_id, "4").message)
    assert bench.destination.records[left]["firstname"] == "Ann"


def test_where_no_id_leads_to_it_the_record_is_of_the_row_with_its_main_value(bench: Bench) -> None:
    left = bench.destination.merge(A, bench.destination.make(email="dan@x.io"))
    bench.destination.merged.clear()
    bench.source([ANN, BOB, CID, DAN])
    assert bench.run().waiting_reasons == {"HELD_BY_ANOTHER_KEY": 1}
    assert bench.destination.records[left]["firstname"] == "Ann"


def test_another_record_with_the_value_that_a_person_took_from_ours_is_adopted(bench: Bench) -> None:
    """Ours stands under its id still, so what has its former value is another."""
    theirs = bench.destination.make(email="ann@x.io", firstname="Person")
    bench.destination.further[theirs] = ["dan@x.io"]
    bench.destination.records[A]["email"] = "other@x.io"
    bench.source([ANN, BOB, CID, DAN])
    bench.run()
    assert bench.sent() == [("update", "4", {"firstname": "Dan", "city": "Oslo"})]
    assert id_of(bench, "1") == A


@pytest.mark.parametrize("changed", [False, True])
def test_of_two_of_ours_that_were_merged_the_loser_under_a_new_key_is_withheld(bench: Bench, changed: bool) -> None:
    """Also where the new key sorts first and the other has a line of its own."""
    left = bench.destination.merge(B, A)
    bob = ("2", "bob@x.io", "Bobby", "Riga") if changed else BOB
    bench.source([("0", "ann@x.io", "Anna", "Rome"), bob, CID])
    report = bench.run()
    assert bench.sent() == ([("update", "2", {"firstname": "Bobby"})] if changed else [])
    assert (report.waiting_reasons, id_of(bench, "2")) == ({"HELD_BY_ANOTHER_KEY": 1}, left)


def test_what_was_archived_and_answers_in_a_merged_record_of_another_is_withheld(bench: Bench) -> None:
    del bench.destination.records[A]
    bench.destination.merge(B, bench.destination.make(email="ann@x.io"))
    source(bench, ann={"firstname": "Anna"})
    assert (bench.run().waiting_reasons, bench.sent()) == ({"SAME_RECORD": 1}, [])


def test_who_left_does_not_keep_the_record_from_a_new_key(bench: Bench) -> None:
    left = bench.destination.merge(A, bench.destination.make(email="dan@x.io"))
    bench.source([BOB, CID, DAN])
    bench.run()
    assert (bench.sent(), id_of(bench, "4")) == ([("update", "4", {"firstname": "Dan", "city": "Oslo"})], left)


def test_the_plan_says_that_a_record_was_found_by_a_further_value_and_which_is_the_main_one(bench: Bench) -> None:
    theirs = bench.destination.make(email="main@else.io", firstname="Person")
    bench.destination.further[theirs] = ["dan@x.io"]
    bench.source([ANN, BOB, CID, DAN])
    [line] = bench.plan().samples
    assert (line.op, line.note) == ("adopt", "found by a further email: the main one there is main@else.io")


def test_a_record_that_was_merged_into_a_strangers_is_written_without_its_email(bench: Bench) -> None:
    stranger = bench.destination.make(email="who@else.io", city="Rome")
    left = bench.destination.merge(stranger, A)
    source(bench, ann={"firstname": "Anna"})
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    assert bench.destination.records[left]["email"] == "who@else.io"
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL WHERE key = '1'")
    bench.run()
    bench.run(full_refresh=True)
    assert bench.destination.records[left]["email"] == "who@else.io", "in doubt or whole, it answers to ours already"
    source(bench, ann={"firstname": "Anna", "email": "anna@x.io"})
    bench.run()
    assert bench.destination.records[left]["email"] == "anna@x.io", "the row asked for another"


def test_a_record_in_doubt_is_not_told_the_email_of_another(bench: Bench) -> None:
    """Two in doubt, merged meanwhile: sent whole, the second would take the first one's identity."""
    left = bench.destination.merge(A, B)
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL")
    bench.run()
    assert bench.destination.records[left]["email"] == "ann@x.io"
    assert [key for _, key, _ in bench.sent()] == ["1", "3"]


def test_other_unique_fields_of_a_merged_record_stay(bench: Bench) -> None:
    bench.destination.described = {"city": DestinationField("city", "string", unique=True)}
    left = bench.destination.merge(bench.destination.make(email="who@else.io", city="Rome"), A)
    bench.run(full_refresh=True)
    assert bench.destination.records[left] == {"email": "who@else.io", "firstname": "Ann", "city": "Rome"}


def test_who_left_the_model_takes_no_record_away_that_is_somebody_elses_now(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    left = bench.destination.merge(B, A)
    bench.source([ANN, CID])
    report = bench.run()
    assert (bench.sent(), list(bench.destination.records)) == ([], [C, left])
    assert report.counts == {"ok": 1}
    assert bench.rows("SELECT key FROM revetl.snapshot__fake__contacts ORDER BY key") == [("1",), ("3",)]


def test_a_record_that_was_merged_into_a_strangers_is_not_archived(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    left = bench.destination.merge(bench.destination.make(email="who@else.io"), A)
    bench.source([BOB, CID])
    bench.run()
    assert bench.sent() == []
    assert left in bench.destination.records


def test_ours_into_which_a_strangers_was_merged_is_not_archived_either(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    left = bench.destination.merge(A, bench.destination.make(email="who@else.io"))
    bench.source([BOB, CID])
    assert bench.run().waiting_reasons == {"NOT_OURS": 1}
    assert bench.sent() == []
    assert left in bench.destination.records


def test_who_left_clears_nothing_of_a_record_that_is_somebody_elses_now(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="clear")
    left = bench.destination.merge(B, A)
    source(bench)
    bench.source([("1", "ann@x.io", "Anna", "Riga"), CID])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    assert bench.destination.records[left]["firstname"] == "Anna"


def test_a_merge_is_undone_by_no_rollback_and_a_record_that_is_ours_still_is_restored(bench: Bench) -> None:
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"})
    run = bench.run()
    left = bench.destination.merge(A, B)
    bench.sent()
    report = undo(bench, run.run_id)
    assert bench.sent() == [("update", "1", {"firstname": "Ann"})]
    assert (report.plan.restore, report.plan.left) == (1, 1)
    assert [reason for reason, _, _ in report.plan.reasons] == [f"merged into record {left} there"]


# Archived, and made again


def test_a_rollback_says_of_who_left_merged_that_the_record_was_merged(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive", guardrails=Guardrails(min_rows=0, max_deleted_share=None))
    left = bench.destination.merge(A, B)
    bench.source([ANN, CID])
    undone = runs.get_run(bench.warehouse, bench.run().run_id)
    assert undone is not None
    report = asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone))
    assert [why for why, _, _ in report.plan.reasons] == [f"merged into record {left} there"]


def test_what_was_archived_and_made_again_is_found_again(bench: Bench) -> None:
    del bench.destination.records[A]
    again = bench.destination.make(email="ann@x.io", city="Oslo")
    source(bench, ann={"firstname": "Anna"})
    plan = bench.plan()
    assert (plan.update, plan.found_again) == (1, 1)
    report = bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna", "city": "Riga"})], "compared whole"
    assert (id_of(bench, "1"), report.plan.found_again) == (again, 1)
    assert outcome(bench, report.run_id, "1").before == {"firstname": None, "city": "Oslo"}


def test_it_is_found_by_the_value_that_was_written_last_too(bench: Bench) -> None:
    del bench.destination.records[A]
    again = bench.destination.make(email="ann@x.io", firstname="Ann", city="Riga")
    source(bench, ann={"email": "anna@x.io"})
    bench.run()
    assert bench.sent() == [("update", "1", {"email": "anna@x.io"})]
    assert id_of(bench, "1") == again


def test_where_old_ids_lead_nowhere_the_record_is_found_by_match_on_and_is_of_its_main_value(bench: Bench) -> None:
    left = bench.destination.merge(B, A)
    bench.destination.merged.clear()
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"})
    report = bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby"})]
    assert (id_of(bench, "2"), outcome(bench, report.run_id, "1").error_code) == (left, "SAME_IDENTITY")
    assert bench.destination.records[left]["email"] == "bob@x.io"


def test_a_null_of_ours_clears_nothing_of_what_somebody_else_made(bench: Bench) -> None:
    del bench.destination.records[B]
    again = bench.destination.make(email="bob@x.io", city="Oslo")
    source(bench, bob={"firstname": "Bobby"})
    bench.run()
    assert bench.destination.records[again]["city"] == "Oslo"


def test_what_was_archived_is_withheld_with_the_ways_out_and_never_made_again_by_itself(bench: Bench) -> None:
    del bench.destination.records[A]
    source(bench, ann={"firstname": "Anna"})
    report = bench.run()
    said = outcome(bench, report.run_id, "1")
    assert (said.status, said.error_code, said.destination_id) == ("rejected", "OBJECT_NOT_FOUND", A)
    for way in ("revetl drift fake__contacts --reassert-all --sync", "revetl drift fake__contacts --accept-all"):
        assert way in str(said.message)
    assert bench.run(full_refresh=True).counts == {"rejected": 1, "ok": 2}
    assert len(bench.destination.records) == 2


def test_without_match_on_what_is_gone_is_withheld(bench: Bench) -> None:
    bench.sync_as(match_on=None)
    del bench.destination.records[A]
    source(bench, ann={"firstname": "Anna"})
    report = bench.run()
    assert outcome(bench, report.run_id, "1").error_code == "OBJECT_NOT_FOUND"


def test_a_delete_of_what_is_gone_asks_for_nothing(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    del bench.destination.records[A]
    bench.source([BOB, CID])
    assert (bench.run().counts, bench.sent()) == ({"ok": 1}, [])
    assert bench.run().plan.lines == 0


def test_what_was_found_again_and_is_held_by_another_key_stays_that_ones(bench: Bench) -> None:
    del bench.destination.records[A]
    bench.destination.further[B] = ["ann@x.io"]
    source(bench, ann={"firstname": "Anna"})
    report = bench.run()
    assert bench.sent() == []
    assert outcome(bench, report.run_id, "1").error_code == "SAME_RECORD"


def test_what_was_archived_is_not_one_with_the_record_that_still_has_the_address_it_was_to_get(bench: Bench) -> None:
    """Two swap their addresses, and a person archives one of them: nobody merged anything."""
    del bench.destination.records[B]
    source(bench, ann={"email": "bob@x.io"}, bob={"email": "ann@x.io"})
    plan = bench.plan()
    assert (plan.reasons, plan.update, plan.found_again) == ({"OBJECT_NOT_FOUND": 1}, 1, 0)
    bench.run()
    assert bench.sent() == [("update", "1", {"email": "bob@x.io"})]
    report = bench.run(full_refresh=True)
    assert outcome(bench, report.run_id, "2").error_code == "OBJECT_NOT_FOUND", "ann has its earlier address by now"


# What stands there


def test_a_field_that_holds_our_value_already_is_not_sent(bench: Bench) -> None:
    bench.destination.records[A]["firstname"] = "Anna"
    source(bench, ann={"firstname": "Anna", "city": "Oslo"}, bob={"firstname": "Bobby"})
    bench.destination.records[B]["firstname"] = "Bobby"
    report = bench.run()
    assert bench.sent() == [("update", "1", {"city": "Oslo"})]
    assert outcome(bench, report.run_id, "2").message == "stands there with these values already"
    assert (report.plan.update, report.plan.matched, bench.run().plan.changes) == (1, 1, 0)


def test_what_really_stood_is_what_a_rollback_restores(bench: Bench) -> None:
    bench.destination.records[A]["firstname"] = "by hand"
    source(bench, ann={"firstname": "Anna"})
    report = bench.run()
    assert outcome(bench, report.run_id, "1").before == {"firstname": "by hand"}
    undo(bench, report.run_id)
    assert bench.destination.records[A]["firstname"] == "by hand"


def test_what_is_not_applied_yet_is_sent_over_though_the_old_value_stands() -> None:
    """Taken on one day and applied on another: what stands says nothing of what will."""

    class Later(AcceptingFake):
        def _apply(self, match_on: str | None, change: Any) -> Any:
            record = dict(self.records.get(str(change.destination_id), {}))
            answered = super()._apply(match_on, change)
            if record:
                self.records[str(change.destination_id)] = record
            return answered

    bench = bench_of_three()
    bench.run()
    bench.destination = Later(records=bench.destination.records)
    source(bench, ann={"firstname": "Anna"})
    bench.run()
    bench.sent()
    source(bench)
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Ann"})]


def test_one_request_reads_as_many_as_one_call_takes_and_creates_are_not_read(bench: Bench) -> None:
    bench.destination.batch_rows = 100
    bench.source([(str(n), f"p{n}@x.io", "P", None) for n in range(10, 200)])
    bench.destination.reads.clear()
    before = bench.destination.requests
    bench.run()
    assert bench.destination.reads == []
    created = bench.destination.requests - before
    bench.source([(str(n), f"p{n}@x.io", "Q", None) for n in range(10, 200)])
    plan = bench.plan()
    assert plan.forecast is not None
    assert plan.forecast.reads == created == 2


def test_a_destination_that_cannot_be_read_is_written_as_before() -> None:
    bench = bench_of_three()
    bench.destination = UnreadableFake()
    bench.run()
    bench.sent()
    source(bench, ann={"firstname": "Anna"})
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]


def test_policies_look_at_what_was_read_and_read_nothing_again(bench: Bench) -> None:
    bench.sync_as(fields={"firstname": FieldRule(policy="fill_blank")})
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"})
    bench.destination.records[B]["firstname"] = None
    bench.destination.reads.clear()
    bench.run()
    assert sorted(bench.destination.reads) == [A, B]
    assert bench.sent() == [("update", "2", {"firstname": "Bobby"})]


# A saved plan


@dataclass
class SavedBench:
    bench: Bench

    def save(self) -> saved.SavedPlanEntry:
        plan = self.bench.plan()
        return saved.entry(self.bench.warehouse, self.bench.spec, plan, self.bench.clock)

    def apply(self, entry: saved.SavedPlanEntry) -> Any:
        warehouse: Warehouse = self.bench.warehouse
        return self.bench.run(planner=saved.planner(warehouse, self.bench.spec, entry))


def test_a_saved_plan_is_read_again_before_it_is_sent(bench: Bench) -> None:
    source(bench, ann={"firstname": "Anna"}, bob={"firstname": "Bobby"}, cid={"firstname": "Cidney"})
    on_bench = SavedBench(bench)
    entry = on_bench.save()
    left = bench.destination.merge(A, B)
    del bench.destination.records[C]
    bench.destination.make(email="cid@x.io")
    report = on_bench.apply(entry)
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    assert bench.destination.records[left]["firstname"] == "Anna"
    codes = {key: outcome(bench, report.run_id, key).error_code for key in ("1", "2", "3")}
    assert codes == {"1": None, "2": "SAME_RECORD", "3": "OBJECT_NOT_FOUND"}, "what was reviewed is another record"


# Equal there


def test_what_is_equal_there_leaves_the_plan_and_is_known_from_then_on(bench: Bench) -> None:
    source(bench, ann={"email": "ANN@X.io"}, bob={"email": "Bob@x.io", "firstname": "Bobby"})
    plan = bench.plan()
    assert (plan.lines, plan.update, plan.unchanged) == (1, 1, 2)
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby"})]
    assert bench.plan().lines == 0
    found = bench.rows("SELECT key, email FROM revetl.snapshot__fake__contacts ORDER BY key")
    assert found == [("1", "ANN@X.io"), ("2", "Bob@x.io"), ("3", "cid@x.io")], "the row's own values"


def test_what_is_equal_there_trips_no_guardrail(bench: Bench) -> None:
    bench.sync_as(guardrails=Guardrails(max_changed_share=0.5))
    bench.source([(key, str(email).upper(), name, city) for key, email, name, city in (ANN, BOB, CID)])
    assert bench.plan().violations == []
    bench.source([(key, str(email).upper(), f"{name}!", city) for key, email, name, city in (ANN, BOB, CID)])
    assert [v.guardrail for v in bench.plan().violations] == ["changed"]


def test_a_full_refresh_sends_what_is_equal_too(bench: Bench) -> None:
    source(bench, ann={"email": "ANN@X.io"})
    assert bench.plan(full_refresh=True).update == 3


def test_null_and_the_empty_text_are_one_only_where_the_destination_says_so() -> None:
    class Blank(FakeDestination):
        def normalise(self, object_: str, field: str, value: Scalar) -> str:
            return "" if value is None else super().normalise(object_, field, value)

    for kind, sent in ((Blank, []), (FakeDestination, [("update", "1", {"city": None})])):
        bench = Bench(destination=kind())
        bench.source([("1", "ann@x.io", "Ann", "")])
        bench.run()
        bench.sent()
        bench.source([("1", "ann@x.io", "Ann", None)])
        bench.run()
        assert bench.sent() == sent


def test_loaders_that_write_null_for_an_empty_text_empty_no_field() -> None:
    bench = Bench()
    bench.sync_as(guardrails=Guardrails(max_fill_drop=0.5))
    rows = [(str(n), f"p{n}@x.io", "P", "") for n in range(4)]
    bench.source(rows)
    bench.run()
    bench.source([(*row[:3], None) for row in rows])
    assert [v.guardrail for v in bench.plan().violations] == []


# Accepted, and not applied


def test_what_was_taken_and_not_applied_is_told_so_and_is_no_drift(bench: Bench) -> None:
    bench.destination.silent = {"city": "Riga"}
    source(bench, ann={"city": "Oslo"})
    report = bench.run()
    assert (report.counts, report.not_applied, report.status) == ({"accepted": 1}, {"city": 1}, "done")
    said = outcome(bench, report.run_id, "1")
    assert (said.status, said.error_code, said.after) == ("accepted", "NOT_APPLIED", {"city": "Oslo"})
    [(city,)] = bench.rows("SELECT city FROM revetl.snapshot__fake__contacts WHERE key = '1'")
    assert city == "Riga", "what stands, not what was sent"
    found = drift(bench)
    assert (found.drifted, found.fields) == (0, {}), "nobody changed it, and no sync sends it again"
    assert outcomes.reasons(bench.warehouse, report.run_id)[0][:2] == ("accepted", "NOT_APPLIED")
    assert bench.run().plan.changes == 0, "not sent again until its row changes"


def test_a_field_that_goes_only_forward_there_is_named_in_the_plan(bench: Bench) -> None:
    bench.destination.described = {"city": DestinationField("city", "enum", options=("a", "b"), only_forward=True)}
    source(bench, ann={"city": "b"})
    assert any("city" in note and "forward_only" in note for note in bench.plan().notes)
    bench.sync_as(fields={"city": FieldRule(policy="forward_only")})
    assert not any("step back" in note for note in bench.plan().notes)
