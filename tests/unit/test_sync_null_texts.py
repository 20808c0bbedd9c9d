"""An empty text at a destination that takes it for no value is a null: it empties nothing that a null would not."""

from __future__ import annotations

import pytest

from revetl.model import FieldRule, Scalar
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench, drift


class EmptyIsNull(FakeDestination):
    """As HubSpot: of a text the empty one is no value; of an email blanks neither."""

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        text = "" if value is None else str(value)
        return text.strip().lower() if field in ("email", "firstname") else text


class EmptyIsValue(FakeDestination):
    """As a database."""

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return "null" if value is None else f"text {super().normalise(object_, field, value)}"


def of(destination: FakeDestination, **rules: FieldRule) -> Bench:
    bench = Bench(destination=destination)
    bench.sync_as(fields=rules)
    return bench


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_adopted_record_is_not_emptied(blank: str) -> None:
    bench = of(EmptyIsNull())
    id_ = bench.destination.make(email="ann@x.io", firstname="Ann", city="Riga")
    bench.source([("1", "ann@x.io", blank, "")])
    plan = bench.plan()
    assert (plan.adopt, plan.matched, plan.fields) == (0, 1, {})
    bench.run()
    assert bench.destination.records[id_] == {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"}


def test_a_destination_that_tells_the_two_apart_is_given_the_empty_text() -> None:
    bench = of(EmptyIsValue(), firstname=FieldRule(when_null="keep"))
    bench.destination.make(email="ann@x.io", firstname="Ann", city="Riga")
    bench.source([("1", "ann@x.io", "", "")])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "", "city": ""})]


@pytest.mark.parametrize("blank", [None, "", " ", "\t \n"])
def test_when_null_keep_keeps_what_stands(blank: str | None) -> None:
    bench = of(EmptyIsNull(), firstname=FieldRule(when_null="keep"))
    bench.source([("1", "ann@x.io", "Ann", "Riga")])
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", blank, "Oslo")])
    assert bench.plan().fields == {"city": 1}
    bench.run()
    assert bench.sent() == [("update", "1", {"city": "Oslo"})]
    assert bench.rows("SELECT firstname FROM revetl.snapshot__fake__contacts") == [("Ann",)], "what stands there"
    assert (bench.run().counts, drift(bench).drifted) == ({}, 0)
    bench.source([("1", "ann@x.io", "Anna", "Oslo")])
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]


def test_blanks_are_a_value_where_they_stay() -> None:
    bench = of(EmptyIsNull(), city=FieldRule(when_null="keep"))
    bench.source([("1", "ann@x.io", "Ann", "Riga")])
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", "Ann", " ")])
    bench.run()
    assert bench.sent() == [("update", "1", {"city": " "})]


def test_a_full_refresh_keeps_it_too() -> None:
    bench = of(EmptyIsNull(), firstname=FieldRule(when_null="keep"))
    bench.source([("1", "ann@x.io", "Ann", "Riga")])
    bench.run()
    bench.source([("1", "ann@x.io", "", "Riga")])
    bench.run(full_refresh=True)
    assert next(iter(bench.destination.records.values()))["firstname"] == "Ann"


def test_fill_blank_is_not_filled_with_nothing() -> None:
    bench = of(EmptyIsNull(), city=FieldRule("fill_blank"))
    bench.source([("1", "ann@x.io", "Ann", "Riga")])
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", "Ann", "")])
    bench.run()
    assert bench.sent() == []
    assert next(iter(bench.destination.records.values()))["city"] == "Riga"
