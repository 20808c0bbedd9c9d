"""Who left a mirror and what stands there now: a record that holds somebody else is neither removed nor cleared, by a
sync, a rollback or a disconnect, and whoever was to be erased and still stands is named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revetl.destinations.base import Limits
from revetl.errors import Ambiguous
from revetl.model import ERASED, Change, Guardrails, OnLeave, Outcome, Relation
from revetl.state import outcomes, runs
from revetl.sync import SyncReport
from revetl.sync.disconnect.disconnecting import Leaving
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.plan import saved
from revetl.sync.rollback.judge import RollbackChoices
from revetl.sync.rollback.rolling_back import RollbackReport, roll_back
from tests.support.fake_destination import FakeDestination
from tests.support.saga_bench import SagaBench
from tests.support.sync_bench import ANN, BOB, CID, Bench, drift
from tests.support.warehouses import SCHEMA
from tests.unit.test_sync_disconnect import left as disconnected

A, B = "101", "102"
EVERY: tuple[OnLeave, ...] = ("archive", "erase", "clear")


class ErasingFake(FakeDestination):
    """Erases for good."""

    def erases(self, object_: str) -> bool:
        return True

    def limits(self, object_: str) -> Limits:
        return replace(super().limits(object_), erase_rows=1)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        answers = await super().write(object_, match_on, changes)
        erased = {change.ordinal for change in changes if change.erase}
        return [replace(o, error_code=ERASED) if o.ordinal in erased else o for o in answers]


def mirror(on_leave: OnLeave, **changes: Any) -> Bench:
    """Three records of ours, written by a mirror."""
    bench = Bench(destination=ErasingFake())
    bench.sync_as(mode="mirror", on_leave=on_leave, guardrails=Guardrails(min_rows=0, max_deleted_share=1.0), **changes)
    bench.source([ANN, BOB, CID])
    bench.run()
    bench.sent()
    return bench


def lose(_: Any) -> None:
    """An answer."""
    raise Ambiguous("lost")


def left_alone(bench: Bench, report: SyncReport, key: str = "1", code: str = "NOT_OURS") -> str:
    """That the record of this key was withheld by name and waits; returns what is said of it."""
    assert bench.sent() == []
    assert (report.status, report.exit_code, report.plan.delete, report.plan.withheld) == ("partial", 1, 0, 1)
    assert (report.plan.reasons, report.waiting_reasons) == ({code: 1}, {code: 1})
    [told] = [o for o in outcomes.of_run(bench.warehouse, report.run_id) if o.key == key]
    assert (told.status, told.error_code) == ("rejected", code)
    again = bench.run()
    assert (bench.sent(), again.exit_code, again.waiting_reasons) == ([], 1, {code: 1}), "it goes on waiting"
    return str(told.message)


# A person's record went into ours, or ours into a person's


@pytest.mark.parametrize("on_leave", EVERY)
@pytest.mark.parametrize("ours_is_primary", [True, False])
def test_what_was_merged_with_a_persons_record_stays(on_leave: OnLeave, *, ours_is_primary: bool) -> None:
    bench = mirror(on_leave)
    stranger = bench.destination.make(email="who@else.io", firstname="Who", city="Rome")
    left = bench.destination.merge(*((A, stranger) if ours_is_primary else (stranger, A)))
    stood = dict(bench.destination.records[left])
    bench.source([BOB, CID])
    assert f"it stands as {left}" in left_alone(bench, bench.run())
    assert bench.destination.records[left] == stood
    del bench.destination.records[left]  # by hand
    assert (bench.run().exit_code, bench.run().plan.lines) == (0, 0)


@pytest.mark.parametrize("on_leave", EVERY)
def test_it_stays_though_a_sync_has_learned_its_new_id(on_leave: OnLeave) -> None:
    bench = mirror(on_leave)
    left = bench.destination.merge(A, bench.destination.make(email="who@else.io"))
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    bench.source([BOB, CID])
    left_alone(bench, bench.run())
    assert bench.destination.records[left]["firstname"] == "Anna"


# Two became one at home


def became_one(bench: Bench, old: str, new: str) -> None:
    """As golden_id_redirects has it. Ids of the other kind of golden record, and of who is gone, stand there too."""
    relation = Relation(SCHEMA, "redirects")
    bench.warehouse.execute(f"CREATE TABLE {SCHEMA}.redirects (golden_id VARCHAR, current_golden_id VARCHAR)")
    for golden_id, current in ((old, new), ("elsewhere", "else"), ("3", None)):
        bench.warehouse.execute(f"INSERT INTO {SCHEMA}.redirects VALUES (?, ?)", [golden_id, current])
    bench.sync_as(redirects=relation)


@pytest.mark.parametrize("on_leave", EVERY)
def test_who_became_one_with_another_at_home_is_not_removed(on_leave: OnLeave) -> None:
    bench = mirror(on_leave)
    became_one(bench, "1", "2")
    stood = dict(bench.destination.records[A])
    bench.source([BOB, CID])
    said = left_alone(bench, bench.run(), code="MERGED_HERE")
    assert said == f"became one with 2, which stands there as {B}: merge the two there"
    assert bench.destination.records[A] == stood
    bench.destination.merge(B, A)  # by hand
    report = bench.run()
    assert (report.exit_code, bench.run().plan.lines, bench.sent()) == (0, 0, [])


def test_who_left_for_another_reason_is_removed_as_ever() -> None:
    bench = mirror("archive")
    became_one(bench, "1", "2")
    bench.source([CID])  # the one that took its place left too
    report = bench.run()
    assert (sorted(bench.sent()), report.exit_code) == ([("delete", "1", {}), ("delete", "2", {})], 0)
    bench.source([])
    bench.run()
    assert bench.sent() == [("delete", "3", {})]


def test_two_of_ours_that_were_merged_and_both_left_are_removed() -> None:
    bench = mirror("archive")
    left = bench.destination.merge(A, B)
    bench.source([CID])
    report = bench.run()
    assert (bench.sent(), report.status, report.counts) == ([("delete", "1", {})], "done", {"ok": 2})
    assert left not in bench.destination.records


# A person turned our record into somebody else


@pytest.mark.parametrize("on_leave", EVERY)
def test_a_record_that_is_somebody_else_by_now_stays(on_leave: OnLeave) -> None:
    bench = mirror(on_leave)
    bench.destination.records[A] |= {"email": "who@else.io", "firstname": "Who"}
    stood = dict(bench.destination.records[A])
    bench.source([BOB, CID])
    plan = bench.plan()
    assert (plan.delete, plan.cleared if on_leave == "clear" else 0, plan.withheld) == (0, int(on_leave == "clear"), 1)
    said = left_alone(bench, bench.run())
    assert f"stands as {A} with another email than we last sent" in said
    assert "who@else.io" not in said
    assert bench.destination.records[A] == stood
    bench.destination.records[A]["email"] = "ann@x.io"  # corrected by hand
    bench.run()
    assert len(bench.sent()) == 1


@pytest.mark.parametrize("on_leave", EVERY)
def test_a_saved_plan_looks_once_more(on_leave: OnLeave) -> None:
    bench = mirror(on_leave)
    bench.source([BOB, CID])
    plan = bench.plan()
    assert (plan.changes, plan.withheld) == (1, 0)
    entry = saved.entry(bench.warehouse, bench.spec, plan, bench.clock)
    bench.destination.records[A]["email"] = "who@else.io"
    left_alone(bench, bench.run(planner=saved.planner(bench.warehouse, bench.spec, entry)))


def test_another_spelling_is_the_same_person() -> None:
    bench = mirror("archive")
    bench.destination.records[A]["email"] = "Ann@X.io"
    bench.source([BOB, CID])
    bench.run()
    assert bench.sent() == [("delete", "1", {})]


def test_a_value_that_we_may_have_sent_ourselves_is_ours() -> None:
    """The new address was applied, its answer was lost, and the row left: nobody else wrote it."""
    bench = mirror("archive")
    bench.source([("1", "anna@x.io", "Ann", "Riga"), BOB, CID])

    bench.destination.after_write = lose
    bench.run()
    assert bench.destination.records[A]["email"] == "anna@x.io"
    bench.destination.after_write = lambda _: None
    bench.sent()
    bench.source([BOB, CID])
    assert bench.run().exit_code == 0
    assert bench.sent() == [("delete", "1", {})]


def test_what_was_made_again_after_a_delete_in_doubt_is_not_deleted() -> None:
    """The delete was applied and its answer lost; by its value a person's new record is found."""
    bench = mirror("archive")
    bench.source([BOB, CID])

    bench.destination.after_write = lose
    bench.run()
    bench.destination.after_write = lambda _: None
    bench.sent()
    again = bench.destination.make(email="ann@x.io", city="Rome")
    assert f"stands again as {again}" in left_alone(bench, bench.run())


