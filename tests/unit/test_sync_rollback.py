"""Undoing a run: what it overwrote comes back, what others wrote since stays, and the next sync leaves both alone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from revetl.cli.render.retry import show_waiting
from revetl.destinations.base import DestinationField, RecordMatch
from revetl.errors import Ambiguous, ConfigError, GuardrailError, Unavailable
from revetl.model import Change, FieldRule, Outcome, RunRecord, Status
from revetl.state import outcomes
from revetl.state.runs import get_run, list_runs, rollbacks_of
from revetl.state.sync_tables import resolve
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.plan import lines
from revetl.sync.release import RetryReport
from revetl.sync.retry.queue import QueueFilter, release, waiting
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions, RollbackReport, roll_back
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.fake_destination import UnreadableFake
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three, drift, split

ALL = RollbackChoices()


@pytest.fixture
def bench() -> Bench:
    return bench_of_three()


def roll_back_run(bench: Bench, run_id: str, choices: RollbackChoices = ALL, **options: Any) -> RollbackReport:
    run = get_run(bench.warehouse, run_id)
    assert run is not None
    surroundings, rest = split({"command": "rollback", **options})
    ctx = surroundings.context(bench.warehouse, bench.clock)
    return asyncio.run(roll_back(ctx, bench.spec, bench.destination, run, choices, RollbackOptions(**rest)))


def spoil(bench: Bench) -> str:
    """A run with bad values: what there is to undo. Returns its id."""
    bench.run()
    bench.source([("1", "ann@x.io", "BAD", "Riga"), ("2", "bob@x.io", "BAD", "BAD"), ("3", "cid@x.io", "Cid", None)])
    report = bench.run()
    assert report.counts == {"ok": 3}
    bench.sent()
    return report.run_id


def stands(bench: Bench) -> dict[Any, dict[str, Any]]:
    return {email: dict(fields) for email, fields in bench.destination.by("email").items()}


GOOD = {
    "ann@x.io": {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"},
    "bob@x.io": {"email": "bob@x.io", "firstname": "Bob"},
    "cid@x.io": {"email": "cid@x.io", "firstname": "Cid", "city": "Oslo"},
}


def test_what_a_run_overwrote_comes_back_field_by_field_and_stays(bench: Bench) -> None:
    bad = spoil(bench)
    report = roll_back_run(bench, bad)
    assert (report.status, report.counts, report.exit_code) == ("done", {"ok": 3}, 0)
    assert report.plan.fields == {"city": {"restore": 2}, "firstname": {"restore": 2}}
    assert bench.sent() == [
        ("update", "1", {"firstname": "Ann"}),
        ("update", "2", {"firstname": "Bob", "city": None}),
        ("update", "3", {"city": "Oslo"}),
    ]
    assert stands(bench) == GOOD
    again = bench.run()
    assert (bench.sent(), again.plan.changes, again.plan.waiting) == ([], 0, 3), "the model still holds the bad values"
    assert {r.command for r in list_runs(bench.warehouse)} == {"sync", "rollback"}


def test_a_row_that_changes_comes_back_and_is_compared_with_the_truth(bench: Bench) -> None:
    roll_back_run(bench, spoil(bench))
    bench.sent()
    bench.source([ANN, ("2", "bob@x.io", "Bobby", None), ("3", "cid@x.io", "Cid", None)])
    report = bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby"})], "1 is as it stands, 3 is as it was"
    assert report.plan.waiting == 1
    bench.source([ANN, BOB, CID])
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bob"})]
    assert bench.run().plan.changes == 0


def test_released_it_is_sent_again(bench: Bench) -> None:
    roll_back_run(bench, spoil(bench))
    bench.sent()
    release(resolve(bench.warehouse, bench.spec), QueueFilter(("1",)))
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "BAD"})]


def test_a_row_that_was_mended_and_one_that_left_leave_the_queue(bench: Bench) -> None:
    """Else sync and retry would count them for ever, and the plan would not."""
    roll_back_run(bench, spoil(bench))
    why = lines.why_not_planned(resolve(bench.warehouse, bench.spec), "1")
    assert why == "was rolled back: it waits until its row changes, or for `revetl retry --key 1`"
    bench.source([ANN, ("2", "bob@x.io", "BAD", "BAD")])
    bench.sent()
    report = bench.run()
    assert bench.sent() == []
    assert report.plan.waiting_reasons == report.waiting_reasons == {"ROLLED_BACK": 1}
    (queued,) = waiting(resolve(bench.warehouse, bench.spec), QueueFilter(statuses=("rolled_back",)))
    assert queued.keys == ("2",)


def test_an_emptied_model_forgets_nothing_that_was_rolled_back(bench: Bench) -> None:
    roll_back_run(bench, spoil(bench))
    bench.source([])
    with pytest.raises(GuardrailError):
        bench.run()
    bench.source([("1", "ann@x.io", "BAD", "Riga")])
    bench.sent()
    bench.run()
    assert bench.sent() == []


def test_a_step_back_that_the_destination_does_not_take_is_left_and_said_before(bench: Bench) -> None:
    stages = ("lead", "customer")
    bench.destination.described = {"city": DestinationField("city", "enum", options=stages, only_forward=True)}
    rows = [("1", "ann@x.io", "Ann", "lead"), ("2", "bob@x.io", "Bob", None), ("3", "cid@x.io", "Cid", "lead")]
    bench.source(rows)
    bench.run()
    bench.source([(key, email, "BAD" if key == "3" else name, "customer") for key, email, name, _ in rows])
    bad = bench.run().run_id
    bench.sent()
    dry = roll_back_run(bench, bad, dry_run=True)
    assert (dry.plan.restore, dry.plan.left) == (2, 1)
    assert dry.plan.fields == {"city": {"restore": 1, "left": 2}, "firstname": {"restore": 1}}
    assert ("the destination takes no step back", False, 2) in dry.plan.reasons
    report = roll_back_run(bench, bad)
    assert report.counts == {"ok": 2, "skipped": 1}
    assert bench.sent() == [("update", "2", {"city": None}), ("update", "3", {"firstname": "Cid"})]


def test_a_stage_that_is_no_option_any_more_is_left_and_its_record_is_restored(bench: Bench) -> None:
    def stages(*options: str) -> None:
        bench.destination.described = {"city": DestinationField("city", "enum", options=options, only_forward=True)}

    stages("lead", "customer")
    bench.source([("1", "ann@x.io", "Ann", "lead"), ("2", "bob@x.io", "Bob", "")])
    bench.run()
    bench.source([("1", "ann@x.io", "BAD", "customer"), ("2", "bob@x.io", "BAD", "customer")])
    bad = bench.run().run_id
    stages("prospect", "customer")
    bench.sent()
    report = roll_back_run(bench, bad)
    assert report.plan.fields == {"city": {"restore": 1, "left": 1}, "firstname": {"restore": 2}}
    assert bench.sent() == [("update", "1", {"firstname": "Ann"}), ("update", "2", {"firstname": "Bob", "city": ""})]


def test_a_step_forward_that_may_be_on_its_way_is_not_chased_by_a_step_back(bench: Bench) -> None:
    """What was accepted is not applied yet: it lands first, and then ours would be the step back."""
    stages = ("lead", "customer")
    bench.destination.described = {"city": DestinationField("city", "enum", options=stages, only_forward=True)}
    bench.source([("1", "ann@x.io", "Ann", "lead")])
    bench.run()
    sent: list[Change] = []

    async def later(_object: str, _match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        sent.extend(changes)
        return [Outcome(c.ordinal, Status.ACCEPTED, c.destination_id) for c in changes]

    bench.destination.write = later  # type: ignore[method-assign]
    bench.source([("1", "ann@x.io", "BAD", "customer")])
    report = roll_back_run(bench, bench.run().run_id)
    assert [dict(change.fields) for change in sent] == [{"firstname": "BAD", "city": "customer"}, {"firstname": "Ann"}]
    assert ("the destination takes no step back", False, 1) in report.plan.reasons


def test_what_a_person_has_edited_since_is_left_and_told(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.records["102"]["city"] = "Bern"  # bob, by hand
    bench.destination.records["103"]["city"] = "Wien"  # cid, all that the run changed
    report = roll_back_run(bench, bad)
    assert bench.sent() == [("update", "1", {"firstname": "Ann"}), ("update", "2", {"firstname": "Bob"})]
    assert (report.plan.restore, report.plan.left) == (2, 1)
    assert report.plan.fields["city"] == {"left": 2}
    assert ("edited there since", False, 2) in report.plan.reasons
    assert report.counts == {"ok": 2, "skipped": 1}
    found = {o.key: o for o in outcomes.of_run(bench.warehouse, report.run_id)}
    assert found["3"].message == "edited there since"
    assert found["2"].before == {"firstname": "BAD"}
    bench.run()
    assert bench.sent() == []
    assert stands(bench)["bob@x.io"]["city"] == "Bern"


def test_what_a_person_has_edited_since_outlives_the_mended_model(bench: Bench) -> None:
    """Else the first sync of the mended model would overwrite what the rollback has left."""
    bad = spoil(bench)
    bench.destination.records["102"]["city"] = "Bern"  # bob: one of two fields
    bench.destination.records["103"]["city"] = "Wien"  # cid: all that the run changed
    roll_back_run(bench, bad)
    assert bench.run().plan.waiting == 3
    bench.source([ANN, BOB, CID])
    bench.sent()
    report = bench.run()
    assert (bench.sent(), report.plan.waiting, report.waiting) == ([], 0, {})
    assert (stands(bench)["bob@x.io"]["city"], stands(bench)["cid@x.io"]["city"]) == ("Bern", "Wien")
    bench.source([ANN, ("2", "bob@x.io", "Bob", "Köln"), ("3", "cid@x.io", "Cyd", "Oslo")])
    bench.run()
    assert bench.sent() == [("update", "2", {"city": "Köln"}), ("update", "3", {"firstname": "Cyd"})]


def test_what_a_person_has_edited_since_outlives_a_row_that_is_still_wrong(bench: Bench) -> None:
    """Whatever else of the row is sent, as often as it changes, whole or not."""
    bad = spoil(bench)
    bench.destination.records["102"]["city"] = "Bern"
    bench.destination.records["103"]["city"] = "Wien"
    roll_back_run(bench, bad)
    bench.sent()
    for name in ("Bobby", "Rob"):
        bench.source([ANN, ("2", "bob@x.io", name, "BAD"), ("3", "cid@x.io", "Cid", None)])
        report = bench.run()
        assert bench.sent() == [("update", "2", {"firstname": name})]
        assert report.waiting_reasons == {"ROLLED_BACK": 2}
        assert bench.run().plan.waiting_reasons == {"ROLLED_BACK": 2}
    bench.run(full_refresh=True)
    assert (stands(bench)["bob@x.io"]["city"], stands(bench)["cid@x.io"]["city"]) == ("Bern", "Wien")
    bench.destination.poison = {"bob@x.io"}
    bench.source([ANN, ("2", "bob@x.io", "Robert", "BAD"), ("3", "cid@x.io", "Cid", None)])
    bench.run()
    bench.destination.poison = set()
    bench.source([ANN, ("2", "bob@x.io", "Robin", "BAD"), ("3", "cid@x.io", "Cid", None)])
    bench.run()
    assert stands(bench)["bob@x.io"]["city"] == "Bern", "a refusal does not forget it"
    bench.source([ANN, ("2", "bob@x.io", "Robin", None), ("3", "cid@x.io", "Cid", "Graz")])
    bench.destination.written.clear()
    report = bench.run()
    assert bench.sent() == [("update", "3", {"city": "Graz"})]
    assert report.waiting == {}


def test_released_it_is_sent_over_what_a_person_has_edited(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.records["103"]["city"] = "Wien"
    roll_back_run(bench, bad)
    bench.sent()
    release(resolve(bench.warehouse, bench.spec), QueueFilter(("3",)))
    bench.run()
    assert bench.sent() == [("update", "3", {"city": None})]


def test_what_a_later_run_wrote_is_left_and_names_it(bench: Bench) -> None:
    bad = spoil(bench)
    bench.source([("1", "ann@x.io", "Later", "Riga"), ("2", "bob@x.io", "BAD", "BAD"), ("3", "cid@x.io", "Cid", None)])
    later = bench.run().run_id
    bench.sent()
    report = roll_back_run(bench, bad)
    assert "1" not in {key for _, key, _ in bench.sent()}
    assert (f"written since by run {later}", False, 1) in report.plan.reasons
    roll_back_run(bench, later)
    assert bench.sent() == [("update", "1", {"firstname": "BAD"})]
    roll_back_run(bench, bad)
    assert bench.sent() == [("update", "1", {"firstname": "Ann"})]


def test_a_rollback_is_rolled_back(bench: Bench) -> None:
    bad = spoil(bench)
    before = stands(bench)
    first = roll_back_run(bench, bad)
    second = roll_back_run(bench, first.run_id)
    assert (second.counts, stands(bench)) == ({"ok": 3}, before)
    assert bench.run().plan.waiting == 0, "it stands as the model says: nobody has to wait"
    roll_back_run(bench, second.run_id)
    assert stands(bench) == GOOD
    assert bench.run().plan.changes == 0


def test_twice_is_as_once(bench: Bench) -> None:
    bad = spoil(bench)
    roll_back_run(bench, bad)
    bench.sent()
    report = roll_back_run(bench, bad)
    assert (bench.sent(), report.plan.restore, report.plan.changes) == ([], 0, 0)
    assert stands(bench) == GOOD
    assert bench.run().plan.changes == 0


def test_put_back_by_hand_needs_nothing_but_is_remembered(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.records["101"]["firstname"] = "Ann"
    report = roll_back_run(bench, bad, RollbackChoices(keys=("1",)))
    assert (bench.sent(), report.plan.already, report.counts) == ([], 1, {"ok": 1})
    assert ("1",) not in [(key,) for _, key, _ in bench.sent()]
    bench.run()
    assert bench.sent() == [], "the sync does not put the bad value there again"


def test_what_was_accepted_and_is_not_applied_yet_is_taken_back_all_the_same(bench: Bench) -> None:
    """The earlier value stands there only because the vendor has not come to ours yet."""
    bench.run()
    fake, on_their_way = bench.destination, list[tuple[str | None, list[Change]]]()
    at_once = fake.write

    async def later(_object: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        on_their_way.append((match_on, list(changes)))
        return [Outcome(c.ordinal, Status.ACCEPTED, c.destination_id) for c in changes]

    fake.write = later  # type: ignore[assignment,method-assign]
    bench.source([("1", "ann@x.io", "BAD", "Riga"), BOB, CID])
    bad = bench.run()
    assert bad.counts == {"accepted": 1}
    report = roll_back_run(bench, bad.run_id)
    assert (report.plan.restore, report.plan.already, report.counts) == (1, 0, {"accepted": 1})
    for match_on, changes in on_their_way:
        asyncio.run(at_once("contacts", match_on, changes))
    assert stands(bench) == GOOD
    assert roll_back_run(bench, bad.run_id).plan.changes == 0, "once is enough"


def test_only_the_keys_asked_for(bench: Bench) -> None:
    bad = spoil(bench)
    report = roll_back_run(bench, bad, RollbackChoices(keys=("1", "nobody")))
    assert bench.sent() == [("update", "1", {"firstname": "Ann"})]
    assert report.counts == {"ok": 1}


def test_what_was_created_is_kept_or_archived_when_asked_and_untouched(bench: Bench) -> None:
    created = bench.run().run_id
    bench.sent()
    report = roll_back_run(bench, created)
    assert (bench.sent(), report.plan.left) == ([], 3)
    bench.destination.records["102"]["city"] = "Bern"
    report = roll_back_run(bench, created, RollbackChoices(archive_created=True))
    assert [(op, key) for op, key, _ in bench.sent()] == [("delete", "1"), ("delete", "3")]
    assert (report.plan.archive, report.plan.left, report.counts) == (2, 1, {"ok": 2, "skipped": 1})
    again = bench.run()
    assert (bench.sent(), again.plan.waiting) == ([], 2), "they are not created anew until their rows change"
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    bench.run()
    assert bench.sent() == [("create", "1", {"email": "ann@x.io", "firstname": "Anna", "city": "Riga"})]


def test_who_stood_there_before_the_run_is_not_archived(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A create through an upsert may have met a record that somebody made a moment before."""
    created = bench.run().run_id
    read = bench.destination.read_back

    async def dated(object_: str, ids: Any, fields: Any) -> dict[str, RecordMatch]:
        found = await read(object_, ids, fields)
        return {i: RecordMatch(i, m.fields, bench.clock.now() - timedelta(days=9)) for i, m in found.items()}

    monkeypatch.setattr(bench.destination, "read_back", dated)
    bench.sent()
    report = roll_back_run(bench, created, RollbackChoices(archive_created=True))
    assert (bench.sent(), report.plan.left) == ([], 3)


