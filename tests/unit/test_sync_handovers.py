"""Unique values that move between records in one plan: in an order that works, or withheld by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from revetl.destinations.base import RecordMatch
from revetl.errors import Ambiguous, Unavailable
from revetl.model import Change, Guardrails, Scalar
from tests.support.sync_bench import Bench, Row
from tests.unit.test_sync_rollback import roll_back_run

ANN, BOB, CID = ("1", "ann@x.io", "Ann", None), ("2", "bob@x.io", "Bob", None), ("3", "cid@x.io", "Cid", None)
THREE = (ANN, BOB, CID)


def bench_with(rows: Iterable[Row] = THREE, **spec: object) -> Bench:
    """They stand at a destination where no two records have one email."""
    bench = Bench()
    bench.destination.unique = {"email"}
    bench.sync_as(guardrails=Guardrails(min_rows=0), **spec)
    bench.source(rows)
    assert bench.run().status == "done"
    bench.sent()
    return bench


def emails(bench: Bench) -> dict[Scalar, Scalar]:
    """First name → email, as they stand at the destination."""
    return {r["firstname"]: r.get("email") for r in bench.destination.records.values()}


def ids(bench: Bench) -> dict[Scalar, Scalar]:
    return dict(bench.rows("SELECT key, destination_id FROM revetl.snapshot__fake__contacts"))  # type: ignore[arg-type]


def moved(rows: Sequence[Row], **email: str | None) -> list[Row]:
    """The rows with other emails, by first name; who has None leaves."""
    return [
        (key, email.get(str(name), mail), name, city)
        for key, mail, name, city in rows
        if email.get(str(name), mail) is not None
    ]


def test_a_swap_is_done_in_one_run_and_the_plan_says_how() -> None:
    bench = bench_with()
    before = ids(bench)
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    plan = bench.plan()
    assert (plan.update, plan.withheld, plan.moved, plan.vacated, plan.waves) == (2, 0, 2, 1, 2)
    assert {(m.value, m.giver, m.taker, m.vacated) for m in plan.moves} == {
        ("ann@x.io", "1", "2", True),
        ("bob@x.io", "2", "1", False),
    }
    notes = {line.key: str(line.note) for line in plan.samples}
    assert "emptied first" in notes["1"]
    assert "takes its email over from 1" in notes["2"]
    report = bench.run()
    assert (report.status, report.counts) == ("done", {"ok": 2})
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "ann@x.io", "Cid": "cid@x.io"}
    assert ids(bench) == before
    assert bench.plan().lines == 0


def test_a_chain_is_sent_from_its_end_one_wave_after_the_other() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="cid@x.io", Cid="new@x.io"))
    plan = bench.plan()
    assert (plan.waves, plan.vacated, plan.moved) == (3, 0, 2)
    written: list[str] = []
    bench.destination.before_write = lambda changes: written.extend(c.key for c in changes)
    assert bench.run().counts == {"ok": 3}
    assert written == ["3", "2", "1"]
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "cid@x.io", "Cid": "new@x.io"}


@pytest.mark.parametrize("many", [4, 12])
def test_a_circle_of_any_length(many: int) -> None:
    rows: list[Row] = [(f"{n:02}", f"{n}@x.io", f"N{n}", None) for n in range(many)]
    bench = bench_with(rows)
    bench.source([(key, f"{(n + 1) % many}@x.io", name, city) for n, (key, _, name, city) in enumerate(rows)])
    plan = bench.plan()
    assert (plan.vacated, plan.waves) == (1, many)
    assert bench.run().counts == {"ok": many}
    assert emails(bench) == {f"N{n}": f"{(n + 1) % many}@x.io" for n in range(many)}


def test_spellings_of_one_address_are_one_value() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="BOB@x.io", Bob="Ann@X.io"))
    assert bench.plan().moved == 2
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Ann": "BOB@x.io", "Bob": "Ann@X.io", "Cid": "cid@x.io"}


def test_a_value_that_nobody_gives_up_is_withheld_by_name_and_the_other_fields_are_sent() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Anna", None), BOB, CID])
    plan = bench.plan()
    assert (plan.update, plan.held) == (1, {"email": 1})
    assert "email is withheld: 2 of this sync has that value" in str(plan.samples[0].note)
    report = bench.run()
    assert (report.status, report.exit_code) == ("partial", 1), "something is left undone"
    assert emails(bench)["Anna"] == "ann@x.io"
    # It is planned again for as long as it is held, and is sent once the value is free.
    assert bench.plan().reasons == {"VALUE_HELD": 1}
    bench.source([("1", "bob@x.io", "Anna", None), ("2", "new@x.io", "Bob", None), CID])
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Anna": "bob@x.io", "Bob": "new@x.io", "Cid": "cid@x.io"}


def test_a_record_that_waits_for_a_value_is_part_of_a_later_circle() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io"))
    for counts in ({"rejected": 1}, {}, {}):  # decided again as before, it is not written down again
        report = bench.run()
        assert (report.counts, report.exit_code) == (counts, 1), "it waits, and never behind exit 0"
    bench.source(moved(THREE, Ann="bob@x.io", Bob="cid@x.io", Cid="ann@x.io"))
    assert bench.run().counts == {"ok": 3}
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "cid@x.io", "Cid": "ann@x.io"}
    assert bench.rows("SELECT count(*) FROM revetl.rejected__fake__contacts") == [(0,)]


def test_of_two_that_want_one_value_the_first_gets_it() -> None:
    bench = bench_with()
    bench.source([("1", "cid@x.io", "Ann", "Riga"), ("2", "cid@x.io", "Bob", "Oslo"), ("3", "new@x.io", "Cid", None)])
    plan = bench.plan()
    assert (plan.held, plan.waves) == ({"email": 1}, 2)
    bench.run()
    assert emails(bench) == {"Ann": "cid@x.io", "Bob": "bob@x.io", "Cid": "new@x.io"}
    assert {r.get("city") for r in bench.destination.records.values()} == {"Riga", "Oslo", None}


def test_who_keeps_its_value_withholds_it_along_the_chain() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Ann", "Riga"), ("2", "cid@x.io", "Bob", "Riga"), CID])
    plan = bench.plan()
    assert (plan.update, plan.held) == (2, {"email": 2})
    bench.run()
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}


def test_a_circle_that_cannot_be_broken_withholds_its_values_only() -> None:
    bench = bench_with()
    bench.destination.vacatable = False
    bench.source([("1", "bob@x.io", "Ann", "Riga"), ("2", "ann@x.io", "Bob", "Oslo"), ("3", "new@x.io", "Cid", None)])
    plan = bench.plan()
    assert (plan.held, plan.vacated, plan.update) == ({"email": 2}, 0, 3)
    assert bench.run().counts == {"ok": 3}
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "new@x.io"}
    assert {r.get("city") for r in bench.destination.records.values()} == {"Riga", "Oslo", None}


def test_a_new_record_takes_what_another_gives_up_and_goes_after_it() -> None:
    bench = bench_with()
    bench.source([("1", "new@x.io", "Ann", None), BOB, CID, ("4", "ann@x.io", "Dan", None)])
    before = ids(bench)
    plan = bench.plan()
    assert (plan.create, plan.update, plan.withheld, plan.waves) == (1, 1, 0, 2)
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Ann": "new@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io", "Dan": "ann@x.io"}
    after = ids(bench)
    assert {k: after[k] for k in before} == before
    assert after["4"] not in before.values()


def test_a_new_record_whose_value_is_not_given_up_is_withheld_whole() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Ann", None), BOB, CID, ("4", "ann@x.io", "Dan", None)])
    plan = bench.plan()
    assert (plan.create, plan.update, plan.reasons) == (0, 0, {"VALUE_HELD": 2})
    bench.run()
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}


def test_who_leaves_a_mirror_frees_its_value() -> None:
    bench = bench_with(mode="mirror", on_leave="archive")
    bench.source([("1", "bob@x.io", "Ann", None), CID])
    plan = bench.plan()
    assert (plan.delete, plan.update, plan.held, plan.moved) == (1, 1, {}, 1)
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Ann": "bob@x.io", "Cid": "cid@x.io"}


def test_a_value_that_stands_there_no_longer_is_not_withheld() -> None:
    """A person has changed it there, or merged the record into the one that wants its value."""
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Ann", None), CID])  # Bob has left, and the destination keeps him
    assert bench.plan().reasons == {"VALUE_HELD": 1}
    next(r for r in bench.destination.records.values() if r["firstname"] == "Bob")["email"] = "other@x.io"
    assert bench.plan().reasons == {}
    assert bench.run().counts == {"ok": 1}
    assert emails(bench)["Ann"] == "bob@x.io"


def test_who_follows_a_refused_giver_is_not_sent() -> None:
    """A create by that value would be written over the giver's record."""
    bench = bench_with()
    bench.source([("1", "bad", "Ann", None), BOB, CID, ("4", "ann@x.io", "Dan", None)])
    bench.destination.poison = {"bad"}
    assert bench.plan().waves == 2
    report = bench.run()
    assert report.counts == {"rejected": 2}
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}
    codes = bench.rows("SELECT key, error_code FROM revetl.outcomes WHERE status = 'rejected' ORDER BY key")
    assert codes == [("1", "INVALID_VALUE"), ("4", "VALUE_HELD")]


