"""Columns as plain values: the quick way gives what Arrow's own gives."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from revetl.warehouse.cells import plain

ROWS = 2_000
START = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC).replace(tzinfo=None)
MOMENTS = [START + timedelta(days=17 * i, microseconds=i) for i in range(ROWS)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([*MOMENTS, None], pa.timestamp("us")),
        pa.array([*MOMENTS, None], pa.timestamp("us", tz="UTC")),
        pa.array([*MOMENTS, None], pa.timestamp("us", tz="Europe/Lisbon")),
        pa.array([m.replace(microsecond=0) for m in MOMENTS], pa.timestamp("s")),
        pa.array([None, *(m.date() for m in MOMENTS)], pa.date32()),
        pa.array([None] * ROWS, pa.timestamp("us")),
        pa.array([f"text {i}" for i in range(ROWS)]),
        pa.array([*MOMENTS, None], pa.timestamp("us"))[3:],
        pa.array(MOMENTS[:5], pa.timestamp("us")),
    ],
    ids=lambda column: f"{column.type} x {len(column)}",
)
def test_the_quick_way_gives_what_arrow_gives(column: pa.Array) -> None:
    quick, slow = plain(column), column.to_pylist()
    assert quick == slow
    assert [type(cell) for cell in quick] == [type(cell) for cell in slow]
    assert [str(cell) for cell in quick] == [str(cell) for cell in slow]


def test_dates_at_both_ends_of_the_calendar() -> None:
    days = [date.min, date.max] * ROWS
    assert plain(pa.array(days)) == days


def test_past_the_calendar_is_an_error_and_no_number() -> None:
    column = pa.array([2**62] * ROWS, pa.int64()).cast(pa.timestamp("us"))
    with pytest.raises((OverflowError, ValueError)):
        plain(column)


def test_a_zone_of_utc_is_kept() -> None:
    column = pa.array(MOMENTS, pa.timestamp("us", tz="Etc/UTC"))
    assert plain(column)[7] == MOMENTS[7].replace(tzinfo=UTC)
    assert plain(column)[7].utcoffset() == timedelta(0)
    assert MOMENTS[7].replace(tzinfo=ZoneInfo("UTC")) == plain(column)[7]


def test_numpy_is_not_needed_for_it_is_not_installed_with_revetl() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import pyarrow as pa; from datetime import date, datetime; from revetl.warehouse.cells import plain\n"
        "assert plain(pa.array([date(2026, 1, 2)] * 2000))[-1] == date(2026, 1, 2)\n"
        "assert plain(pa.array([datetime(2026, 1, 2)] * 2000))[-1] == datetime(2026, 1, 2)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