def test_what_it_archived_for_us_is_made_anew_when_asked(bench: Bench) -> None:
    created = bench.run().run_id
    archived = roll_back_run(bench, created, RollbackChoices(archive_created=True)).run_id
    bench.sent()
    report = roll_back_run(bench, archived)
    assert (bench.sent(), report.plan.left) == ([], 3)
    report = roll_back_run(bench, archived, RollbackChoices(recreate_archived=True))
    assert (report.plan.recreate, report.counts) == (3, {"ok": 3})
    assert stands(bench) == GOOD
    again = bench.run()
    assert (again.plan.changes, again.plan.waiting) == (0, 0)


def test_what_a_mirror_archived_is_made_anew_and_not_archived_again(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.run()
    bench.source([BOB, CID])
    gone = bench.run().run_id
    bench.sent()
    assert roll_back_run(bench, gone).plan.left == 1
    report = roll_back_run(bench, gone, RollbackChoices(recreate_archived=True))
    assert bench.sent() == [("create", "1", {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"})]
    assert report.counts == {"ok": 1}
    assert bench.run().plan.changes == 0
    bench.source([ANN, BOB, CID])
    assert bench.run().plan.changes == 0
    assert stands(bench) == GOOD


def test_what_a_mirror_cleared_comes_back_and_is_not_cleared_again(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="clear")
    bench.run()
    bench.source([BOB, CID])
    cleared = bench.run().run_id
    bench.sent()
    roll_back_run(bench, cleared)
    assert bench.sent() == [("update", "1", {"firstname": "Ann", "city": "Riga"})]
    assert bench.run().plan.changes == 0
    assert stands(bench) == GOOD


def test_an_adopted_record_gets_back_what_stood_there(bench: Bench) -> None:
    bench.destination.records["7"] = {"email": "ANN@x.io", "firstname": "Old", "city": "Riga"}
    bench.destination.records["8"] = {"email": "bob@x.io", "firstname": "Bob", "city": "Bern"}
    adopted = bench.run().run_id
    bench.sent()
    report = roll_back_run(bench, adopted)
    assert bench.sent() == [("update", "1", {"firstname": "Old"})]
    assert (report.plan.restore, report.plan.left) == (1, 1), "8 was adopted as it stood, 3 was created"
    assert bench.run().plan.changes == 0


def test_a_null_comes_back_even_where_a_rule_keeps_values(bench: Bench) -> None:
    bench.sync_as(fields={"city": FieldRule(when_null="keep")})
    bench.run()
    bench.source([ANN, ("2", "bob@x.io", "Bob", "BAD"), CID])
    bad = bench.run().run_id
    bench.sent()
    roll_back_run(bench, bad)
    assert bench.sent() == [("update", "2", {"city": None})]
    bench.source([ANN, BOB, CID])
    assert bench.run().plan.changes == 0
    bench.source([ANN, ("2", "bob@x.io", "Bobby", "BAD"), CID])
    bench.run()
    assert bench.sent() == [("update", "2", {"firstname": "Bobby", "city": "BAD"})], "the snapshot knows of the null"


def test_without_an_answer_the_destination_says_what_there_is_to_undo(bench: Bench) -> None:
    bench.run()

    def lose(changes: Any) -> None:
        if any(c.key == "1" for c in changes):
            raise Ambiguous("lost")

    bench.destination.batch_rows = 1
    bench.destination.after_write = lose
    bench.source([("1", "ann@x.io", "BAD", "Riga"), ("2", "bob@x.io", "BAD", None), CID])
    bad = bench.run()
    assert bad.counts == {"ok": 1, "unknown": 1}
    bench.destination.after_write = lambda _: None
    bench.sent()
    report = roll_back_run(bench, bad.run_id)
    assert (report.counts, stands(bench)) == ({"ok": 2}, GOOD)
    bench.sent()
    bench.run()
    assert bench.sent() == [], "the doubt is gone with what caused it"


def test_what_was_never_applied_is_not_sent_later_either(bench: Bench) -> None:
    bench.run()

    def lose(_: Any) -> None:
        raise Ambiguous("lost")

    bench.destination.before_write = lose
    bench.source([("1", "ann@x.io", "BAD", "Riga"), BOB, CID])
    bad = bench.run().run_id
    bench.destination.before_write = lambda _: None
    bench.sent()
    assert roll_back_run(bench, bad).plan.already == 1
    bench.run()
    assert bench.sent() == []


@pytest.mark.parametrize("landed", [True, False])
def test_a_create_without_an_answer_is_looked_for(bench: Bench, landed: bool) -> None:
    def lose(_: Any) -> None:
        raise Ambiguous("lost")

    setattr(bench.destination, "after_write" if landed else "before_write", lose)
    bad = bench.run()
    assert bad.counts == {"unknown": 3}
    bench.destination.after_write = bench.destination.before_write = lambda _: None
    bench.sent()
    report = roll_back_run(bench, bad.run_id, RollbackChoices(archive_created=True))
    assert [op for op, *_ in bench.sent()] == (["delete"] * 3 if landed else [])
    assert report.plan.left == (0 if landed else 3)
    assert bench.destination.records == {}


def test_an_answer_lost_while_restoring_is_settled_by_the_next_rollback_not_by_a_sync(bench: Bench) -> None:
    bad = spoil(bench)

    def lose(_: Any) -> None:
        raise Ambiguous("lost")

    bench.destination.after_write = lose
    report = roll_back_run(bench, bad)
    assert (report.status, report.counts, report.exit_code) == ("partial", {"unknown": 3}, 1)
    bench.destination.after_write = lambda _: None
    bench.sent()
    bench.run()
    assert bench.sent() == [], "held while in doubt"
    report = roll_back_run(bench, bad)
    assert (bench.sent(), report.counts) == ([], {"ok": 3})
    assert stands(bench) == GOOD
    bench.run()
    assert bench.sent() == []


def test_a_refused_restore_stays_as_it_is_and_is_told(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.poison = {"Ann"}
    report = roll_back_run(bench, bad)
    assert (report.counts, report.exit_code) == ({"ok": 2, "rejected": 1}, 1)
    assert outcomes.reasons(bench.warehouse, report.run_id)[0][:2] == ("rejected", "INVALID_VALUE")
    bench.sent()
    assert bench.run().plan.waiting == 2


def test_a_destination_that_is_away_leaves_the_rest_for_the_same_command(bench: Bench) -> None:
    bad = spoil(bench)

    def away(_: Any) -> None:
        raise Unavailable("away")

    bench.destination.before_write = away
    report = roll_back_run(bench, bad)
    assert (report.status, report.not_sent, report.error, report.exit_code) == ("failed", 3, "away", 1)
    bench.destination.before_write = lambda _: None
    assert roll_back_run(bench, bad).counts == {"ok": 3}
    assert stands(bench) == GOOD


def test_gone_taken_over_and_rekeyed_records_are_left_alone(bench: Bench) -> None:
    bad = spoil(bench)
    del bench.destination.records["101"]
    bench.source([("9", "bob@x.io", "BAD", "BAD"), ("3", "cid@x.io", "Cid", None)])
    bench.run()
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET destination_id = '999' WHERE key = '3'")
    bench.sent()
    report = roll_back_run(bench, bad)
    assert bench.sent() == []
    assert {reason for reason, whole, _ in report.plan.reasons if whole} == {
        "not there any more: archived or deleted since",
        "belongs to key 9 today",
        "known under the id 999 today",
    }


def test_a_column_that_left_or_changed_its_type_is_left_with_the_reason(bench: Bench) -> None:
    bad = spoil(bench)
    bench.sync_as(columns=("golden_id", "email", "firstname"))
    rows = [("1", "ann@x.io", 1), ("2", "bob@x.io", 2), ("3", "cid@x.io", 3)]
    bench.source(rows, "golden_id VARCHAR, email VARCHAR, firstname INTEGER")
    report = roll_back_run(bench, bad)
    assert bench.sent() == []
    said = {reason for reason, *_ in report.plan.reasons}
    assert "its column has left the model" in said
    whole = "DECIMAL(38,0)" if bench.warehouse.dialect == "snowflake" else "INTEGER"
    assert f"the earlier value has no exact form in {whole}, the type of the column" in said


def test_typed_values_come_back_exactly(bench: Bench) -> None:
    bench.destination.fields = ("email", "seats", "seen", "born", "paid", "yes")
    ddl = "golden_id VARCHAR, email VARCHAR, seats BIGINT, seen TIMESTAMP, born DATE, paid DECIMAL(18,4), yes BOOLEAN"
    bench.sync_as(columns=("golden_id", "email", "seats", "seen", "born", "paid", "yes"))
    row = "SELECT '1' AS golden_id, 'a@x.io' AS email, {} AS seats, {} AS seen, {} AS born, {} AS paid, {} AS yes"
    good = row.format(
        "9007199254740993", "TIMESTAMP '2026-01-02 03:04:05.678901'", "DATE '1999-12-31'",
        "CAST('12345678901234.5678' AS DECIMAL(18,4))", "TRUE",
    )  # fmt: skip
    bench.source([], ddl)
    bench.warehouse.execute(f"INSERT INTO contacts {good}")
    bench.run()
    wanted = dict(next(iter(bench.destination.records.values())))
    bench.warehouse.execute("UPDATE contacts SET seats = 1, seen = NULL, born = '2000-01-01', paid = 0, yes = FALSE")
    bad = bench.run().run_id
    report = roll_back_run(bench, bad)
    assert report.counts == {"ok": 1}
    assert next(iter(bench.destination.records.values())) == wanted


def test_a_dry_run_and_a_no_send_nothing(bench: Bench) -> None:
    bad = spoil(bench)
    assert roll_back_run(bench, bad, dry_run=True).plan.restore == 3
    with pytest.raises(GuardrailError):
        roll_back_run(bench, bad, confirm=lambda _: False)
    assert bench.sent() == []
    assert list_runs(bench.warehouse, 1)[0].status == "stopped"


def test_what_cannot_be_read_back_is_not_undone(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.__class__ = UnreadableFake
    with pytest.raises(ConfigError, match="can't read contacts back"):
        roll_back_run(bench, bad)


def test_stop_ends_in_good_order_and_the_same_command_goes_on(bench: Bench) -> None:
    bad = spoil(bench)
    bench.destination.batch_rows = bench.destination.concurrency = 1

    async def interrupted() -> RollbackReport:
        stop = asyncio.Event()
        bench.destination.after_write = lambda _: stop.set()
        run = get_run(bench.warehouse, bad)
        assert isinstance(run, RunRecord)
        ctx = bench.context(command="rollback", stop_event=stop)
        return await roll_back(ctx, bench.spec, bench.destination, run)

    report = asyncio.run(interrupted())
    assert (report.status, report.not_sent > 0) == ("interrupted", True)
    bench.destination.after_write = lambda _: None
    roll_back_run(bench, bad)
    assert stands(bench) == GOOD


def test_what_a_run_that_died_had_in_flight_is_undone_too(bench: Bench) -> None:
    bench.run()
    bench.source([("1", "ann@x.io", "BAD", "Riga"), ("2", "bob@x.io", "BAD", None), CID])
    inner, fuse = bench.warehouse, Fuse()
    bench.warehouse = CrashingWarehouse(inner, fuse)
    bench.destination.batch_rows = bench.destination.concurrency = 1

    def die(_: Any) -> None:
        fuse.at = fuse.step + 1

    bench.destination.after_write = die
    with pytest.raises(Crash):
        bench.run()
    bench.warehouse, bench.destination.after_write = inner, lambda _: None
    assert "BAD" in {r["firstname"] for r in bench.destination.records.values()}
    (died,) = [r for r in list_runs(bench.warehouse) if r.status == "running"]
    report = roll_back_run(bench, died.run_id)
    assert report.status == "done"
    assert stands(bench) == GOOD
    assert {o.status for o in outcomes.of_run(bench.warehouse, died.run_id)} == {"unknown"}
    assert roll_back_run(bench, died.run_id).plan.changes == 0


def test_runs_know_what_undid_them(bench: Bench) -> None:
    bad = spoil(bench)
    roll_back_run(bench, bad, dry_run=True)
    assert rollbacks_of(bench.warehouse, bad) == []
    report = roll_back_run(bench, bad)
    assert [r.run_id for r in rollbacks_of(bench.warehouse, bad)] == [report.run_id]
    found = get_run(bench.warehouse, report.run_id)
    assert found is not None
    assert found.undoes == bad


def test_links_are_counted_and_left_to_the_next_sync(bench: Bench) -> None:
    bad = spoil(bench)
    bench.warehouse.execute(
        "INSERT INTO revetl.outcomes (run_id, sync, key, op, status, destination_id, changed_fields, attempts)"
        " SELECT run_id, sync, key, 'link', 'ok', destination_id, '[\"fake__firms\"]', 1 FROM revetl.outcomes"
        f" WHERE run_id = '{bad}'"
    )
    report = roll_back_run(bench, bad)
    assert (report.plan.links, report.counts, stands(bench)) == (3, {"ok": 3}, GOOD)


@pytest.mark.parametrize("fields", [("city",), None], ids=["of a field", "of all"])
def test_reasserting_leaves_out_what_was_rolled_back_and_says_so(bench: Bench, fields: tuple[str, ...] | None) -> None:
    bench.run()
    bench.source([("1", "ann@x.io", "BAD", "Riga"), BOB, CID])
    roll_back_run(bench, bench.run().run_id)
    bench.destination.written.clear()
    bench.destination.records["101"]["city"] = "Bern"
    bench.destination.records["103"]["city"] = "Wien"
    report = drift(bench, DriftResolution("reassert", fields))
    assert (report.resolved, report.cells) == (1, 1)
    assert [(h.status, h.records, h.keys) for h in report.left_out] == [("rolled_back", 1, ("1",))]
    assert report.document()["left_out"] == [{"status": "rolled_back", "records": 1, "keys": ("1",)}]
    again = bench.run()
    assert (bench.sent(), again.plan.waiting) == ([("update", "3", {"city": "Oslo"})], 1)
    assert drift(bench).fields == {"city": {"theirs": 1}}, "what was left out is still drift"
    release(resolve(bench.warehouse, bench.spec), QueueFilter(("1",)))
    assert drift(bench, DriftResolution("reassert", fields)).left_out == []
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "BAD", "city": "Riga"})]


def test_a_record_that_was_rolled_back_and_is_missing_is_not_created_again_with_the_models_values(bench: Bench) -> None:
    roll_back_run(bench, spoil(bench))
    bench.sent()
    del bench.destination.records["101"]
    report = drift(bench, DriftResolution("reassert", None))
    assert (report.resolved, [h.keys for h in report.left_out]) == (0, [("1",)])
    bench.run()
    assert bench.sent() == []


def test_accepting_a_value_of_a_record_that_was_rolled_back_holds_the_rest_too(bench: Bench) -> None:
    bench.run()
    bench.source([("1", "ann@x.io", "BAD", "Riga"), BOB, CID])
    roll_back_run(bench, bench.run().run_id)
    bench.destination.written.clear()
    bench.destination.records["101"]["city"] = "Bern"
    drift(bench, DriftResolution("accept", ("city",)))
    bench.destination.records["101"]["city"] = "Bonn"
    report = drift(bench, DriftResolution("reassert", ("city",)))
    assert [(h.status, h.keys) for h in report.left_out] == [("accepted", ("1",))]
    bench.run()
    assert bench.sent() == []


def test_a_group_of_the_queue_says_how_many_messages_it_has(bench: Bench) -> None:
    bench.run()
    tables = resolve(bench.warehouse, bench.spec)
    for key, message in (("s4", "too long"), ("s5", "no number"), ("s6", "no number")):
        bench.warehouse.execute(
            f"INSERT INTO {tables.rejected} (key, status, error_code, message) VALUES (?, 'rejected', '400', ?)",
            [key, message],
        )
    found = waiting(tables, QueueFilter())
    assert [(w.records, w.message, w.messages) for w in found] == [(3, "no number", 2)]
    screen = Console(file=io.StringIO(), width=80)
    show_waiting(screen, [RetryReport("fake__contacts", found)])
    assert "s4, s5, s6: no number; of others of them: too long" in screen.file.getvalue()  # type: ignore[attr-defined]
