"""What the engine makes of write-only destinations, atomic batches, accepted records and events: on fakes, what stands
there afterwards and what the plan says before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, log2
from typing import Any

import pytest

from revetl.cli.render.documents import plan_document
from revetl.cli.render.plans import facts
from revetl.cli.render.plans_markdown import markdown
from revetl.errors import Ambiguous, ConfigError, Denied
from revetl.model import Change, FieldRule, Mode, OnLeave, Operation, Outcome, Scalar
from revetl.state import outcomes
from revetl.state.runs import get_run
from revetl.sync.release import release
from revetl.sync.retry.queue import QueueFilter
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackReport, roll_back
from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.destination_kinds import (
    AcceptingFake,
    AtomicFake,
    BlindEventFake,
    EventFake,
    RefusesWholeFake,
    WriteOnlyFake,
)
from tests.support.fake_destination import FakeDestination
from tests.support.sweeps import stride
from tests.support.sync_bench import ANN, BOB, CID, Bench, context, read_back
from tests.support.virtual_time import run_virtual

# Write-only.


def write_only(**options: Any) -> Bench:
    bench = Bench(destination=WriteOnlyFake(**options))
    bench.source([ANN, BOB, CID])
    return bench


def undo(bench: Bench, run_id: str, **choices: bool) -> RollbackReport:
    undone = get_run(bench.warehouse, run_id)
    assert undone is not None
    ctx = context(bench.warehouse, bench.clock, command="rollback")
    return asyncio.run(roll_back(ctx, bench.spec, bench.destination, undone, RollbackChoices(**choices)))


def test_a_write_only_plan_says_what_follows_in_text_markdown_and_json() -> None:
    plan = write_only().plan()
    searched, read = plan.consequences
    assert searched == (
        "fake can't be searched, so nothing is adopted: a record that is new to us is created, or written over the one"
        " that has its email there"
    )
    assert "drift is not seen" in read
    assert "a rollback sends the values that were sent before" in read
    assert set(plan.consequences) <= set(facts(plan))
    assert f"- {searched}" in markdown([plan], target="dev", samples=0)
    assert plan_document(plan)["consequences"] == plan.consequences


def test_a_plan_says_what_was_seen_there_and_what_is_assumed() -> None:
    plan = write_only().plan()
    assert plan.basis.exact == []
    unsearched, unread = plan.basis.assumed
    assert unsearched == "that no new record stands at fake already: it was not searched"
    assert "compared with our own snapshot" in unread
    assert {f"assumed: {said}" for said in plan.basis.assumed} <= set(facts(plan))
    assert f"- assumed: {unsearched}" in markdown([plan], target="dev", samples=0)
    assert plan_document(plan)["basis"] == {"exact": [], "assumed": [unsearched, unread]}


def test_a_plan_that_assumes_nothing_says_so_to_programs_alone() -> None:
    bench = Bench()
    bench.source([ANN])
    plan = bench.plan()
    assert plan.basis.assumed == []
    assert len(plan.basis.exact) == 2
    assert not any(said.startswith(("exact", "assumed")) for said in facts(plan))


def test_a_plan_without_the_destination_assumes_all_of_it() -> None:
    bench = Bench()
    bench.source([ANN])
    plan = bench.plan(offline=True)
    assert (plan.basis.exact, len(plan.basis.assumed)) == ([], 2)


def test_a_destination_that_can_do_everything_has_no_consequences() -> None:
    bench = Bench()
    bench.source([ANN])
    assert bench.plan().consequences == []


def test_a_write_only_destination_is_synced_and_only_changes_are_sent() -> None:
    bench = write_only()
    assert bench.run().counts == {"ok": 3}
    bench.sent()
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    assert bench.run().counts == {"ok": 1}
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "update"}, "mode update can't be kept: fake can't be searched"),
        ({"fields": {"city": FieldRule("fill_blank")}}, "fill_blank can't be kept: fake can't be read"),
    ],
)
def test_what_a_write_only_destination_can_not_keep_is_refused(changes: dict[str, Any], says: str) -> None:
    bench = write_only()
    bench.sync_as(**changes)
    with pytest.raises(ConfigError, match=says):
        bench.plan()


def test_drift_of_a_write_only_destination_is_refused_with_the_reason() -> None:
    bench = write_only()
    bench.run()
    with pytest.raises(ConfigError, match="can't read contacts back") as refused:
        asyncio.run(read_back(bench))
    assert "nothing shows what stands there" in str(refused.value)


class NoIds(WriteOnlyFake):
    """An audience: it upserts and deletes by what it matches on, and gives no ids."""

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        return [replace(o, destination_id=None) for o in await super().write(object_, match_on, changes)]

    def _apply(self, match_on: str | None, change: Change) -> Outcome:
        if change.op is Operation.DELETE:
            change = change._replace(destination_id=self._existing(match_on, change.match_value))
        return super()._apply(match_on, change)


def lose(_: object) -> None:
    raise Ambiguous("no answer")


def mirror(destination: WriteOnlyFake, on_leave: OnLeave = "archive") -> Bench:
    """Three records were sent."""
    bench = Bench(destination=destination)
    bench.sync_as(mode="mirror", on_leave=on_leave)
    bench.source([ANN, BOB, CID])
    bench.run()
    bench.sent()
    return bench


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_delete_is_sent_again_by_its_id_where_nobody_can_be_asked(idempotent: bool) -> None:
    bench = mirror(WriteOnlyFake())
    bench.destination.idempotent_creates = idempotent
    bench.source([ANN, BOB])
    bench.destination.before_write = lose
    assert bench.run().counts == {"unknown": 1}
    bench.destination.before_write = lambda _: None
    assert bench.run().counts == {"ok": 1}
    assert [*bench.destination.by("email")] == ["ann@x.io", "bob@x.io"]
    assert bench.run().plan.changes == 0


def test_a_lost_delete_whose_row_comes_back_is_written_anew() -> None:
    bench = mirror(WriteOnlyFake())
    bench.source([ANN, BOB])
    bench.destination.after_write = lose
    bench.run()
    bench.destination.after_write = lambda _: None
    bench.source([ANN, BOB, CID])
    assert bench.run().counts == {"ok": 1}
    assert [*bench.destination.by("email")] == ["ann@x.io", "bob@x.io", "cid@x.io"]


def test_a_destination_without_ids_deletes_by_what_it_matches_on() -> None:
    bench = mirror(NoIds())
    bench.source([ANN, BOB])
    assert bench.run().counts == {"ok": 1}
    assert [*bench.destination.by("email")] == ["ann@x.io", "bob@x.io"]


@pytest.mark.parametrize("on_leave", ["clear", "archive"])
def test_what_left_and_can_not_be_named_is_withheld_and_never_forgotten(on_leave: OnLeave) -> None:
    bench = mirror(NoIds(), on_leave)
    bench.destination.idempotent_creates = on_leave == "clear"
    bench.source([ANN, BOB])
    for _ in range(2):
        report = bench.run()
        assert (report.status, report.counts) == ("partial", {"rejected": 1})
        assert bench.rows("SELECT key, error_code FROM revetl.rejected__fake__contacts") == [("3", "NO_ID")]
        assert bench.run().plan.waiting == 1
        asyncio.run(release(bench.context(command="retry"), bench.spec, QueueFilter()))
    assert bench.sent() == []


def test_a_record_that_nobody_asked_for_is_not_called_gone() -> None:
    bench = Bench()
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.source([ANN, BOB])
    bench.run()
    bench.warehouse.execute(
        "UPDATE revetl.snapshot__fake__contacts SET email = NULL, destination_id = NULL WHERE key = '2'"
    )
    bench.source([ANN])
    assert bench.run().counts == {"rejected": 1}
    assert bench.rows("SELECT count(*) FROM revetl.snapshot__fake__contacts WHERE key = '2'") == [(1,)]


def test_retry_does_not_forget_a_delete_in_doubt() -> None:
    bench = mirror(WriteOnlyFake())
    bench.source([ANN, BOB])
    bench.destination.before_write = lose
    run_id = bench.run().run_id
    bench.destination.before_write = lambda _: None
    bench.warehouse.execute(
        "INSERT INTO revetl.rejected__fake__contacts (key, status, run_id, \"at\") VALUES ('3', 'unknown', ?, now())",
        [run_id],
    )
    asyncio.run(release(bench.context(command="retry"), bench.spec, QueueFilter()))
    assert bench.run().counts == {"ok": 1}
    assert [*bench.destination.by("email")] == ["ann@x.io", "bob@x.io"]


class Strict(FakeDestination):
    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        if field == "email" and "@" not in str(value):
            raise ValueError("no address")
        return super().normalise(object_, field, value)


@pytest.mark.parametrize("mode", ["upsert", "update"])
def test_a_value_without_a_form_there_is_rejected_and_the_run_goes_on(mode: Mode) -> None:
    bench = Bench(destination=Strict())
    bench.source([ANN])
    bench.run()
    bench.sync_as(mode=mode)
    bench.source([("1", "ann@x.io", "Anna", "Riga"), ("3", "no address", "Cid", None)])
    assert bench.run().counts == {"ok": 1, "rejected": 1}
    assert bench.rows("SELECT key, error_code FROM revetl.rejected__fake__contacts") == [("3", "INVALID_IDENTITY")]


@pytest.mark.parametrize("kind", [WriteOnlyFake, NoIds])
def test_a_key_that_left_hands_its_record_over_by_what_was_sent_before(kind: type[WriteOnlyFake]) -> None:
    bench = mirror(kind())
    bench.source([("9", "Ann@x.io", "Anna", "Rome"), BOB, CID])
    assert bench.run().counts == {"ok": 1}
    assert bench.destination.by("firstname").keys() == {"Anna", "Bob", "Cid"}
    assert bench.rows("SELECT key FROM revetl.snapshot__fake__contacts ORDER BY key") == [("2",), ("3",), ("9",)]
    assert bench.run().plan.changes == 0


@pytest.mark.parametrize("kind", [WriteOnlyFake, NoIds])
def test_a_second_key_with_the_same_value_is_rejected_by_what_was_sent_before(kind: type[WriteOnlyFake]) -> None:
    bench = mirror(kind())
    bench.source([ANN, BOB, CID, ("9", "ann@x.io", "Other", None)])
    assert bench.run().counts == {"rejected": 1}
    assert bench.rows("SELECT key, error_code FROM revetl.rejected__fake__contacts") == [("9", "HELD_BY_ANOTHER_KEY")]
    assert bench.destination.by("email")["ann@x.io"]["firstname"] == "Ann"


def test_a_lost_create_whose_match_value_changed_is_withheld() -> None:
    bench = write_only()
    bench.destination.after_write = lose
    bench.run()
    bench.destination.after_write = lambda _: None
    bench.source([("1", "new@x.io", "Ann", "Riga"), BOB, CID])
    report = bench.run()
    assert (report.status, report.counts) == ("partial", {"ok": 2, "unknown": 1})
    assert len(bench.destination.records) == 3
    assert bench.run().plan.waiting == 1


def test_a_create_that_can_not_be_repeated_stays_unknown() -> None:
    bench = write_only(idempotent_creates=False)
    [searched, _] = bench.plan().consequences
    assert "is not sent again until a person has looked" in searched

    def lose(_: object) -> None:
        raise Ambiguous("no answer")

    bench.destination.after_write = lose
    assert bench.run().counts == {"unknown": 3}
    bench.destination.after_write = lambda _: None
    assert bench.run().counts == {"unknown": 3}
    assert len(bench.destination.records) == 3, "nothing was sent again"


def test_a_write_only_destination_is_rolled_back_to_what_was_sent_before() -> None:
    bench = write_only()
    bench.run()
    bench.source([("1", "ann@x.io", "Anna", "Rome"), ("2", "bob@x.io", "Bob", "Bern"), CID])
    bad = bench.run().run_id
    report = undo(bench, bad)
    assert report.plan.consequences, "what people changed there since can't be seen"
    stands = bench.destination.by("email")
    assert stands["ann@x.io"] == {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"}
    assert stands["bob@x.io"]["city"] == "Bern", "nothing of ours stood there before: null would be a guess"
    assert {reason for reason, _, _ in report.plan.reasons} == {
        "nothing of ours stood there before, and the destination can't be read"
    }
    assert bench.run().plan.changes == 0, "what was restored waits until its row changes"


def test_a_rollback_of_what_is_in_doubt_or_was_written_since_is_refused_record_by_record() -> None:
    bench = write_only()
    bench.run()
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, ("3", "cid@x.io", "Cyd", "Oslo")])
    bad = bench.run().run_id
    bench.source([("1", "ann@x.io", "Annie", "Riga"), BOB, ("3", "cid@x.io", "Sid", "Oslo")])

    def lose(changes: Any) -> None:
        if changes[0].key == "3":
            raise Ambiguous("no answer")

    bench.destination.batch_rows, bench.destination.after_write = 1, lose
    assert bench.run().counts == {"ok": 1, "unknown": 1}
    bench.destination.after_write = lambda _: None
    report = undo(bench, bad)
    reasons = {reason.split(" by run")[0] for reason, _, _ in report.plan.reasons}
    assert reasons == {"written since", "in doubt, and the destination can't be read"}
    assert bench.destination.by("email")["ann@x.io"]["firstname"] == "Annie"


def test_what_a_run_created_is_archived_and_what_it_archived_is_made_anew_only_where_that_can_not_double() -> None:
    for repeatable, recreated in ((True, 1), (False, 0)):
        bench = write_only(idempotent_creates=repeatable)
        bench.sync_as(mode="mirror", on_leave="archive")
        first = bench.run().run_id
        bench.source([ANN, BOB])
        gone = bench.run().run_id
        assert set(bench.destination.by("email")) == {"ann@x.io", "bob@x.io"}
        report = undo(bench, gone, recreate_archived=True)
        assert report.plan.recreate == recreated
        assert ("cid@x.io" in bench.destination.by("email")) is bool(recreated)
        if repeatable:
            assert undo(bench, first, archive_created=True).plan.archive == 2


# Atomic.


def atomic(rows: int, poison: set[str], batch_rows: int = 64) -> Bench:
    bench = Bench(destination=AtomicFake(batch_rows=batch_rows, concurrency=1, poison=set(poison)))
    bench.source([(f"{i:03}", f"p{i}@x.io", f"P {i}", None) for i in range(rows)])
    return bench


@pytest.mark.parametrize("bad", [0, 31, 40, 63])
def test_a_culprit_in_an_atomic_batch_is_found_and_the_others_arrive(bad: int) -> None:
    bench = atomic(64, {f"p{bad}@x.io"})
    assert "halved until the culprit stands alone" in " ".join(bench.plan().consequences)
    before = bench.destination.requests
    report = bench.run()
    assert report.counts == {"ok": 63, "rejected": 1}
    [refused] = outcomes.of_run(bench.warehouse, report.run_id, statuses=["rejected"])
    assert (refused.key, refused.error_code) == (f"{bad:03}", "INVALID")
    assert len(bench.destination.by("email")) == 63
    assert bench.destination.requests - before <= 2 * ceil(log2(64)) + 1


def test_a_call_that_is_refused_as_a_whole_costs_only_the_culprit() -> None:
    """Also where the connector answers per record otherwise."""
    destination = RefusesWholeFake(batch_rows=8, concurrency=1, poison={"p5@x.io"})
    bench = Bench(destination=destination)
    bench.source([(f"{i:03}", f"p{i}@x.io", f"P {i}", None) for i in range(8)])
    assert not destination.limits("contacts").atomic
    report = bench.run()
    assert report.counts == {"ok": 7, "rejected": 1}
    [refused] = outcomes.of_run(bench.warehouse, report.run_id, statuses=["rejected"])
    assert (refused.key, refused.error_code) == ("005", "INVALID")
    assert sorted(c.key for c in destination.written) == [f"{i:03}" for i in range(8) if i != 5]
    assert len(destination.by("email")) == 7


def test_the_bound_of_an_atomic_batch_is_two_calls_a_record() -> None:
    bench = atomic(64, {f"p{i}@x.io" for i in range(64)})
    assert bench.run().counts == {"rejected": 64}
    assert bench.destination.requests <= 2 * 64 - 1
    assert bench.destination.records == {}


def test_a_locked_door_while_halving_loses_nothing() -> None:
    bench = atomic(16, {"p3@x.io"})
    calls = 0

    def lock(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Denied("no")

    bench.destination.before_write = lock
    report = bench.run()
    assert (report.status, report.exit_code) == ("failed", 4)
    assert report.not_sent == 16 - sum(report.counts.values())
    bench.destination.before_write = lambda _: None
    again = bench.run()
    assert again.recovered == 0, "what was not applied is not in doubt"
    assert len(bench.destination.by("email")) == 15


def test_a_stop_while_halving_sends_no_further_half() -> None:
    bench = atomic(16, {"p3@x.io"})

    async def main() -> Any:
        stop = asyncio.Event()
        bench.destination.before_write = lambda _: stop.set()
        return await bench.start(stop_event=stop)

    report = asyncio.run(main())
    assert (report.status, bench.destination.requests) == ("interrupted", 1)
    bench.destination.before_write = lambda _: None
    bench.run()
    assert len(bench.destination.by("email")) == 15


# Accepted.


def test_accepted_is_its_own_outcome_and_not_sent_again_until_the_row_changes() -> None:
    bench = Bench(destination=AcceptingFake(poison={"cid@x.io"}))
    bench.source([ANN, BOB])
    report = bench.run()
    assert (report.status, report.exit_code, report.counts) == ("done", 0, {"accepted": 2})
    assert {o.status for o in outcomes.of_run(bench.warehouse, report.run_id)} == {"accepted"}
    assert outcomes.reasons(bench.warehouse, report.run_id) == [], "nothing of it needs a person"
    again = bench.run()
    assert (again.plan.changes, again.plan.unchanged, again.plan.waiting) == (0, 2, 0)
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB])
    assert bench.run().counts == {"accepted": 1}
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    mixed = bench.run()
    assert (mixed.counts, mixed.exit_code) == ({"rejected": 1}, 1)


def test_accepted_is_shown_apart(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from revetl.cli.render.reports import show_reports

    bench = Bench(destination=AcceptingFake())
    bench.source([ANN, BOB])
    show_reports(Console(width=120), [bench.run()])
    heading, _, row = capsys.readouterr().out.strip().splitlines()[:3]
    assert heading.split().index("accepted") == row.split().index("2", 3)
    assert "not ok" not in heading


# Events.

SIGNED = ("1", "e1", "signed_up")
PAID = ("2", "e2", "paid")
EVENT_DDL = "golden_id VARCHAR, event_id VARCHAR, name VARCHAR"


def events(destination: EventFake, **spec: Any) -> Bench:
    bench = Bench(destination=destination)
    bench.sync_as(**{"mode": "insert", "match_on": "event_id", "columns": ("golden_id", "event_id", "name"), **spec})
    bench.source([SIGNED, PAID], EVENT_DDL)
    return bench


def blind(**options: Any) -> BlindEventFake:
    return BlindEventFake(fields=("event_id", "name"), **options)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"mode": "upsert"}, "mode upsert: fake contacts are events, which are only added\n    Write `mode: insert`"),
        ({"mode": "update"}, "mode update"),
        ({"mode": "mirror", "on_leave": "archive"}, "mode mirror"),
        ({"match_on": None}, "are known by event_id, and match_on is not set"),
        ({"fields": {"name": FieldRule("fill_blank")}}, "fields.name: fill_blank has no meaning"),
    ],
)
def test_what_events_can_not_be_asked_is_refused_with_what_to_write(spec: dict[str, Any], says: str) -> None:
    bench = events(blind(), **spec)
    with pytest.raises(ConfigError) as refused:
        bench.plan()
    assert says in str(refused.value)
    assert bench.destination.written == []


def test_a_full_refresh_of_events_is_refused() -> None:
    with pytest.raises(ConfigError, match="a second time"):
        events(blind()).run(full_refresh=True)


@pytest.mark.parametrize("destination", [blind(), EventFake(fields=("event_id", "name"))], ids=["blind", "seeing"])
def test_events_are_added_once(destination: EventFake) -> None:
    bench = events(destination)
    assert any("only adds events" in said for said in bench.plan().consequences)
    report = bench.run()
    assert (report.counts, report.exit_code) == ({"accepted": 2}, 0)
    assert bench.run().plan.changes == 0
    bench.source([SIGNED], EVENT_DDL)
    assert bench.run().plan.changes == 0, "what left the model stays there"
    assert [e["event_id"] for e in destination.events] == ["e1", "e2"]


def test_a_changed_event_is_withheld_and_one_with_another_id_is_a_new_one() -> None:
    bench = events(blind())
    bench.run()
    bench.source([("1", "e1", "signed_out"), ("2", "e3", "paid")], EVENT_DDL)
    plan = bench.plan()
    assert (plan.create, plan.withheld, plan.reasons) == (1, 1, {"EVENT_CHANGED": 1})
    assert any("an event is never changed" in said for said in facts(plan))
    report = bench.run()
    assert (report.counts, report.exit_code) == ({"accepted": 1, "skipped": 1}, 0)
    assert bench.destination.events[2:] == [{"event_id": "e3", "name": "paid"}]
    again = bench.run()
    assert (again.plan.changes, again.plan.withheld, again.plan.waiting) == (0, 0, 1), "said once, then it waits"


def test_without_an_event_id_a_changed_row_is_withheld_whatever_changed() -> None:
    bench = events(blind(event_id=None), match_on=None)
    bench.run()
    bench.source([("1", "e9", "signed_up"), PAID], EVENT_DDL)
    assert bench.plan().reasons == {"EVENT_CHANGED": 1}


@pytest.mark.parametrize("event_id", ["event_id", None])
def test_a_lost_answer_is_repeated_only_where_the_event_has_an_id(event_id: str | None) -> None:
    bench = events(blind(event_id=event_id), match_on=event_id)

    def lose(_: object) -> None:
        raise Ambiguous("no answer")

    bench.destination.after_write = lose
    assert bench.run().counts == {"unknown": 2}
    bench.destination.after_write = lambda _: None
    again = bench.run()
    assert again.counts == ({"accepted": 2} if event_id else {"unknown": 2})
    assert len(bench.destination.events) == 2, "none was added twice"
    if event_id is None:
        assert again.plan.reasons == {"NOT_RECONCILABLE": 2}
    assert bench.run().plan.changes == 0


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_event_whose_row_changed_is_repeated_as_it_was_sent(arrived: bool) -> None:
    bench = events(blind())
    bench.source([SIGNED], EVENT_DDL)
    setattr(bench.destination, "after_write" if arrived else "before_write", lose)
    bench.run()
    bench.destination.after_write = bench.destination.before_write = lambda _: None
    bench.source([("1", "e1", "signed_out")], EVENT_DDL)
    assert bench.run().counts == {"accepted": 1}
    assert bench.destination.written[-1].fields == {"event_id": "e1", "name": SIGNED[2]}
    assert bench.rows("SELECT event_id, name FROM revetl.snapshot__fake__contacts") == [("e1", SIGNED[2])]
    assert bench.plan().reasons == {"EVENT_CHANGED": 1}


def test_events_are_neither_rolled_back_nor_do_they_drift() -> None:
    bench = events(blind())
    run_id = bench.run().run_id
    with pytest.raises(ConfigError, match="are events: they are only added"):
        undo(bench, run_id)
    with pytest.raises(ConfigError, match="are events: they are never changed"):
        asyncio.run(read_back(bench))


# A kill at any step, for each kind.


def _atomic() -> Bench:
    return atomic(6, {"p2@x.io"}, batch_rows=4)


def _accepting() -> Bench:
    bench = Bench(destination=AcceptingFake())
    bench.source([ANN, BOB, CID])
    return bench


def _events() -> Bench:
    return events(blind(batch_rows=1))


KILLED = {"write-only": write_only, "atomic": _atomic, "accepted": _accepting, "events": _events}
IDENTITIES = {
    "write-only": {"ann@x.io", "bob@x.io", "cid@x.io"},
    "atomic": {f"p{i}@x.io" for i in (0, 1, 3, 4, 5)},
    "accepted": {"ann@x.io", "bob@x.io", "cid@x.io"},
    "events": {"e1", "e2"},
}
REFUSED = {"atomic": {"create": 1}}  # each run tries it again, for its cause may lie outside of the row


def _killed(kind: str, at: int | None) -> tuple[Bench, Fuse, bool]:
    """A bench where the first run died at a step, None: at none; and whether it did."""
    bench, fuse, died = KILLED[kind](), Fuse(at), False
    destination, inner = bench.destination, bench.warehouse

    def written(_: Sequence[Change]) -> None:
        fuse.changed()
        fuse.tick()

    destination.before_write, destination.after_write = lambda _: fuse.tick(), written
    bench.warehouse = CrashingWarehouse(inner, fuse)
    try:
        run_virtual(bench.start())
    except (Crash, BaseExceptionGroup):
        died = True
    bench.warehouse = inner
    destination.before_write = destination.after_write = lambda _: None
    return bench, fuse, died


@pytest.mark.parametrize("kind", KILLED)
def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(kind: str) -> None:
    """Every statement, both ends of every transaction and of every write are steps. It is killed wherever another
    state is left behind, at every eighth of these places (REVETL_EVERY_STEP=1: at each)."""
    _, whole, died = _killed(kind, None)
    assert (died, whole.step > 60) == (False, True)
    steps = whole.steps_apart()
    assert len(steps) > 20
    for step in (None, 1, *steps[:: stride(8)]):
        bench, _, died = _killed(kind, step)
        assert died is (step is not None), step
        run_virtual(bench.start(wait_s=3600))
        last = run_virtual(bench.start(wait_s=3600))
        refused = REFUSED.get(kind, {})
        assert (last.plan.changes, last.plan.again) == (sum(refused.values()), refused), step
        assert last.counts == ({"rejected": 1} if refused else {}), step
        if isinstance(bench.destination, EventFake):
            standing = [str(event["event_id"]) for event in bench.destination.events]
        else:
            standing = [str(email) for email in bench.destination.by("email")]
        assert sorted(standing) == sorted(IDENTITIES[kind]), step
