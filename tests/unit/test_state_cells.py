"""Values on their way through JSON and text and back into their columns: exactly, or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from revetl.sync import typed_text

KEPT = [
    ("VARCHAR", 'it\'s "q" \\ ü 漢 \n'),
    ("VARCHAR", ""),
    ("VARCHAR", "007"),
    ("BOOLEAN", False),
    ("BIGINT", 9007199254740993),
    ("HUGEINT", -(2**100)),
    ("DOUBLE", 0.1),
    ("DOUBLE", -1e300),
    ("FLOAT", 0.1),
    ("DECIMAL(18,4)", Decimal("12345678901234.5600")),
    ("DECIMAL(38,10)", Decimal("1234567890123456789012345678.0123456789")),
    ("DATE", date(1999, 12, 31)),
    ("TIMESTAMP", datetime.fromisoformat("2024-02-29T23:59:58.123456")),  # UTC, without a zone
    ("TIMESTAMPTZ", datetime(2024, 2, 29, 23, 59, 58, 123456, UTC)),
]


@pytest.mark.parametrize(("type_", "value"), KEPT)
def test_what_the_warehouse_wrote_as_json_comes_back_as_it_was(type_: str, value: Any) -> None:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"CREATE TABLE t (v {type_})")
        db.execute("INSERT INTO t VALUES (?)", [value])
        row: Any = db.execute("SELECT v, '{\"v\":' || CAST(to_json(v) AS VARCHAR) || '}' FROM t").fetchone()
        stored, text = row
        fitted = typed_text.fit(type_, typed_text.load(text)["v"])
        assert fitted == stored
        again: Any = db.execute(f"SELECT CAST(? AS {type_}) = v FROM t", [typed_text.text(fitted)]).fetchone()
        assert again == (True,)


@pytest.mark.parametrize(
    ("type_", "said", "value"),
    [
        ("TIMESTAMP", "2026-01-01T10:00:00.000Z", datetime.fromisoformat("2026-01-01T10:00")),  # UTC, without a zone
        ("DATE", "2026-01-01", date(2026, 1, 1)),
        ("INTEGER", "12.0", 12),
        ("DECIMAL(10,2)", "12.5", Decimal("12.50")),
        ("BOOLEAN", "TRUE", True),
        ("INTEGER", "", None),
        ("VARCHAR", None, None),
        ("VARCHAR", 5, "5"),
    ],
)
def test_what_a_destination_says_fits(type_: str, said: Any, value: Any) -> None:
    assert typed_text.fit(type_, said) == value


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("INTEGER", "12.5"),
        ("INTEGER", "many"),
        ("DECIMAL(10,2)", "12.345"),
        ("DECIMAL(4,2)", "123.45"),
        ("DATE", "2026-01-01T10:00:00Z"),
        ("TIMESTAMP", "yesterday"),
        ("BOOLEAN", "perhaps"),
        ("FLOAT", "1e300"),
        ("DOUBLE", "twelve"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_rounded(type_: str, said: str) -> None:
    with pytest.raises(ValueError, match="no exact form") as e:
        typed_text.fit(type_, said)
    assert said not in str(e.value)
