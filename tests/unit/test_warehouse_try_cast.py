"""TRY_CAST on Postgres before 16 tries in a function of ours; from 16 on the server says what is valid input. Whatever
the text, both give the same, on the same server and on an older one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.warehouse.base import Warehouse
from tests.support.warehouses import new_warehouse

pytestmark = pytest.mark.xdist_group("postgres")

TYPES = (
    *("BIGINT", "INTEGER", "SMALLINT", "DECIMAL(18,6)", "DECIMAL(4,1)", "NUMERIC", "DOUBLE", "FLOAT"),
    *("BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "JSON", "UUID", "VARCHAR"),
)
# What people, files and other types' texts hold: each is tried as every type.
CELLS = (
    *("", " ", "0", "-0", " 7 ", "1.5", "1.05", "999.95", "9223372036854775807", "9223372036854775808", "1e5", "1e400"),
    *("-1e-400", "NaN", "nan", "Infinity", "-inf", "0x1F", "1_000", "1,5", "٣", "t", "yes", "TRUE", "on", "of", "2"),
    *("2024-02-29", "2024-02-30", "2023-02-29", "29.02.2024", "02/01/2024", "13/01/2024", "2024-1-1", "20240229"),
    *("infinity", "-infinity", "epoch", "today", "now", "0001-01-01 BC", "294277-01-01", "4714-01-01 BC", "24:00"),
    *("2024-02-29 23:59:60", "2024-02-29 24:00:00", "2024-02-29T23:59:58.1234567Z", "2024-03-31 02:30:00+14"),
    *(
        "2024-02-29 10:00 Europe/Berlin",
        "2024-02-29 10:00 Nowhere/At_All",
        "10:00 PST",
        "Feb 29 2024",
        "2024-02-29 +99",
    ),
    *(
        "{}",
        '{"a": [1, 2.50, null]}',
        "{'a': 1}",
        '"\\u0000"',
        '"\\ud800"',
        "[1,",
        "null",
        "b6a7b1f6-6d1e-4f6a-9d7e-0c4c4e0f9b11",
    ),
    *("{b6a7b1f66d1e4f6a9d7e0c4c4e0f9b11}", "b6a7b1f6", "it's", "$$", "\\", "ünï", "1\n", "\t1", "1;DROP TABLE x"),
)
# Before 16 the servers take fewer spellings of numbers as input (0x1F, 1_000), and JSON's order of checks differs.
NEWER_INPUT = frozenset({"0x1F", "1_000"})


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with new_warehouse("postgres", tmp_path_factory.mktemp("newest")) as opened:
        yield opened


@pytest.fixture(scope="module", params=["postgres15", "postgres16"])
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with new_warehouse(request.param, Path(tmp_path_factory.mktemp("older"))) as opened:
        yield opened


def tried(warehouse: Any, cell: str | None, *, checks_input: bool | None = None) -> list[Any]:
    """The cell as each of `TYPES`, as text. `checks_input`: by which of the two ways; None: as the server has it."""
    before = warehouse._checks_input
    warehouse._checks_input = before if checks_input is None else checks_input
    try:
        casts = ", ".join(f"CAST(TRY_CAST(? AS {type_}) AS VARCHAR)" for type_ in TYPES)
        return list(warehouse.rows(f"SELECT {casts}", [cell] * len(TYPES))[0])
    finally:
        warehouse._checks_input = before


def test_both_ways_agree_on_what_people_write(newest: Warehouse) -> None:
    for cell in (None, *CELLS):
        if cell == "now":
            continue  # each statement has its own
        by_server, by_function = (tried(newest, cell, checks_input=by) for by in (True, False))
        assert dict(zip(TYPES, by_function, strict=True)) == dict(zip(TYPES, by_server, strict=True)), cell


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cell=st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12),
        st.text("0123456789-+.:eE TZ/", max_size=24),
        st.datetimes().map(str),
        st.decimals().map(str),
        st.floats().map(str),
        st.integers(-(2**70), 2**70).map(str),
        st.uuids().map(str),
    )
)
def test_both_ways_agree_on_anything(newest: Warehouse, cell: str) -> None:
    assert tried(newest, cell, checks_input=False) == tried(newest, cell, checks_input=True)


def test_an_older_server_gives_what_the_newest_gives(newest: Warehouse, older: Warehouse) -> None:
    for cell in (None, *CELLS):
        if cell == "now" or cell in NEWER_INPUT:
            continue
        assert tried(older, cell) == tried(newest, cell), cell


def test_a_function_that_a_rollback_took_is_made_again(older: Warehouse) -> None:
    if getattr(older, "_checks_input", True):
        pytest.skip("this version needs no function")

    def broken_off() -> None:
        with older.transaction():
            assert older.rows("SELECT TRY_CAST('8' AS DECIMAL(7,2))")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert str(older.scalar("SELECT TRY_CAST('8' AS DECIMAL(7,2))", str)) == "8.00"
    with older.transaction():
        assert older.rows("SELECT TRY_CAST('x' AS DECIMAL(7,2)), TRY_CAST('2024-02-30' AS DATE)") == [(None, None)]


def test_large_columns_take_no_ages_on_an_older_server(older: Warehouse) -> None:
    """A function's call for each cell: measured at 3 µs. Ten times that would be a fault."""
    import time

    started = time.monotonic()
    cast = "TRY_CAST(TRY_CAST(i AS VARCHAR) AS BIGINT)"
    found = older.rows(f"SELECT count({cast}) FROM generate_series(1, 100000) AS t(i)")
    assert found == [(100_000,)]
    assert time.monotonic() - started < 10
