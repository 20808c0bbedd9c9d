"""A saga that was undone and is then renamed, removed or left by a member; and what one that stops does to others."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from revetl.cli.render.reports import show_reports
from revetl.errors import GuardrailError, Unavailable
from revetl.model import Association, SagaSpec
from revetl.state import runs
from revetl.sync.rollback.rolling_back import RollbackChoices, roll_back
from revetl.usecases import exit_codes
from tests.support.fake_destination import FakeDestination
from tests.support.saga_bench import COLUMNS, SagaBench, spec
from tests.unit.test_sagas import AFTER, BEFORE, NEW, OLD, code, refusing

MENDED = [(k, e, f"{city}!", firm) for k, e, city, firm in NEW]


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


def renamed(bench: SagaBench) -> None:
    bench.sagas[:] = [replace(bench.sagas[0], name="other")]


def removed(bench: SagaBench) -> None:
    bench.sagas.clear()


def left_by_a(bench: SagaBench) -> None:
    bench.sagas[:] = [replace(bench.sagas[0], syncs=("b__people", "c__people"))]


redeclared = pytest.mark.parametrize("redeclare", [renamed, removed, left_by_a], ids=lambda f: f.__name__)


@redeclared
def test_what_an_undoing_held_back_is_sent_however_the_saga_is_declared_by_then(
    bench: SagaBench, redeclare: Callable[[SagaBench], None]
) -> None:
    bench.destinations["b"].refuses = refusing("2")
    bench.run()
    assert bench.stands("a") == BEFORE
    redeclare(bench)
    bench.destinations["b"].refuses = lambda _: None
    bench.source("b", MENDED)
    with bench.planned() as found:
        said = {plan.sync: plan.changes for plan in found.summaries}
    bench.sent()
    reports = bench.run()
    assert (bench.stands("a"), code(reports)) == (AFTER, 0)
    assert list(said.values()) == [*bench.sent().values()] == [3, 3, 3]
    assert [r.waiting for r in reports] == [{}] * 3
    assert bench.run()[0].plan.changes == 0


def half_undone(bench: SagaBench) -> list[str]:
    """`b` is as before, `a` is not: its destination went away. Give it back by clearing what is returned."""
    away: list[str] = []

    def perhaps(_: object) -> None:
        if away:
            raise Unavailable("away")

    def refuse(change: Any) -> str | None:
        if change.key != "2":
            return None
        away.append("now")
        return "NO"

    bench.destinations["a"].before_write = perhaps
    bench.destinations["b"].refuses = refuse
    bench.run()
    assert (bench.steps(), bench.stands("a"), bench.stands("b")) == (["done", "undoing"], AFTER, BEFORE)
    bench.destinations["b"].refuses = lambda _: None
    bench.notes.clear()
    bench.sent()
    return away


def test_a_half_undone_saga_that_is_declared_no_more_stops_its_syncs_until_it_is_ended(bench: SagaBench) -> None:
    half_undone(bench)
    removed(bench)
    with pytest.raises(GuardrailError, match="saga all: it could not be undone yet") as e:
        bench.run()
    assert e.value.exit_code == exit_codes.ExitCode.STOPPED
    assert bench.sent() == {"a": 0, "b": 0, "c": 3}  # nothing of `c` was sent then, and nothing binds it any more
    assert any("not all of it yet (away)" in note for note in bench.notes)


def test_a_half_undone_saga_that_is_declared_no_more_is_ended_and_told(bench: SagaBench) -> None:
    away = half_undone(bench)
    removed(bench)
    away.clear()
    for record in bench.destinations["a"].records.values():
        if record["email"] == "1@x.io":
            record["city"] = "hand"
    reports = bench.run()
    assert bench.steps() == ["done", "undone"]
    assert any("no longer declares it: that is ended first" in note for note in bench.notes)
    assert (
        "Saga all: a__people: 1 record(s) were left, since somebody edited them or they can't be undone." in bench.notes
    )
    assert bench.stands("a") == {**AFTER, "1@x.io": "hand"}
    # What a person edited waits for that person: counted, and no success.
    assert (reports[0].held_by_saga, reports[0].exit_code) == (1, exit_codes.ExitCode.RECORDS)
    assert "1 record(s) stand as before a saga of it was taken back" in shown(reports)


def test_a_saga_does_not_say_done_of_what_was_rolled_back_by_hand(bench: SagaBench) -> None:
    def dies(_: object) -> None:
        raise KeyboardInterrupt

    bench.destinations["b"].before_write = dies
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.destinations["b"].before_write = lambda _: None
    ran = next(run for run in runs.list_runs(bench.warehouse) if run.subject == "a__people")
    ctx = bench.caller().context(bench.project, bench.warehouse, "rollback")
    asyncio.run(roll_back(ctx, bench.specs[0], bench.destinations["a"], ran, RollbackChoices(archive_created=True)))
    reports = bench.run()
    end = reports[0].saga
    assert end is not None
    assert (end.step, end.waits, code(reports)) == ("done", {"a__people": 3}, exit_codes.ExitCode.RECORDS)
    assert "saga all: done, but for what was rolled back" in shown(reports)
    assert (bench.stands("a"), bench.stands("c")) == (BEFORE, AFTER)  # a person's word holds


def shown(reports: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    show_reports(console, reports)
    return console.export_text()


def with_others(bench: SagaBench) -> None:
    """`all` binds a and b; c links to a, d refers to nobody."""
    bench.destinations["d"] = FakeDestination(("email", "city"), "d")
    links = (Association("a__people", "firm_id", 1, "people"),)
    bench.specs = [bench.specs[0], bench.specs[1], spec("c", columns=COLUMNS, associate=links), spec("d")]
    bench.sagas[:] = [SagaSpec("all", ("a__people", "b__people"), 0)]
    bench.source("d", NEW)


def test_syncs_outside_of_a_saga_that_is_taken_back_go_on(bench: SagaBench) -> None:
    with_others(bench)
    bench.destinations["b"].refuses = refusing("2")
    reports = bench.run()
    assert [r.sync for r in reports] == ["a__people", "b__people", "d__people"]
    assert (bench.stands("a"), bench.stands("d"), code(reports)) == (BEFORE, AFTER, 3)
    assert [note for note in bench.notes if "not begun" in note] == [
        "not begun, since the saga all was taken back, and records of a__people are named there: c__people"
    ]
    assert [line.split()[1:3] for line in shown(reports).splitlines() if line.strip().startswith("a__people")] == [
        ["taken", "back"]
    ]
    # The same hour after hour: the refused row stands as it did.
    bench.source("d", MENDED)
    bench.notes.clear()
    with pytest.raises(GuardrailError, match="were refused before"):
        bench.run()
    assert bench.ended[-1].sync == "d__people"
    assert bench.stands("d")["1@x.io"] == "new!"
    assert [note for note in bench.notes if "not begun" in note] == [
        "not begun, since the saga all stopped: a__people, b__people",
        "not begun, since the saga all stopped, and records of a__people are named there: c__people",
    ]


def test_a_name_with_brackets_is_printed_whole(bench: SagaBench) -> None:
    bench.sagas[:] = [replace(bench.sagas[0], name="[b]all")]
    assert "saga [b]all: done" in shown(bench.run())