def test_a_delete_in_doubt_that_was_not_applied_is_sent_again() -> None:
    bench = mirror("archive")
    bench.source([BOB, CID])

    bench.destination.before_write = lose
    bench.run()
    bench.destination.before_write = lambda _: None
    bench.sent()
    assert bench.run().exit_code == 0
    assert bench.sent() == [("delete", "1", {})]


def test_only_what_is_ours_still_is_cleared() -> None:
    bench = mirror("clear")
    bench.destination.records[A]["city"] = "Rome"
    bench.source([BOB, CID])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": None})]
    assert bench.destination.records[A]["city"] == "Rome"


def test_where_every_field_was_edited_nothing_is_cleared() -> None:
    bench = mirror("clear")
    bench.destination.records[A] |= {"firstname": "By hand", "city": "Rome"}
    bench.source([BOB, CID])
    report = bench.run()
    assert (bench.sent(), report.status, report.counts) == ([], "done", {"ok": 1})
    [told] = outcomes.of_run(bench.warehouse, report.run_id)
    assert told.message == "holds nothing any more that we sent"


# Erased for good: nobody is passed over in silence


def test_who_was_to_be_erased_and_went_into_another_of_ours_is_named() -> None:
    bench = mirror("erase")
    left = bench.destination.merge(B, A)
    bench.source([BOB, CID])
    said = left_alone(bench, bench.run(), code="SAME_RECORD")
    assert said == f"is one record there with that of 2 of this model: they were merged, and it stands as {left}"


