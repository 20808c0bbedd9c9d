"""Arrow columns as lists of plain values, fast enough for the inner loop of a push.

`to_pylist` builds each date and time through a generic conversion of 2 to 10 µs, which for one such column is as much
as all of a record's other work. Reckoned from the number that Arrow holds, the same takes a tenth. numpy would be
faster still, but it is not installed with revetl.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_UTC_NAMES = frozenset({"UTC", "Etc/UTC"})
_UNIX_DAY = date(1970, 1, 1).toordinal()
_STEP = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}


def plain(column: pa.Array) -> list[Any]:
    """The cells of `column` as Python values, None for null: equal to `to_pylist`."""
    import pyarrow as pa

    type_ = column.type
    try:
        if pa.types.is_date32(type_):
            from_ordinal = date.fromordinal
            return [None if n is None else from_ordinal(n + _UNIX_DAY) for n in column.cast(pa.int32()).to_pylist()]
        # Nanoseconds have no Python form without loss, and of other zones only Arrow knows the offsets.
        if pa.types.is_timestamp(type_) and type_.unit in _STEP and (type_.tz is None or type_.tz in _UTC_NAMES):
            start, step = datetime(1970, 1, 1, tzinfo=UTC if type_.tz else None), _STEP[type_.unit]
            return [None if n is None else start + n * step for n in column.cast(pa.int64()).to_pylist()]
    except (OverflowError, ValueError):
        pass  # past the calendar: Arrow says what is wrong
    cells: list[Any] = column.to_pylist()
    return cells
