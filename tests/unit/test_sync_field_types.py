"""The types of columns against those of the destination's fields: said in the plan, or refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from revetl.cli.render.plans_markdown import markdown
from revetl.destinations.base import DestinationField, FieldType
from revetl.errors import ConfigError
from revetl.sync import PlanSummary
from revetl.sync.plan.field_types import kind_of, of_types
from tests.support.sync_bench import Bench

SECONDS, MILLISECONDS = 1_767_225_600, 1_767_225_600_000


def planned(type_: FieldType, column: str, *values: Any, options: tuple[str, ...] = ()) -> list[str]:
    """What a plan says of a column `city` of this SQL type, sent into a field of that type."""
    return summary(type_, column, *values, options=options).notes


def summary(type_: FieldType, column: str, *values: Any, options: tuple[str, ...] = ()) -> PlanSummary:
    bench = Bench()
    bench.destination.described = {"city": DestinationField("city", type_, options=options)}
    rows = [(str(i), f"p{i}@x.io", "P", value) for i, value in enumerate(values)]
    bench.source(rows, f"golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city {column}")
    return bench.plan()


@pytest.mark.parametrize("type_", ["date", "datetime"])
@pytest.mark.parametrize("column", ["BIGINT", "DOUBLE", "DECIMAL(18,3)"])
def test_seconds_since_1970_are_not_sent_as_milliseconds(type_: FieldType, column: str) -> None:
    with pytest.raises(ConfigError, match=r"city: .*seconds since 1970.*January 1970(.|\n)*to_timestamp\(city\)") as e:
        planned(type_, column, SECONDS, None)
    assert str(SECONDS) not in str(e.value)
    assert planned(type_, column, MILLISECONDS) == []
    assert planned(type_, column, None) == []


def test_the_day_that_a_moment_becomes_is_shown() -> None:
    plan = summary("date", "TIMESTAMP", "2026-01-31 23:30:00")
    assert plan.notes == ["city: a moment into a date: the day in UTC is written"]
    assert plan.examples == ["city: 2026-01-31 23:30 as 2026-01-31"]
    assert planned("datetime", "TIMESTAMP", "2026-01-31 23:30:00") == []


def test_a_label_in_place_of_an_option_is_named() -> None:
    options = ("customer", "salesqualifiedlead")
    plan = summary("enum", "VARCHAR", "Sales Qualified Lead", "customer", "Ann Smith", options=options)
    (said,), (shown,) = plan.notes, plan.examples
    assert said.startswith("city: 2 record(s) hold what is no option there: refused there. A label or another spelling")
    assert said.endswith("stands for 'salesqualifiedlead'.")
    assert shown == "city: 'Sales Qualified Lead' for 'salesqualifiedlead'"
    assert "Ann" not in said + shown
    assert planned("enum", "VARCHAR", "customer", None, options=options) == []


@pytest.mark.parametrize(
    ("type_", "column", "value", "options"),
    [
        ("enum", "VARCHAR", "Ann Smith", ("annsmith",)),
        ("date", "TIMESTAMP", "1961-07-01 23:30:00", ()),
        ("number", "BIGINT", 2**53 + 2, ()),
    ],
)
def test_a_plan_for_a_pull_request_holds_values_only_with_samples(
    type_: FieldType, column: str, value: Any, options: tuple[str, ...]
) -> None:
    plan = summary(type_, column, value, options=options)
    plan.samples.clear()
    said = str(value).split(":")[0]
    assert said in markdown([plan], target="dev", samples=1)
    assert said not in markdown([plan], target="dev", samples=0)


def test_only_what_is_sent_is_counted_as_no_option() -> None:
    """A record whose other field changed sends no more than that, so what it holds beside it is not refused."""
    bench = Bench()
    bench.source([("1", "a@x.io", "A", "gone"), ("2", "b@x.io", "B", "gone"), ("3", "c@x.io", "C", "here")])
    bench.run()
    bench.destination.described = {"city": DestinationField("city", "enum", options=("here",))}
    bench.source([("1", "a@x.io", "Anna", "gone"), ("2", "b@x.io", "Bob", "gone"), ("3", "c@x.io", "C", "here")])
    assert bench.plan().notes == []
    bench.source([("1", "a@x.io", "Anna", "gone"), ("2", "b@x.io", "B", "lost"), ("4", "d@x.io", "D", "gone")])
    assert bench.plan().notes == ["city: 2 record(s) hold what is no option there: refused there."]
    bench.destination.make(email="d@x.io", firstname="Dora", city="gone")  # adopted: what stands there is not sent
    assert bench.plan().notes == ["city: 1 record(s) hold what is no option there: refused there."]


def test_a_list_in_a_text_is_taken_apart_at_semicolons() -> None:
    options = ("a", "b")
    assert planned("multi_enum", "VARCHAR", "a;b", "b", options=options) == []
    (said,) = planned("multi_enum", "VARCHAR", "a,b", options=options)
    assert "joined with ';'" in said


def test_a_number_that_does_not_fit_is_said() -> None:
    plan = summary("number", "BIGINT", 2**53 + 2)
    (said,) = plan.notes
    assert "do not fit" in said
    assert (f"{2**53 + 2}" in said, plan.examples) == (False, [f"city: up to {2**53 + 2}"])
    assert planned("number", "BIGINT", 2**53) == []


@pytest.mark.parametrize(
    ("column", "type_", "said"),
    [
        ("VARCHAR", "number", "text into a number"),
        ("BOOLEAN", "number", "true and false into a number"),
        ("INTEGER", "bool", "a number into a yes-or-no"),
        ("TIMESTAMP WITH TIME ZONE", "date", "the day in UTC"),
        ("VARCHAR[]", "multi_enum", "join it with ';'"),
        ("DATE", "datetime", None),
        ("DECIMAL(38,0)", "number", None),
        ("VARCHAR", "string", None),
    ],
)
def test_what_is_said_without_looking_at_a_value(column: str, type_: FieldType, said: str | None) -> None:
    found = of_types(column, DestinationField("x", type_))
    assert found is None if said is None else said in str(found)


def test_kinds_of_types_as_the_three_warehouses_call_them() -> None:
    names = {"NUMBER(38,0)": "whole", "NUMERIC(10,2)": "number", "UBIGINT": "whole", "REAL": "number"}
    names |= {"TIMESTAMPTZ": "moment", "DATE": "date", "JSON": "text", "STRUCT(a INTEGER)": "other", "BLOB": "other"}
    assert {name: kind_of(name) for name in names} == names