def test_what_was_emptied_in_vain_gets_its_value_back() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Ann", None), ("2", "ann@x.io", "bad", None), CID])
    bench.destination.poison = {"bad"}
    report = bench.run()
    assert report.counts == {"rejected": 2}
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}


def test_what_could_not_be_given_back_is_sent_by_the_next_run_though_its_row_is_as_before() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "Ann", None), ("2", "ann@x.io", "bad", None), CID])
    bench.destination.poison = {"bad"}

    def away(changes: Sequence[Change]) -> None:
        if changes[0].fields == {"email": "ann@x.io"}:
            raise Unavailable("away")

    bench.destination.before_write = away
    assert bench.run().counts == {"rejected": 1, "unknown": 1}, "nobody may take the empty field for an edit"
    assert emails(bench)["Ann"] is None
    bench.destination.before_write = lambda _: None
    bench.source(THREE)
    assert bench.run().counts == {"ok": 1}
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}


def test_who_took_its_value_is_not_robbed_of_it_where_the_other_is_refused() -> None:
    bench = bench_with()
    bench.source([("1", "bob@x.io", "bad", None), ("2", "ann@x.io", "Bob", None), CID])
    bench.destination.poison = {"bad"}
    assert bench.run().counts == {"ok": 1, "rejected": 1}
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "ann@x.io", "Cid": "cid@x.io"}