def test_who_was_to_be_erased_and_was_made_again_is_named() -> None:
    bench = mirror("erase")
    del bench.destination.records[A]
    again = bench.destination.make(email="ANN@x.io", firstname="By hand")
    bench.source([BOB, CID])
    assert left_alone(bench, bench.run()) == f"is gone, and stands again as {again}, which is not ours to remove"
    del bench.destination.records[again]
    report = bench.run()
    assert (report.status, report.exit_code, bench.run().plan.lines) == ("done", 0, 0)


def test_who_is_in_the_model_under_another_key_is_not_asked_for_again() -> None:
    bench = mirror("erase")
    del bench.destination.records[A]
    bench.destination.make(email="ann@x.io")
    bench.source([("9", "ann@x.io", "Ann", "Riga"), BOB, CID])
    report = bench.run()
    assert (report.status, report.exit_code) == ("done", 0)
    assert [(op, key) for op, key, _ in bench.sent()] == [("update", "9")]


def test_who_is_gone_is_erased() -> None:
    bench = mirror("erase")
    del bench.destination.records[A]
    bench.source([BOB, CID])
    report = bench.run()
    assert (bench.sent(), report.status, report.counts) == ([], "done", {"ok": 1})


# The same rule where runs are taken back


def taken_back(bench: Bench, run_id: str) -> RollbackReport:
    undone = runs.get_run(bench.warehouse, run_id)
    assert undone is not None
    choices = RollbackChoices(archive_created=True)
    return asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone, choices))


def test_a_rollback_archives_no_record_into_which_a_persons_was_merged() -> None:
    bench = Bench()
    bench.source([ANN, BOB, CID])
    created = bench.run().run_id
    left = bench.destination.merge(A, bench.destination.make(email="who@else.io", city="Rome"))
    bench.sent()
    report = taken_back(bench, created)
    assert [key for _, key, _ in bench.sent()] == ["2", "3"]
    assert left in bench.destination.records
    assert report.plan.reasons == [(f"merged with another record there, and stands as {left}: not archived", True, 1)]


def test_a_rollback_archives_no_record_that_kept_its_id_and_took_in_a_persons() -> None:
    bench = Bench()
    bench.source([ANN, BOB, CID])
    created = bench.run().run_id
    bench.destination.merged[bench.destination.make()] = A
    bench.sent()
    assert taken_back(bench, created).plan.left == 1
    assert [key for _, key, _ in bench.sent()] == ["2", "3"]


def test_a_disconnect_archives_no_record_into_which_a_persons_was_merged() -> None:
    bench = Bench()
    bench.source([ANN, BOB, CID])
    bench.run()
    left = bench.destination.merge(A, bench.destination.make(email="who@else.io", city="Rome"))
    bench.sent()
    report = disconnected(bench, Leaving.ARCHIVE)
    assert [key for _, key, _ in bench.sent()] == ["2", "3"]
    assert left in bench.destination.records
    assert report.plan.changes is not None
    assert (report.plan.changes.archive, report.plan.changes.left) == (2, 1)


def test_the_undoing_of_a_saga_archives_no_record_into_which_a_persons_was_merged(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path)
    for name in "abc":
        bench.source(name, [("1", "1@x.io", "Riga")])
    first, left = bench.destinations["a"], list[str]()

    def merge(_: Any) -> None:
        if not left:
            [ours] = first.records
            left.append(first.merge(ours, first.make(email="who@else.io")))

    bench.destinations["b"].before_write = merge
    bench.destinations["b"].refuses = lambda _: "REFUSED"
    bench.run()
    assert bench.destinations["b"].records == {}
    assert list(first.records) == left
    assert first.records[left[0]]["email"] == "1@x.io"


def test_drift_that_is_accepted_makes_nobody_ours() -> None:
    """The snapshot takes the id of the record that is left; whose it is does not change."""
    bench = mirror("archive")
    left = bench.destination.merge(A, bench.destination.make(email="who@else.io"))
    drift(bench, DriftResolution("accept", None))
    assert bench.rows("SELECT destination_id FROM revetl.snapshot__fake__contacts WHERE key = '1'") == [(left,)]
    bench.source([BOB, CID])
    left_alone(bench, bench.run())
    assert left in bench.destination.records
