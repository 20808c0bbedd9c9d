"""Syncs that stand or fall together: a failure past the threshold takes back what the others wrote."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revetl.destinations.base import DestinationField, ObjectSchema
from revetl.errors import ConfigError, Denied, GuardrailError, Unavailable
from revetl.model import Change, Guardrails
from revetl.state import syncs
from revetl.sync import SyncOptions, plan_sync
from revetl.sync.disconnect.disconnecting import DisconnectOptions
from revetl.sync.plan import saved
from revetl.sync.report import SagaEnd
from revetl.usecases import exit_codes
from revetl.usecases.disconnect import leave, reconnect
from revetl.usecases.sync import exit_code, push
from tests.support.backups import backup, restore
from tests.support.fake_destination import FakeDestination
from tests.support.saga_bench import SagaBench

OLD = [("1", "1@x.io", "old"), ("2", "2@x.io", "old")]
NEW = [("1", "1@x.io", "new", "1"), ("2", "2@x.io", "new", "2"), ("3", "3@x.io", "new", "3")]
BEFORE = {"1@x.io": "old", "2@x.io": "old"}
AFTER = {"1@x.io": "new", "2@x.io": "new", "3@x.io": "new"}


@pytest.fixture
def bench(tmp_path: Path) -> SagaBench:
    """All three hold the old rows, and the new ones are due."""
    b = SagaBench(tmp_path)
    for name in "abc":
        b.source(name, OLD)
    b.run()
    for name in "abc":
        b.source(name, NEW)
    b.sent()
    b.notes.clear()
    return b


def refusing(city: str) -> Callable[[Change], str | None]:
    return lambda change: "NO" if change.key == city else None


def code(reports: Any) -> int:
    return exit_code(reports, SyncOptions())


def test_all_of_them_went_through(bench: SagaBench) -> None:
    reports = bench.run()
    assert [bench.stands(name) for name in "abc"] == [AFTER] * 3
    assert [r.saga for r in reports] == [SagaEnd("all", "done")] * 3
    assert (bench.steps(), code(reports)) == (["done", "done"], 0)


def test_one_refused_record_takes_back_what_the_others_wrote(bench: SagaBench) -> None:
    bench.destinations["b"].refuses = refusing("2")
    reports = bench.run()
    assert [bench.stands(name) for name in "abc"] == [BEFORE] * 3
    assert [r.sync for r in reports] == ["a__people", "b__people"]  # the third was not begun
    assert bench.sent()["c"] == 0
    assert reports[0].saga == reports[1].saga
    end = reports[0].saga
    assert end is not None
    assert (end.step, end.cause, end.left) == ("undone", "1 record(s) failed, of which 0 may", {})
    assert bench.steps() == ["done", "undone"]
    assert code(reports) == exit_codes.ExitCode.STOPPED
    assert any(note.startswith("not begun") and "c__people" in note for note in bench.notes)


def test_links_that_it_made_go_with_it(bench: SagaBench) -> None:
    bench.destinations["c"].refuses = refusing("2")
    bench.run()
    assert bench.destinations["b"].linked[:3] != []
    assert bench.destinations["b"].links == set()
    assert [bench.stands(name) for name in "abc"] == [BEFORE] * 3
    bench.destinations["c"].refuses = lambda _: None
    bench.source("c", [(k, e, f"{city} too") for k, e, city, _ in NEW])  # the refused row was mended
    bench.run()
    assert len(bench.destinations["b"].links) == 3
    assert (bench.stands("a"), bench.stands("b")) == (AFTER, AFTER)


def test_as_many_as_may_fail_do_no_harm(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path, max_failures=1)
    for name in "abc":
        bench.source(name, NEW)
    bench.destinations["b"].refuses = refusing("2")
    reports = bench.run()
    assert bench.stands("a") == bench.stands("c") == AFTER
    assert (bench.steps(), code(reports)) == (["done"], 1)
    bench.destinations["c"].refuses = refusing("1")  # a second one, in another sync
    bench.source("c", [(k, e, "newer") for k, e, *_ in NEW])
    bench.run()
    assert bench.steps() == ["done", "undone"]
    assert bench.stands("c") == AFTER


def test_a_destination_that_is_away_takes_all_back_and_the_next_run_sends_all(bench: SagaBench) -> None:
    def away(_: object) -> None:
        raise Unavailable("the vendor is away")

    bench.destinations["c"].before_write = away
    reports = bench.run()
    assert [bench.stands(name) for name in "abc"] == [BEFORE] * 3
    assert reports[2].saga is not None
    assert reports[2].saga.cause == f"c__people stopped, see run {reports[2].run_id[-6:]}"
    bench.destinations["c"].before_write = lambda _: None
    bench.run()  # nothing has to be said to retry: what was held back is let go
    assert [bench.stands(name) for name in "abc"] == [AFTER] * 3
    assert bench.steps() == ["done", "undone", "done"]
    assert bench.run()[0].plan.changes == 0


def test_refused_credentials_end_with_4(bench: SagaBench) -> None:
    def denied(_: object) -> None:
        raise Denied("no scope")

    bench.destinations["b"].before_write = denied
    assert code(bench.run()) == exit_codes.ExitCode.CREDENTIALS
    assert bench.stands("a") == BEFORE


def test_what_a_person_edited_meanwhile_is_left_and_reported(bench: SagaBench) -> None:
    def edits(_: object) -> None:
        for record in bench.destinations["a"].records.values():
            if record["email"] in ("1@x.io", "3@x.io"):
                record["city"] = "hand"

    bench.destinations["c"].before_write = edits
    bench.destinations["c"].refuses = refusing("2")
    end = bench.run()[0].saga
    assert end is not None
    assert bench.stands("a") == {"1@x.io": "hand", "2@x.io": "old", "3@x.io": "hand"}
    assert end.left == {"a__people": 2}
    assert any("a__people: 2 record(s) were left" in note for note in bench.notes)
    # And stays, also once the saga goes through.
    bench.destinations["c"].before_write = bench.destinations["c"].refuses = lambda _: None
    bench.source("c", [(k, e, "mended") for k, e, *_ in NEW])
    bench.run()
    assert bench.steps()[-1] == "done"
    assert bench.stands("a")["1@x.io"] == "hand"
    assert bench.warehouse.rows("SELECT key, status FROM revetl.rejected__a__people") == [("1", "rolled_back")]


def test_it_does_not_send_and_take_back_every_hour(bench: SagaBench) -> None:
    bench.destinations["b"].refuses = refusing("2")
    bench.run()
    bench.sent()
    for _ in range(2):
        with pytest.raises(GuardrailError, match=r"1 record\(s\) were refused before and stand as they did"):
            bench.run()
    assert bench.sent() == {"a": 0, "b": 0, "c": 0}
    assert bench.steps() == ["done", "undone"]


def test_a_guardrail_of_one_stops_all_before_anything_is_sent(bench: SagaBench) -> None:
    bench.specs[2] = replace(bench.specs[2], guardrails=Guardrails(max_changed_share=0.1))
    with pytest.raises(GuardrailError, match="saga all: nothing was sent: c__people"):
        bench.run()
    assert bench.sent() == {"a": 0, "b": 0, "c": 0}
    assert bench.steps() == ["done"]
    bench.run(allow=("changed",))
    assert bench.stands("c") == AFTER


def test_a_plan_that_a_person_declines_takes_back_what_went_before(bench: SagaBench) -> None:
    with pytest.raises(GuardrailError, match="not confirmed"):
        bench.run(confirm=lambda plan: plan.sync != "c__people")
    assert [bench.stands(name) for name in "abc"] == [BEFORE] * 3
    assert bench.steps() == ["done", "undone"]


def test_one_of_them_is_not_sent_alone(bench: SagaBench) -> None:
    with pytest.raises(ConfigError, match="b__people stands or falls with a__people, c__people"):
        bench.run("b__people")
    assert bench.sent() == {"a": 0, "b": 0, "c": 0}
    assert bench.run("b__people", dry_run=True)[0].plan.changes == 3


def test_an_undoing_that_does_not_come_to_its_end_is_ended_by_the_next_run(bench: SagaBench) -> None:
    away: list[str] = []

    def perhaps(_: object) -> None:
        if away:
            raise Unavailable("away")

    bench.destinations["a"].before_write = perhaps
    bench.destinations["b"].before_write = lambda _: away.append("now")
    bench.destinations["b"].refuses = refusing("2")
    reports = bench.run()
    assert bench.steps() == ["done", "undoing"]
    assert bench.stands("b") == BEFORE  # the last is taken back first
    assert bench.stands("a") == AFTER
    with pytest.raises(GuardrailError, match="could not be undone yet"):
        bench.run()
    assert code(reports) == exit_codes.ExitCode.STOPPED
    away.clear()
    bench.destinations["b"].before_write = lambda _: None
    with pytest.raises(GuardrailError, match="were refused before"):
        bench.run()
    assert [bench.stands(name) for name in "abc"] == [BEFORE] * 3
    assert bench.steps() == ["done", "undone"]


class EventFake(FakeDestination):
    async def describe(self, object_: str) -> ObjectSchema:
        fields = (await super().describe(object_)).fields
        return ObjectSchema(fields, kind="events", event_id="email")


def test_what_cannot_be_undone_stays_and_is_said(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path)
    bench.destinations["a"] = EventFake(("email", "city"), "a")
    bench.specs[0] = replace(bench.specs[0], mode="insert")
    for name in "abc":
        bench.source(name, NEW)
    bench.destinations["c"].refuses = refusing("2")
    end = bench.run()[0].saga
    assert end is not None
    assert (end.step, end.stays, end.left) == (
        "undone",
        {"a__people": "events are only added"},
        {"a__people": 3},
    )
    assert bench.stands("b") == {}


def test_a_saga_goes_on_without_a_destination_that_was_left(bench: SagaBench) -> None:
    known = syncs.read(bench.warehouse, "b__people")
    assert known is not None
    syncs.begin_disconnect(bench.warehouse, known, "r", bench.clock.now())
    bench.run()
    assert (bench.stands("a"), bench.stands("b"), bench.stands("c")) == (AFTER, BEFORE, AFTER)
    assert any(note.startswith("b__people: left out") for note in bench.notes)


def test_a_sync_that_was_disconnected_after_a_restored_backup_is_left_out(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path, state_dir=tmp_path / ".revetl" / "dev")
    for name in "abc":
        bench.source(name, OLD)
    bench.run()
    kept, standing = backup(bench.warehouse), bench.stands("b")
    leave(bench.project, "b__people", DisconnectOptions(), bench.caller())
    restore(bench.warehouse, kept)
    for name in "abc":
        bench.source(name, NEW)
    bench.sent()
    with bench.planned() as found:
        assert [plan.sync for plan in found.summaries] == ["a__people", "c__people"]
    bench.notes.clear()
    bench.run(allow=("restored",))
    assert (bench.sent()["b"], bench.stands("b")) == (0, standing)
    assert "`revetl disconnect b__people` removes it once more" in bench.notes[1]
    with pytest.raises(GuardrailError, match="b__people was disconnected"):
        plan_alone(bench, "b")
    assert reconnect(bench.project, "b__people", bench.caller()).was
    bench.run(allow=("restored",))
    assert bench.stands("b") == AFTER


def test_a_sync_that_was_reconnected_elsewhere_is_sent_whatever_stands_beside_the_project(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path, state_dir=tmp_path / ".revetl" / "dev")
    for name in "abc":
        bench.source(name, OLD)
    bench.run()
    leave(bench.project, "b__people", DisconnectOptions(), bench.caller())
    syncs.reconnect(bench.warehouse, "b__people")
    for name in "abc":
        bench.source(name, NEW)
    bench.run()
    assert bench.stands("b") == AFTER


def plan_alone(bench: SagaBench, name: str) -> None:
    spec = next(spec for spec in bench.specs if spec.destination == name)
    ctx = bench.caller().context(bench.project, bench.warehouse, "drift")
    asyncio.run(plan_sync(ctx, spec, bench.destinations[name]))


def test_a_saga_that_no_file_declares_any_more_is_ended(bench: SagaBench) -> None:
    bench.destinations["a"].before_write = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.steps() == ["done", "applying"]
    bench.sagas, bench.destinations["a"].before_write = [], lambda _: None
    bench.run("a__people")
    assert bench.steps() == ["done", "done"]


def planned(bench: SagaBench) -> dict[str, tuple[int, int]]:
    """Sync → the records and the links that its plan says will be sent."""
    with bench.planned() as found:
        return {plan.sync: (plan.changes, plan.links.link) for plan in found.summaries}


def test_a_plan_after_an_undoing_says_what_the_run_sends(bench: SagaBench) -> None:
    bench.destinations["c"].refuses = refusing("2")
    bench.run()
    bench.destinations["c"].refuses = lambda _: None
    bench.source("c", [(k, e, f"{city} too") for k, e, city, _ in NEW])
    said, waits = planned(bench), bench.warehouse.rows("SELECT * FROM revetl.rejected__a__people ORDER BY key")
    assert waits != []  # a plan writes nothing down
    bench.sent()
    bench.destinations["b"].linked.clear()
    dry = bench.run(dry_run=True)
    reports = bench.run()
    sent = bench.sent()
    assert {r.sync: r.plan.changes for r in dry} == {sync: records for sync, (records, _) in said.items()}
    assert said == {
        "a__people": (sent["a"], 0),
        "b__people": (sent["b"], len(bench.destinations["b"].linked)),
        "c__people": (sent["c"], 0),
    }
    assert sent == {"a": 3, "b": 3, "c": 3}
    assert [r.saga for r in reports] == [SagaEnd("all", "done")] * 3


def test_a_plan_that_was_saved_after_an_undoing_is_applied(bench: SagaBench) -> None:
    bench.destinations["c"].refuses = refusing("2")
    bench.run()
    bench.destinations["c"].refuses = lambda _: None
    bench.source("c", [(k, e, f"{city} too") for k, e, city, _ in NEW])
    with bench.planned() as found:
        planners = {
            one.spec.name: saved.planner(
                bench.warehouse, one.spec, saved.entry(bench.warehouse, one.spec, one.summary, bench.clock)
            )
            for one in found.syncs
        }
    push(bench.project, bench.warehouse, bench.specs, "apply", SyncOptions(), bench.caller(), planners)
    assert (bench.stands("a"), bench.stands("b")) == (AFTER, AFTER)
    assert bench.steps() == ["done", "undone", "done"]
    for name in "abc":
        assert bench.warehouse.rows(f"SELECT key FROM revetl.rejected__{name}__people") == []


def test_a_plan_of_a_saga_that_would_send_nothing_says_so_and_ends_with_3(bench: SagaBench) -> None:
    bench.destinations["b"].refuses = refusing("2")
    bench.run()
    with bench.planned() as found:
        assert found.exit_code(tells_differences=False) == exit_codes.ExitCode.STOPPED
        said = {plan.sync: [(v.guardrail, v.message) for v in plan.violations] for plan in found.summaries}
    assert set(said) == {"a__people", "b__people", "c__people"}
    for (guardrail, message), *more in said.values():
        assert (guardrail, more) == ("saga", [])
        assert "b__people: 1 record(s) were refused before and stand as they did, of which 0 may" in message
    dry = bench.run(dry_run=True)
    assert exit_code(dry, SyncOptions(dry_run=True)) == exit_codes.ExitCode.STOPPED
    with pytest.raises(GuardrailError, match="nothing was sent: b__people: 1 record"):
        bench.run()


def test_what_a_plan_knows_will_be_refused_stops_a_saga_before_it_sends(bench: SagaBench) -> None:
    city = DestinationField("city", "enum", options=("old", "new"))
    bench.destinations["c"].described = {"city": city}
    bench.source("c", [("1", "1@x.io", "other"), ("2", "2@x.io", "new"), ("3", None, "new")])
    why = (
        "saga all: nothing was sent: c__people: 1 record(s) hold what is no option there;"
        " c__people: 1 record(s) can't be sent (NO_IDENTITY), of which 0 may"
    )
    with pytest.raises(GuardrailError, match=re.escape(why)):
        bench.run()
    assert bench.sent() == {"a": 0, "b": 0, "c": 0}
    assert bench.steps() == ["done"]


def test_as_many_as_may_fail_are_sent_though_their_refusal_is_known(tmp_path: Path) -> None:
    bench = SagaBench(tmp_path, max_failures=1)
    for name in "abc":
        bench.source(name, NEW)
    bench.source("b", [*NEW, ("4", None, "new")])
    bench.run()
    assert bench.steps() == ["done"]
    bench.source("c", [*NEW, ("4", None, "new")])  # the one that waits in the other sync counts on
    with pytest.raises(GuardrailError, match="of which 1 may"):
        bench.run()
    assert bench.steps() == ["done"]