@pytest.mark.parametrize("write", [1, 2, 3])
@pytest.mark.parametrize("error", [Unavailable, Ambiguous])
def test_a_swap_that_an_outage_broke_off_is_healed_by_the_next_run(write: int, error: type[Exception]) -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    seen = 0

    def fail(_: Sequence[Change]) -> None:
        nonlocal seen
        seen += 1
        if seen == write:
            raise error("away")

    bench.destination.before_write = fail
    assert bench.run().status != "done"
    bench.destination.before_write = lambda _: None
    for _ in range(2):  # what was refused waits for its row
        bench.warehouse.execute("DELETE FROM revetl.rejected__fake__contacts")
        bench.run()
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "ann@x.io", "Cid": "cid@x.io"}
    assert bench.plan().lines == 0


def test_a_record_in_doubt_may_have_what_it_was_sent_last_and_goes_first() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="new@x.io"))

    def lose(_: Sequence[Change]) -> None:
        raise Ambiguous("lost after it was applied")

    bench.destination.after_write = lose
    assert bench.run().counts == {"unknown": 1}
    bench.destination.after_write = lambda _: None
    bench.source(moved(THREE, Ann="other@x.io", Bob="new@x.io"))
    assert bench.plan().waves == 2
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Ann": "other@x.io", "Bob": "new@x.io", "Cid": "cid@x.io"}


def test_a_run_that_is_stopped_in_the_middle_of_a_swap_says_that_it_is_not_known() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    stop = asyncio.Event()
    bench.destination.after_write = lambda _: stop.set()
    report = bench.run(stop_event=stop)
    assert report.counts == {"unknown": 1}
    assert emails(bench) == {"Ann": None, "Bob": "bob@x.io", "Cid": "cid@x.io"}
    bench.destination.after_write = lambda _: None
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Ann": "bob@x.io", "Bob": "ann@x.io", "Cid": "cid@x.io"}


def test_a_limit_leaves_no_giver_out_unseen() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="new@x.io"))
    plan = bench.plan(limit=1)
    assert plan.reasons == {"VALUE_HELD": 1}


def test_a_saved_plan_keeps_its_order() -> None:
    bench = bench_with(THREE)
    bench.source(moved(THREE, Ann="bob@x.io", Bob="cid@x.io", Cid="new@x.io"))
    bench.plan()
    lines = bench.rows("SELECT key, wave FROM revetl.plan__fake__contacts ORDER BY ordinal")
    assert lines == [("3", 0), ("2", 1), ("1", 2)]
    bench.plan()
    assert bench.rows("SELECT key, wave FROM revetl.plan__fake__contacts ORDER BY ordinal") == lines


