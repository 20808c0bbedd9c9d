"""No record waits for ever behind exit 0: a cause outside of the row is tried again by itself, what waits is counted by
reason, and a run that leaves refused records waiting says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from revetl.clock import LoopClock
from revetl.destinations.hubspot.api import IN_ROW
from revetl.errors import GuardrailError, Rejected
from revetl.model import Change, Guardrails
from revetl.state.outcomes import DECIDED_BY_ROW
from revetl.sync.release import release
from revetl.sync.retry import due
from revetl.sync.retry.queue import QueueFilter
from revetl.usecases.deletions import unattended
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three

QUEUE, OUTCOMES = "revetl.rejected__fake__contacts", "revetl.outcomes"


@pytest.fixture
def bench() -> Bench:
    return bench_of_three()


def people(n: int) -> list[tuple[str, str, str, str]]:
    return [(f"k{i:05}", f"p{i}@x.io", f"P{i}", "Riga") for i in range(n)]


def later(bench: Bench, hours: float) -> None:
    """Nothing runs meanwhile. Between two runs the clock stands where it began."""
    bench.clock = LoopClock(bench.clock.now() + timedelta(hours=hours))


def refuse(bench: Bench, code: str, *keys: str) -> None:
    bench.destination.refuses = lambda change: code if not keys or change.key in keys else None


def accept(bench: Bench) -> None:
    bench.destination.refuses = lambda _: None


def outcomes(bench: Bench) -> int:
    return int(str(bench.rows(f"SELECT count(*) FROM {OUTCOMES}")[0][0]))


@pytest.mark.parametrize("code", ["INVALID_OPTION", "CONFLICT", "MISSING_SCOPES", "A_WORD_THAT_NOBODY_KNOWS", "422"])
def test_a_cause_outside_of_the_row_is_tried_again_in_each_run(bench: Bench, code: str) -> None:
    refuse(bench, code, "2")
    assert bench.run().status == "partial"
    again = bench.run()
    assert (again.counts, again.plan.again, again.waiting_reasons) == ({"rejected": 1}, {"create": 1}, {code: 1})
    assert (again.status, again.exit_code) == ("partial", 1)
    accept(bench)
    healed = bench.run()
    assert (healed.counts, healed.status, healed.exit_code, healed.waiting) == ({"ok": 1}, "done", 0, {})
    assert bench.run().plan.changes == 0


@pytest.mark.parametrize("code", sorted(IN_ROW | {*DECIDED_BY_ROW, "A_WORD_OF_ANOTHER_VENDOR"}))
def test_a_cause_in_the_row_waits_for_its_row_and_is_not_forgotten(bench: Bench, code: str) -> None:
    bench.destination.in_row = frozenset({code})
    refuse(bench, code, "2")
    bench.run()
    bench.sent()
    accept(bench)
    later(bench, 100)
    again = bench.run()
    assert (bench.sent(), again.plan.waiting_reasons, again.waiting) == ([], {code: 1}, {"rejected": 1})
    assert (again.status, again.exit_code) == ("partial", 1)
    bench.source([ANN, (*BOB[:2], "Rob", None), CID])
    assert (bench.run().exit_code, len(bench.destination.records)) == (0, 3)


def test_so_many_as_the_guardrail_says_may_wait(bench: Bench) -> None:
    bench.sync_as(guardrails=Guardrails(max_waiting=2))
    refuse(bench, "INVALID_EMAIL", "1", "2")
    assert [bench.run().exit_code for _ in range(2)] == [0, 0]
    bench.sync_as(guardrails=Guardrails(max_waiting=1))
    assert bench.run().exit_code == 1


def test_who_has_nothing_to_look_for_it_by_is_skipped_and_costs_no_exit_code(bench: Bench) -> None:
    bench.source([ANN, ("2", None, "Bob", None)])
    for _ in range(2):
        report = bench.run()
        assert (report.exit_code, report.waiting_reasons) == (0, {"NO_IDENTITY": 1})


def test_a_few_are_tried_each_run_and_many_after_a_pause_that_doubles(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "FEW", 3)
    monkeypatch.setattr(due, "MOST", 4)
    bench.source(people(6))
    refuse(bench, "INVALID_OPTION")
    bench.run()

    def tried() -> list[str]:
        bench.sent()
        bench.run()
        return [key for _, key, _ in bench.sent()]

    assert tried() == []
    later(bench, 1.1)
    assert tried() == ["k00000", "k00001", "k00002", "k00003"], "no more than MOST in a run"
    assert tried() == ["k00004", "k00005"]
    later(bench, 1.1)
    assert tried() == []
    later(bench, 1)
    assert len(tried() + tried()) == 6
    later(bench, 2.1)
    assert tried() == [], "four hours after the third time"
    later(bench, 2)
    assert len(tried() + tried()) == 6
    for _ in range(6):  # the third pause would be 32 hours
        later(bench, 24.1)
        assert len(tried() + tried()) == 6, "at least once a day"
    accept(bench)
    later(bench, 24.1)
    assert len(tried() + tried()) == 6
    assert (bench.run().exit_code, len(bench.destination.records)) == (0, 6)


def test_who_waits_for_a_row_does_not_slow_down_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "FEW", 1)
    bench.source(people(5))
    bench.destination.poison = {f"p{i}@x.io" for i in range(4)}
    refuse(bench, "CONFLICT", "k00004")
    bench.run()
    bench.sent()
    bench.run()
    assert [key for _, key, _ in bench.sent()] == ["k00004"]


def test_a_hold_of_our_own_is_decided_anew_and_said_once(bench: Bench) -> None:
    twin = ("4", "ANN@x.io", "Twin", None)
    bench.source([ANN, BOB, CID, twin])
    first = bench.run()
    assert first.waiting_reasons == {"SAME_IDENTITY": 1}
    second = bench.run()
    assert second.waiting_reasons == {"HELD_BY_ANOTHER_KEY": 1}, "the other one stands there by now"
    said = outcomes(bench)
    for _ in range(3):
        again = bench.run()
        assert (again.plan.withheld, again.plan.waiting_reasons) == (0, {"HELD_BY_ANOTHER_KEY": 1})
        assert (again.exit_code, outcomes(bench)) == (1, said), "the outcomes don't say the same every hour"
    assert bench.plan().waiting_reasons == {"HELD_BY_ANOTHER_KEY": 1}
    bench.source([BOB, CID, twin])
    healed = bench.run()
    assert (healed.exit_code, healed.waiting, healed.plan.adopt) == (0, {}, 1)
    assert bench.destination.by("email")["ann@x.io"]["firstname"] == "Twin"


def one_address_each(bench: Bench) -> None:
    def refuses(change: Change) -> str | None:
        email = change.fields.get("email")
        held = [i for i, r in bench.destination.records.items() if r.get("email") == email]
        return "CONFLICT" if email is not None and set(held) - {change.destination_id} else None

    bench.destination.refuses = refuses


def test_an_address_that_another_record_still_has_is_sent_once_that_one_has_moved(bench: Bench) -> None:
    bench.run()
    one_address_each(bench)
    bench.destination.batch_rows = bench.destination.concurrency = 1
    chain = [("1", "bob@x.io", "Ann", "Riga"), ("2", "cid@x.io", "Bob", None), ("3", "new@x.io", "Cid", "Oslo")]
    bench.source(chain)
    assert (bench.run().counts) == {"ok": 1, "rejected": 2}
    ended = [bench.run().exit_code for _ in range(3)]
    assert ended[-1] == 0
    assert {r["email"]: r["firstname"] for r in bench.destination.records.values()} == {r[1]: r[2] for r in chain}


@pytest.mark.parametrize("few", [100, 0], ids=["few wait", "many wait"])
def test_who_waits_for_a_value_of_ours_is_tried_by_every_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(due, "FEW", few)
    bench.destination.unique = {"email"}
    one, two, three = people(3)
    bench.source([one, two, three])
    bench.run()
    refuse(bench, "INVALID_OPTION", three[0])  # waits for something else, beside it
    bench.source([one, (two[0], one[1], *two[2:]), (*three[:3], "Oslo")])
    assert bench.run().waiting_reasons == {"INVALID_OPTION": 1, "VALUE_HELD": 1}
    bench.source([(one[0], "free@x.io", *one[2:]), (two[0], one[1], *two[2:]), (*three[:3], "Oslo")])
    bench.sent()
    bench.run()
    assert ("update", two[0], {"email": one[1]}) in bench.sent()


def test_what_was_refused_and_has_nothing_left_to_send_waits_no_longer(bench: Bench) -> None:
    bench.run()
    refuse(bench, "INVALID_EMAIL")
    bench.source([(*ANN[:3], "Rome"), BOB, CID, ("4", "dan@x.io", "Dan", None)])
    assert bench.run().waiting == {"rejected": 2}
    bench.source([ANN, BOB, CID])
    back = bench.run()
    assert (back.exit_code, back.waiting, back.plan.waiting) == (0, {}, 0), "went back, and left the model"


def test_a_refused_record_that_mode_update_finds_no_more_waits_no_longer(bench: Bench) -> None:
    bench.sync_as(mode="update")
    bench.destination.records["7"] = {"email": "ann@x.io", "firstname": "A", "city": None}
    refuse(bench, "CONFLICT")
    assert bench.run().waiting_reasons == {"CONFLICT": 1}
    bench.destination.records.clear()
    report = bench.run()
    assert (report.exit_code, report.waiting, report.plan.absent) == (0, {}, 3)


def test_a_sync_that_is_sent_in_another_way_plans_anew_what_it_refused(bench: Bench) -> None:
    bench.destination.records["7"] = {"email": "ann@x.io", "firstname": "Ann", "city": "Old"}
    bench.sync_as(mode="insert")
    assert bench.run().waiting_reasons == {"EXISTS": 1}
    assert bench.run().plan.changes == 0
    bench.sync_as(mode="upsert")
    assert bench.run().counts == {"ok": 1}
    assert bench.destination.records["7"]["city"] == "Riga"


def test_what_waits_for_a_person_is_not_tried_by_itself(bench: Bench) -> None:
    refuse(bench, "CONFLICT", "1", "2")
    bench.run()
    bench.warehouse.execute(f"UPDATE {QUEUE} SET status = 'rolled_back', error_code = NULL WHERE key = '1'")
    bench.warehouse.execute(f"UPDATE {QUEUE} SET status = 'unknown' WHERE key = '2'")
    bench.sent()
    later(bench, 100)
    report = bench.run()
    assert (bench.sent(), report.waiting_reasons) == ([], {"CONFLICT": 1, "ROLLED_BACK": 1})
    assert report.exit_code == 1, "a record whose fate is not known"
    bench.warehouse.execute(f"DELETE FROM {QUEUE} WHERE key = '2'")
    accept(bench)
    assert (bench.run().exit_code, bench.run().waiting_reasons) == (0, {"ROLLED_BACK": 1})


def test_what_is_tried_again_breaks_no_guardrail_and_asks_nobody(bench: Bench) -> None:
    bench.source(people(20))
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.run()
    refuse(bench, "MISSING_SCOPES")
    bench.source([(key, email, "New", city) for key, email, _, city in people(5)])
    assert bench.run(confirm=lambda _: True).counts == {"rejected": 20}
    rails = Guardrails(max_deleted_share=0.1, max_changed_share=0.1, max_creates=0)
    bench.sync_as(guardrails=rails)
    plan = bench.plan()
    assert (plan.again, plan.violations, plan.new_deletions) == ({"delete": 15, "update": 5}, [], 0)
    assert unattended(bench.spec, ())(plan)
    accept(bench)
    assert bench.run().counts == {"ok": 20}
    bench.source(people(6))
    with pytest.raises(GuardrailError):
        bench.run()


def test_a_limit_is_not_used_up_by_what_was_refused_before(bench: Bench) -> None:
    bench.source(people(6))
    refuse(bench, "CONFLICT", "k00000", "k00001")
    assert bench.run(limit=2).counts == {"rejected": 2}
    assert bench.run(limit=2).counts == {"ok": 2}
    assert bench.run(limit=2).counts == {"ok": 2}
    accept(bench)
    assert (bench.run(limit=2).counts, bench.run().plan.changes) == ({"ok": 2}, 0)


def test_a_queue_of_an_earlier_version_is_tried_again_too(bench: Bench) -> None:
    refuse(bench, "CONFLICT", "2")
    bench.run()
    for column in ("tries", "next_try", "sent_as"):
        bench.warehouse.execute(f"ALTER TABLE {QUEUE} DROP COLUMN {column}")
    accept(bench)
    assert (bench.run().counts, bench.run().exit_code) == ({"ok": 1}, 0)


def test_a_dry_run_of_retry_says_who_is_tried_by_itself(bench: Bench) -> None:
    bench.destination.poison = {"ann@x.io"}
    refuse(bench, "CONFLICT", "2")
    bench.run()
    found = asyncio.run(release(bench.context(), bench.spec, QueueFilter(), dry_run=True)).waiting
    assert {(w.code, w.by_itself) for w in found} == {("INVALID_VALUE", False), ("CONFLICT", True)}


def test_a_full_refresh_tries_them_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "FEW", 0)
    refuse(bench, "INVALID_EMAIL", "1")
    bench.run()
    accept(bench)
    assert (bench.run().plan.changes, bench.run(full_refresh=True).counts) == (0, {"ok": 3})


def test_recovery_keeps_what_a_run_that_broke_off_tried_again(bench: Bench) -> None:
    refuse(bench, "CONFLICT", "2")
    bench.run()
    accept(bench)

    def die(_: object) -> None:
        raise KeyboardInterrupt

    bench.destination.after_write = die
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.destination.after_write = lambda _: None
    report = bench.run()
    assert (report.recovered, report.exit_code, len(bench.destination.records)) == (1, 0, 3)


@pytest.mark.parametrize("in_row", [True, False])
def test_the_same_word_waits_or_is_tried_again_as_the_destination_says(bench: Bench, in_row: bool) -> None:
    """The engine knows no vendor's words: whoever refuses says whether the cause lies in the row."""
    bench.destination.in_row = frozenset({"ODD"}) if in_row else frozenset()
    refuse(bench, "ODD", "2")
    bench.run()
    bench.sent()
    bench.run()
    assert [key for _, key, _ in bench.sent()] == ([] if in_row else ["2"])


def test_a_call_that_is_refused_whole_says_it_too(bench: Bench) -> None:
    def refused(changes: object) -> None:
        raise Rejected("no such number", code="ODD", in_row=True)

    bench.destination.before_write = refused
    bench.run()
    bench.destination.before_write = lambda _: None
    assert (bench.run().plan.waiting_reasons, bench.sent()) == ({"ODD": 3}, [])


def test_what_an_earlier_version_refused_is_tried_once_more(bench: Bench) -> None:
    """It wrote down a word and not whether the row is to blame: asking again costs a request and loses nothing."""
    refuse(bench, "INVALID_EMAIL", "2")
    bench.run()
    bench.warehouse.execute(f"ALTER TABLE {QUEUE} DROP COLUMN in_row")
    bench.sent()
    for tried in (["2"], []):
        bench.run()
        assert [key for _, key, _ in bench.sent()] == tried
