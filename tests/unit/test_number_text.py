"""What is a number is one question with one answer, whoever compares or sends it."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from revetl.destinations.base import DestinationField
from revetl.destinations.hubspot.values import canonical as hubspot_form
from revetl.destinations.salesforce import values as salesforce
from revetl.destinations.salesforce.schema import DescribedField
from revetl.destinations.sql import values as sql
from revetl.destinations.sql.tables import TableColumn
from revetl.number_text import parse_number
from revetl.sync import typed_text

ODD = [
    *("1_000", "1,000", "１２", "٣", "٣.٥", "1２", "²", "0x10", "--1", "1.2.3", "1e1_0", "1e1.5"),
    *(" 12", "12 ", "12\u00a0", "", "+", ".", "e5", "1e", "nan", "NaN", "sNaN", "inf", "-Infinity"),
    *("1e999999999", "-1e-999999999", "1e99999999999999999999"),
]
SALESFORCE = DescribedField(DestinationField("N", "number"), "double", 0, True, True, False, False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"), ("-0", "0"), ("007", "7"), ("+1", "1"), ("1.50", "1.5"), (".5", "0.5"), ("5.", "5"),
        ("1E3", "1000"), ("-1.5e-3", "-0.0015"), ("9" * 38, "9" * 38), ("1e308", "1e308"),
    ],
)  # fmt: skip
def test_digits_with_sign_point_and_exponent_are_a_number(text: str, value: str) -> None:
    assert parse_number(text) == Decimal(value)


@pytest.mark.parametrize("text", ODD)
def test_all_else_is_none_and_nobody_takes_it_for_one(text: str) -> None:
    assert parse_number(text) is None
    plain = text.strip()
    bare = parse_number(plain) is None  # blanks around a number are what the connectors take away themselves
    for form in (lambda t: hubspot_form("amount", t, "number"), lambda t: salesforce.canonical(t, SALESFORCE)):
        assert form(text) == (plain if bare else "12")
    for type_ in ("BIGINT", "DOUBLE", "DECIMAL(18,4)", "FLOAT") if text else ():
        with pytest.raises(ValueError, match="no exact form"):
            typed_text.fit(type_, text)
    if not bare or not plain:
        return
    with pytest.raises(ValueError, match="INVALID_TYPE"):
        salesforce.encode(text, SALESFORCE)
    for kind in ("int", "decimal", "float"):
        with pytest.raises(ValueError, match=f"n: the value is no {kind}"):
            sql.fitted(TableColumn("n", kind), text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "digits", ["١٧٠٠٠٠٠٠٠٠٠٠٠", "１７００００００００００", "1_700_000_000_000", "--1700000000000"]
)
def test_milliseconds_are_digits_too(digits: str) -> None:
    assert hubspot_form("when", "1700000000000", "datetime") == "2023-11-14T22:13:20.000Z"
    assert hubspot_form("when", digits, "datetime") == digits


def test_numbers_that_come_as_numbers_stay_what_they_are() -> None:
    double = TableColumn("n", "float")
    assert sql.fitted(dataclasses.replace(double, kind="decimal"), Decimal("1E+2")) == 100
    assert sql.fitted(dataclasses.replace(double, kind="int"), True) == 1
    assert typed_text.fit("DOUBLE", typed_text.load('{"v":Infinity}')["v"]) == float("inf")
    with pytest.raises(ValueError, match="not a finite number"):
        salesforce.encode(float("nan"), SALESFORCE)


def test_a_number_of_a_billion_digits_in_json_is_not_written_out() -> None:
    column = TableColumn("n", "json")
    assert sql.normal(column, "[1e999999999]") == '["number 1e999999999"]'
    assert sql.normal(column, "[1.50]") == sql.normal(column, "[15e-1]")
    array: Any = TableColumn("n", "array")
    assert (
        sql.bound(array, '[1e2, 0.50, 1e999999999, true, null, "1_0"]')
        == '{"100","0.5","1e999999999","true",NULL,"1_0"}'
    )


def test_json_nested_too_deep_is_refused_by_its_column() -> None:
    with pytest.raises(ValueError, match="n: nested too deep"):
        sql.fitted(TableColumn("n", "json"), "[" * 200_000)


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00"])
def test_a_moment_beyond_the_calendar_in_utc_equals_only_itself(moment: str) -> None:
    known = dataclasses.replace(SALESFORCE, field=DestinationField("D", "datetime"), kind="datetime")
    assert salesforce.canonical(moment, known) == hubspot_form("d", moment, "datetime") == moment


def test_a_decimal_of_a_million_digits_is_refused_and_not_written_out() -> None:
    for kind in ("int", "decimal", "float"):
        with pytest.raises(ValueError, match=f"n: the value is no {kind}"):
            sql.fitted(TableColumn("n", kind), Decimal("1E+999999"))  # type: ignore[arg-type]
