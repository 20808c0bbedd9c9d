"""Options of a multi-select that people added stay: on an update, a full refresh, in doubt, on adoption and on a
rollback; and nobody calls them drift."""

from __future__ import annotations

import asyncio

import pytest

from revetl.destinations.base import DestinationField
from revetl.model import FieldRule, Scalar
from revetl.state import outcomes, runs
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.plan import saved
from revetl.sync.rollback.rolling_back import roll_back
from tests.support.fake_destination import FakeDestination, UnreadableFake
from tests.support.sync_bench import Bench, drift

A = "101"
COLOURS = DestinationField("city", "multi_enum", options=("red", "blue", "green", "pink"))


class ColourFake(FakeDestination):
    """`city` holds a set of options."""

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        if field == "city":
            return ";".join(sorted({o for o in str(value or "").split(";") if o}))
        return super().normalise(object_, field, value)


def ours(bench: Bench, value: Scalar, firstname: str = "Ann") -> None:
    bench.source([("1", "ann@x.io", firstname, value)])


def person(bench: Bench, value: Scalar) -> None:
    bench.destination.records[A]["city"] = value


def stands(bench: Bench) -> Scalar:
    return bench.destination.records[A]["city"]


def kept(bench: Bench) -> Scalar:
    [(value,)] = bench.rows("SELECT city FROM revetl.snapshot__fake__contacts")
    return value


@pytest.fixture
def bench() -> Bench:
    bench = Bench(destination=ColourFake(described={"city": COLOURS}))
    ours(bench, "red;blue")
    bench.run()
    bench.sent()
    return bench


def undo(bench: Bench, run_id: str) -> None:
    undone = runs.get_run(bench.warehouse, run_id)
    assert undone is not None
    asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone))


def test_only_our_own_option_is_taken_away_and_the_plan_shows_what_is_sent(bench: Bench) -> None:
    person(bench, "red;blue;green")
    ours(bench, "red")
    plan = bench.plan()
    assert [line.fields for line in plan.samples] == [{"city": ("red;blue;green", "red;green")}]
    report = bench.run()
    assert bench.sent() == [("update", "1", {"city": "red;green"})]
    assert (stands(bench), kept(bench)) == ("red;green", "red")
    [said] = outcomes.of_run(bench.warehouse, report.run_id)
    assert (said.before, said.after) == ({"city": "red;blue;green"}, {"city": "red;green"})
    assert bench.plan().changes == 0
    assert not drift(bench).fields


@pytest.mark.parametrize(
    ("there", "wanted", "left"),
    [
        ("red;blue;green", None, "green"),
        ("red;blue", None, None),
        ("red;green", "red", "red;green"),  # a person took ours away already
        ("green", "red;pink", "green;red;pink"),
        (None, "pink", "pink"),
    ],
)
def test_what_is_left(bench: Bench, there: str | None, wanted: str | None, left: str | None) -> None:
    person(bench, there)
    ours(bench, wanted)
    bench.run()
    assert (stands(bench), kept(bench), bench.plan().changes) == (left, wanted, 0)


def replacing(bench: Bench) -> None:
    bench.sync_as(fields={"city": FieldRule(options="replace")})


@pytest.mark.parametrize(("wanted", "left"), [("red", "red"), (None, None), ("pink;red", "pink;red")])
def test_a_set_that_is_ours_as_a_whole_is_replaced(bench: Bench, wanted: str | None, left: str | None) -> None:
    replacing(bench)
    person(bench, "red;blue;green")
    ours(bench, wanted)
    assert [line.fields for line in bench.plan().samples] == [{"city": ("red;blue;green", left)}]
    report = bench.run()
    assert (stands(bench), kept(bench), bench.plan().changes) == (left, wanted, 0)
    undo(bench, report.run_id)
    assert stands(bench) == "red;blue;green"


def test_what_people_add_to_a_set_that_is_ours_is_drift(bench: Bench) -> None:
    replacing(bench)
    person(bench, "red;blue;green")
    assert drift(bench).fields
    bench.run(full_refresh=True)
    assert stands(bench) == "red;blue"


def test_a_full_refresh_keeps_them(bench: Bench) -> None:
    person(bench, "green;blue")
    bench.run(full_refresh=True)
    assert (stands(bench), kept(bench)) == ("green;blue;red", "red;blue")


def test_a_line_in_doubt_keeps_them(bench: Bench) -> None:
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL")
    person(bench, "red;blue;green")
    bench.run()
    [(_, _, fields)] = bench.sent()
    assert fields["city"] == "red;blue;green"
    assert kept(bench) == "red;blue"


def test_of_a_record_that_somebody_else_made_all_stay() -> None:
    bench = Bench(destination=ColourFake(described={"city": COLOURS}))
    bench.destination.make(email="ann@x.io", firstname="Ann", city="green;red")
    ours(bench, "red;blue")
    report = bench.run()
    assert [r["city"] for r in bench.destination.records.values()] == ["green;red;blue"]
    undo(bench, report.run_id)
    assert [r["city"] for r in bench.destination.records.values()] == ["green;red"]


def test_an_adopted_record_that_holds_ours_already_is_not_sent() -> None:
    bench = Bench(destination=ColourFake(described={"city": COLOURS}))
    bench.destination.make(email="ann@x.io", firstname="Ann", city="green;red")
    ours(bench, "red")
    assert bench.run().counts == {"ok": 1}
    assert bench.sent() == []


def test_a_saved_plan_is_merged_with_what_stands_when_it_is_applied(bench: Bench) -> None:
    ours(bench, "red")
    entry = saved.entry(bench.warehouse, bench.spec, bench.plan(), bench.clock)
    person(bench, "red;blue;green")
    bench.run(planner=saved.planner(bench.warehouse, bench.spec, entry))
    assert stands(bench) == "red;green"


@pytest.mark.parametrize(
    ("since", "left"), [("red;green", "red;green;blue"), ("red;pink", "red;pink;blue"), (None, "blue")]
)
def test_a_rollback_takes_back_only_ours(bench: Bench, since: str | None, left: str) -> None:
    person(bench, "red;blue;green")
    ours(bench, "red")
    run_id = bench.run().run_id
    person(bench, since)
    undo(bench, run_id)
    assert (stands(bench), kept(bench)) == (left, "red;blue")


def test_a_rollback_of_an_option_that_we_added_leaves_theirs(bench: Bench) -> None:
    ours(bench, "red;blue;pink")
    run_id = bench.run().run_id
    person(bench, "red;blue;pink;green")
    undo(bench, run_id)
    assert (stands(bench), kept(bench)) == ("red;blue;green", "red;blue")


def test_a_rollback_leaves_what_a_later_run_wrote(bench: Bench) -> None:
    ours(bench, "red")
    run_id = bench.run().run_id
    ours(bench, "red;pink")
    bench.run()
    undo(bench, run_id)
    assert stands(bench) == "red;pink"


def test_an_option_of_theirs_is_no_drift_and_one_of_ours_that_is_gone_is(bench: Bench) -> None:
    person(bench, "red;blue;green")
    assert not drift(bench).fields
    person(bench, "red;green")
    assert drift(bench).fields == {"city": {"theirs": 1}}
    drift(bench, DriftResolution("accept", None))
    assert kept(bench) == "red"  # theirs does not become ours


def test_a_destination_that_cannot_be_read_is_said_to_be_replaced() -> None:
    bench = Bench(destination=UnreadableFake(described={"city": COLOURS}))
    ours(bench, "red;blue")
    assert [n for n in bench.plan().notes if n.startswith("city: fake can't be read, so the value replaces")]
