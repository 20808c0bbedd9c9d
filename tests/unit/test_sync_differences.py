"""Models that hold only what differs (anti-joins, `is distinct from`), and fields that tell of the run."""

from __future__ import annotations

from datetime import datetime

import pytest

from revetl.destinations.base import DestinationField
from revetl.errors import ConfigError, GuardrailError, Rejected
from revetl.model import Guardrails
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three


@pytest.fixture
def bench() -> Bench:
    made = bench_of_three()
    made.sync_as(on_leave="forget", guardrails=Guardrails(min_rows=0, max_fill_drop=0.5))
    return made


def test_an_empty_model_is_a_good_day(bench: Bench) -> None:
    bench.run()
    bench.sent()
    bench.source([])
    report = bench.run()
    assert (report.status, report.exit_code, bench.sent()) == ("done", 0, [])
    assert report.plan.left == 3


def test_a_row_that_left_and_comes_back_is_sent_whole_though_nothing_in_it_changed(bench: Bench) -> None:
    bench.run()
    bench.sent()
    bench.source([BOB])
    assert bench.run().plan.changes == 0
    for record in bench.destination.records.values():
        record["firstname"] = "somebody else"
    bench.source([ANN, BOB])
    plan = bench.plan()
    assert (plan.update, plan.returned, plan.in_doubt) == (1, 1, 0)
    bench.run()
    assert bench.sent() == [("update", "1", {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"})]
    assert bench.run().plan.changes == 0, "it is there still, and was sent"


def test_a_row_that_was_refused_when_it_came_back_is_not_forgotten(bench: Bench) -> None:
    bench.run()
    bench.source([])
    bench.run()
    bench.sent()

    def refuse(_: object) -> None:
        raise Rejected("no")

    bench.destination.before_write = refuse
    bench.source([ANN])
    assert bench.run().counts == {"rejected": 1}
    bench.destination.before_write = lambda _: None
    bench.source([("1", "ann@x.io", "Ann", "Oslo")])
    bench.run()
    assert bench.destination.by("email")["ann@x.io"]["city"] == "Oslo"


def test_by_default_what_comes_back_unchanged_is_known_to_stand_there() -> None:
    bench = bench_of_three()
    bench.run()
    bench.source([BOB, CID])
    bench.run()
    bench.sent()
    bench.source([ANN, BOB, CID])
    assert bench.run().plan.changes == 0


def test_by_default_an_empty_model_is_stopped_and_the_way_out_is_named() -> None:
    bench = bench_of_three()
    bench.run()
    bench.source([])
    with pytest.raises(GuardrailError, match="on_leave: forget"):
        bench.run()


def test_the_fill_of_what_differs_is_no_sample_of_what_is_known(bench: Bench) -> None:
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", None, None)])
    assert bench.run().exit_code == 0
    assert bench.sent() == [("update", "1", {"firstname": None, "city": None})]


@pytest.fixture
def stamped() -> Bench:
    made = bench_of_three()
    made.destination.described = {
        "seen": DestinationField("seen", "datetime"),
        "born": DestinationField("born", "datetime"),
        "run": DestinationField("run", "string"),
    }
    made.sync_as(metadata={"seen": "synced_at", "born": "first_synced_at", "run": "run_id"})
    return made


def test_the_run_tells_of_itself_and_makes_no_record_differ(stamped: Bench) -> None:
    first = stamped.run()
    ann = stamped.destination.by("email")["ann@x.io"]
    assert (ann["run"], ann["seen"]) == (first.run_id, ann["born"])
    assert isinstance(ann["seen"], datetime)
    stamped.sent()
    assert stamped.run().plan.changes == 0
    stamped.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    second = stamped.run()
    (sent,) = stamped.sent()
    assert (sent[0], sorted(sent[2])) == ("update", ["firstname", "run", "seen"])
    assert stamped.destination.by("email")["ann@x.io"]["run"] == second.run_id
    assert "run: the run's id, with every record that is sent" in second.plan.consequences
    assert second.plan.notes == [], "notes are repeated by every run, and this holds for all of them"


@pytest.mark.parametrize(("name", "said"), [("nowhere", "has no field 'nowhere'"), ("number", "can't take synced_at")])
def test_a_field_that_can_not_take_it_is_refused_before_anything_is_sent(stamped: Bench, name: str, said: str) -> None:
    stamped.destination.described["number"] = DestinationField("number", "number")
    stamped.sync_as(metadata={name: "synced_at"})
    with pytest.raises(ConfigError, match=said):
        stamped.run()
    assert stamped.sent() == []