def test_a_field_that_is_unique_beside_the_one_it_is_found_by() -> None:
    bench = Bench()
    bench.destination.unique = {"email", "city"}
    bench.source([("1", "a@x.io", "A", "one"), ("2", "b@x.io", "B", "two")])
    bench.run()
    bench.source([("1", "b@x.io", "A", "two"), ("2", "a@x.io", "B", "one")])
    assert bench.plan().moved == 4
    assert bench.run().counts == {"ok": 2}
    assert bench.destination.by("firstname") == {
        "A": {"email": "b@x.io", "firstname": "A", "city": "two"},
        "B": {"email": "a@x.io", "firstname": "B", "city": "one"},
    }


def test_where_a_value_may_stand_twice_nothing_is_withheld() -> None:
    bench = bench_with()
    bench.destination.unique = set()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io", Cid="ann@x.io"))
    plan = bench.plan()
    assert (plan.update, plan.held, plan.waves) == (3, {}, 1)


def test_rolling_back_a_swap_is_a_swap() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    swap = bench.run()
    report = roll_back_run(bench, swap.run_id)
    assert (report.status, report.counts) == ("done", {"ok": 2})
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}
    assert bench.run().counts == {}, "what was restored stays"


def test_a_rollback_leaves_what_another_record_has_by_now() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="new@x.io"))
    undone = bench.run()
    bench.source(moved(THREE, Ann="new@x.io", Bob="ann@x.io"))
    bench.run()
    report = roll_back_run(bench, undone.run_id)
    assert (report.plan.restore, report.plan.left) == (0, 1)
    assert report.plan.fields == {"email": {"left": 1}}
    assert {why for why, _, _ in report.plan.reasons} == {"2 of this sync has that value"}
    assert emails(bench) == {"Ann": "new@x.io", "Bob": "ann@x.io", "Cid": "cid@x.io"}


def test_a_rollback_of_a_swap_that_was_stopped_gives_back_what_was_emptied() -> None:
    bench = bench_with()
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    stop = asyncio.Event()
    bench.destination.after_write = lambda _: stop.set()
    stopped = bench.run(stop_event=stop)
    bench.destination.after_write = lambda _: None
    assert roll_back_run(bench, stopped.run_id).plan.restore == 1
    assert emails(bench) == {"Ann": "ann@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io"}


def test_an_adopted_record_gives_up_what_was_seen_there() -> None:
    bench = bench_with()
    bench.destination.unique = {"email", "city"}
    bench.destination.records["7"] = {"email": "dan@x.io", "firstname": "Dan", "city": "Riga"}
    bench.source([("1", "ann@x.io", "Ann", "Riga"), BOB, CID, ("4", "dan@x.io", "Dan", "Oslo")])
    assert bench.plan().waves == 2
    assert bench.run().counts == {"ok": 2}
    assert {r["firstname"]: r.get("city") for r in bench.destination.records.values()} == {
        "Ann": "Riga", "Bob": None, "Cid": None, "Dan": "Oslo",
    }  # fmt: skip


def test_a_value_that_a_record_of_somebody_else_has_is_withheld_by_name_and_the_other_fields_are_sent() -> None:
    bench = bench_with()
    bench.destination.records["77"] = {"email": "new@x.io", "firstname": "Somebody"}
    bench.source([("1", "new@x.io", "Anna", "Riga"), ("2", "ann@x.io", "Bobby", None), CID])
    plan = bench.plan()
    assert (plan.update, plan.held) == (2, {"email": 2}), "who wants what is not given up waits too"
    notes = {line.key: str(line.note) for line in plan.samples}
    assert notes["1"] == "its email is withheld: the record 77 there has that value, and is none of this sync"
    assert notes["2"] == "its email is withheld: 1 of this sync has that value"
    report = bench.run()
    assert (report.counts, report.status, report.exit_code) == ({"ok": 2}, "partial", 1)
    assert emails(bench) == {"Anna": "ann@x.io", "Bobby": "bob@x.io", "Cid": "cid@x.io", "Somebody": "new@x.io"}
    for counts in ({"rejected": 2}, {}):
        report = bench.run()
        assert (report.counts, report.exit_code, report.waiting_reasons) == (counts, 1, {"VALUE_HELD": 2})
    bench.destination.records["77"]["email"] = "other@x.io"
    assert bench.run().counts == {"ok": 2}, "given up there, it is sent by the next run"
    assert emails(bench)["Anna"] == "new@x.io"
    assert bench.run().exit_code == 0


