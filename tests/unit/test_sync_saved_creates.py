"""Between a plan and its applying people make records too: what stands there by then is left as it is, and told."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from revetl.cli.render.runs import show_record
from revetl.destinations.hubspot.batch_items import Item
from revetl.model import EXISTED, Change, FieldRule, Operation, Outcome, Scalar, Status
from revetl.state import outcomes, runs
from revetl.sync import record_history
from revetl.sync.retry.due import FEW
from revetl.sync.rollback.judge import RollbackChoices
from tests.support.sync_bench import Bench
from tests.unit.test_sync_key_property import KEY, KeyedFake
from tests.unit.test_sync_rollback import roll_back_run
from tests.unit.test_sync_saved_plans import SavedBench

ANN, BOB = ("1", "ann@x.io", "Ann", "Riga"), ("2", "bob@x.io", "Bob", "Bern")
PERSON: dict[str, Scalar] = {"email": "Ann@x.io", "firstname": "A person", "city": "Rome"}


@pytest.fixture
def kept(tmp_path: Path) -> SavedBench:
    bench = Bench()
    bench.sync_as(fields={"city": FieldRule(policy="fill_blank")})
    bench.source([ANN, BOB])
    return SavedBench(bench, tmp_path / "plan.json")


@pytest.mark.parametrize("idempotent", [True, False], ids=["upsert by match_on", "plain create"])
def test_who_was_made_there_meanwhile_is_left_as_it_is_and_the_others_are_created(
    kept: SavedBench, idempotent: bool
) -> None:
    bench = kept.bench
    bench.destination.idempotent_creates = idempotent
    kept.save()
    id_ = bench.destination.make(**PERSON)
    report = kept.apply()
    assert [(op, key) for op, key, _ in bench.sent()] == [("create", "2")]
    assert (bench.destination.records[id_], len(bench.destination.records)) == (PERSON, 2)
    assert (report.plan.create, report.plan.reasons, report.counts) == (
        1,
        {"EXISTS_BY_NOW": 1},
        {"rejected": 1, "ok": 1},
    )
    assert (report.waiting_reasons, report.exit_code) == ({"EXISTS_BY_NOW": 1}, 1)

    undone = roll_back_run(bench, report.run_id, RollbackChoices(archive_created=True))
    assert undone.exit_code == 0
    assert bench.destination.records == {id_: PERSON}, "what a person made is not archived"


def test_the_next_plan_adopts_it_and_a_field_of_the_persons_stays(kept: SavedBench) -> None:
    kept.save()
    id_ = kept.bench.destination.make(**PERSON)
    kept.apply()
    kept.bench.sent()
    later = kept.bench.run()
    assert (later.plan.adopt, later.plan.create, later.exit_code, later.waiting) == (1, 0, 0, {})
    assert kept.bench.destination.records[id_] == {**PERSON, "firstname": "Ann"}


def test_where_only_our_key_tells_it_is_found_by_that(kept: SavedBench) -> None:
    bench = kept.bench
    bench.destination = KeyedFake()
    bench.sync_as(key_property=KEY)
    bench.source([BOB])
    bench.run()
    bench.source([ANN, BOB])
    bench.sent()
    kept.save()
    person = {**PERSON, "email": "other@x.io", KEY: "1"}
    id_ = bench.destination.make(**person)
    report = kept.apply()
    assert (bench.sent(), report.plan.reasons) == ([], {"EXISTS_BY_NOW": 1})
    assert bench.destination.records[id_] == person


def test_a_value_that_a_record_of_ours_gives_up_in_the_plan_is_no_record_made_meanwhile(kept: SavedBench) -> None:
    bench = kept.bench
    bench.destination.unique = {"email"}
    bench.source([ANN])
    bench.run()
    bench.sent()
    bench.source([("1", "new@x.io", "Ann", "Riga"), ("3", "ann@x.io", "Second", "Oslo")])
    kept.save()
    report = kept.apply()
    assert [(op, key) for op, key, _ in bench.sent()] == [("create", "3"), ("update", "1")]
    assert (report.counts, report.exit_code) == ({"ok": 2}, 0)
    assert sorted(str(r["email"]) for r in bench.destination.records.values()) == ["ann@x.io", "new@x.io"]


def test_however_many_they_are_the_next_run_adopts_all(kept: SavedBench) -> None:
    """Nothing has to be waited for: that they stand there is all that adopting asks for."""
    bench = kept.bench
    bench.source([(str(n), f"p{n}@x.io", f"P{n}", "Bern") for n in range(FEW + 1)])
    kept.save()
    for n in range(FEW + 1):
        bench.destination.make(email=f"p{n}@x.io")
    assert kept.apply().plan.reasons == {"EXISTS_BY_NOW": FEW + 1}
    assert bench.run().plan.adopt == FEW + 1


def test_a_plain_sync_looks_once(kept: SavedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Scalar] = []
    look_up = kept.bench.destination.look_up

    async def counting(object_: str, match_on: str, values: list[Scalar], fields: list[str]) -> object:
        asked.extend(values)
        return await look_up(object_, match_on, values, fields)

    monkeypatch.setattr(kept.bench.destination, "look_up", counting)
    kept.bench.run()
    assert sorted(map(str, asked)) == ["ann@x.io", "bob@x.io"]


def test_who_was_there_when_the_create_arrived_is_not_told_as_created_and_not_archived(kept: SavedBench) -> None:
    """Between the last look and the sending: the answer to an upsert tells it."""
    bench = kept.bench

    def made_meanwhile(_: object) -> None:
        if not bench.destination.records:
            bench.destination.make(**PERSON)

    def answer(said: list[Outcome]) -> list[Outcome]:
        for outcome in said:
            if outcome.destination_id == "101":
                outcome.error_code = EXISTED
        return said

    bench.destination.before_write, bench.destination.answer = made_meanwhile, answer
    report = bench.run()
    assert report.done is not None
    assert (report.done.created, report.done.updated, report.exit_code) == (1, 1, 0)
    assert outcomes.done_by(bench.warehouse, report.run_id) == [("create", "ok", 1), ("update", "ok", 1)]
    history = record_history.of_record(bench.warehouse, report.run_id, bench.spec.name, "1")
    [outcome] = history.outcomes
    assert (outcome.op, outcome.done) == ("create", "update")
    run = runs.get_run(bench.warehouse, report.run_id)
    assert run is not None
    screen = StringIO()
    show_record(Console(file=screen, width=120), run, history)
    head, _, said = screen.getvalue().splitlines()[1:4]
    assert head.startswith("  found, updated ok EXISTED, ")
    assert "stood there when the create arrived" in said
    assert bench.run().plan.changes == 0
    roll_back_run(bench, report.run_id, RollbackChoices(archive_created=True))
    assert [*bench.destination.records] == ["101"]


@pytest.mark.parametrize(
    ("op", "new", "attempts", "sent_before", "in_doubt", "code"),
    [
        (Operation.CREATE, False, 1, False, False, EXISTED),
        (Operation.CREATE, True, 1, False, False, None),
        (Operation.CREATE, None, 1, False, False, None),
        (Operation.CREATE, False, 2, False, False, None),
        (Operation.CREATE, False, 1, True, False, None),
        (Operation.CREATE, False, 1, False, True, None),
        (Operation.UPDATE, False, 1, False, False, None),
    ],
    ids=["there before", "new", "not said", "repeated", "sent before", "in doubt", "update"],
)
def test_hubspot_says_of_an_upsert_whether_the_record_is_new(
    op: Operation, new: bool | None, attempts: int, sent_before: bool, in_doubt: bool, code: str | None
) -> None:
    """Where an earlier call may have made it, it tells nothing."""
    change = Change(0, "1", op, None, {"email": "ann@x.io"}, "ann@x.io", in_doubt)
    item = Item(change, "ann@x.io", "ann@x.io", {"email": "ann@x.io"}, sent_before=sent_before)
    said = {} if new is None else {"new": new}
    item.answered({"id": "7", "properties": {"email": "ann@x.io"}, **said}, attempts)
    assert item.outcome is not None
    assert (item.outcome.status, item.outcome.error_code) == (Status.OK, code)