def test_a_record_in_doubt_whose_value_another_has_is_not_sent_whole_by_each_run() -> None:
    bench = bench_with()
    ann = str(ids(bench)["1"])
    bench.destination.records["77"] = {"email": "ann@x.io", "firstname": "Somebody"}  # a person swapped the two
    bench.destination.records[ann]["email"] = "theirs@x.io"
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL WHERE key = '1'")
    report = bench.run()
    assert (report.counts, report.plan.held, report.exit_code) == ({"ok": 1}, {"email": 1}, 1)
    bench.sent()
    for _ in range(3):
        report = bench.run()
        assert (bench.sent(), report.exit_code, report.waiting_reasons) == ([], 1, {"VALUE_HELD": 1})
    bench.destination.records["77"]["email"] = "other@x.io"
    assert bench.run().exit_code == 0
    assert emails(bench)["Ann"] == "ann@x.io"


def test_a_record_in_doubt_that_stands_as_it_was_sent_is_not_sent_whole_by_each_run_while_a_swap_waits() -> None:
    bench = bench_with()
    bench.destination.vacatable = False
    bench.source(moved(THREE, Ann="bob@x.io", Bob="ann@x.io"))
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL WHERE key = '1'")
    report = bench.run()
    assert (report.plan.held, report.exit_code) == ({"email": 2}, 1)
    bench.sent()
    for _ in range(3):
        report = bench.run()
        assert (bench.sent(), report.exit_code, report.waiting_reasons) == ([], 1, {"VALUE_HELD": 2})


def test_a_value_that_a_merge_gave_to_the_very_record_is_nobody_elses() -> None:
    bench = bench_with()
    ann = str(ids(bench)["1"])
    bench.destination.further[ann] = ["new@x.io"]
    bench.source([("1", "new@x.io", "Anna", None), BOB, CID])
    assert bench.plan().held == {}


def test_a_value_that_a_person_gave_to_another_of_ours_waits_for_that_record() -> None:
    bench = bench_with()
    bench.destination.records[str(ids(bench)["3"])]["email"] = "new@x.io"
    bench.source([("1", "new@x.io", "Anna", None), BOB, CID])
    plan = bench.plan()
    assert plan.held == {"email": 1}
    assert "3 of this sync has that value" in str(plan.samples[0].note)
    bench.source([("1", "new@x.io", "Anna", None), BOB, ("3", "cid@y.io", "Cid", None)])
    assert bench.run().counts == {"ok": 2}
    assert emails(bench) == {"Anna": "new@x.io", "Bob": "bob@x.io", "Cid": "cid@y.io"}


def test_a_value_that_somebody_takes_while_it_is_planned_is_withheld_from_a_new_record_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with()
    look_up = bench.destination.look_up

    async def then_made(*asked: Any) -> dict[str, RecordMatch]:
        found = await look_up(*asked)
        bench.destination.records["77"] = {"email": "new@x.io", "firstname": "Somebody"}
        return found

    monkeypatch.setattr(bench.destination, "look_up", then_made)
    bench.source([("1", "new@x.io", "Anna", None), BOB, CID, ("9", "new@x.io", "Nia", None)])
    plan = bench.plan()
    assert (plan.create, plan.update, plan.held, plan.reasons) == (0, 1, {"email": 2}, {"VALUE_HELD": 1})


def test_a_rollback_leaves_what_a_record_of_somebody_else_has_by_now() -> None:
    bench = bench_with()
    bench.source([("1", "new@x.io", "Anna", None), BOB, CID])
    undone = bench.run()
    bench.destination.records["77"] = {"email": "ann@x.io", "firstname": "Somebody"}
    report = roll_back_run(bench, undone.run_id)
    assert report.plan.fields == {"email": {"left": 1}, "firstname": {"restore": 1}}
    why = "the record 77 there has that value, and is none of this sync"
    assert {said for said, _, _ in report.plan.reasons} == {why}
    assert emails(bench) == {"Ann": "new@x.io", "Bob": "bob@x.io", "Cid": "cid@x.io", "Somebody": "ann@x.io"}
