"""Arrow columns as lists of plain values, fast enough for the inner loop of a push.

`to_pylist` builds each date and time through a generic conversion of 2 to 10 µs, which for one such column is as much
as all of a record's other work. numpy converts the same column about fifty times as fast.
"""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_UTC_NAMES = frozenset({"UTC", "Etc/UTC"})
# Below this, loading numpy for the first time costs more than it saves.
_WORTH_IT = 1_000


def plain(column: pa.Array) -> list[Any]:
    """The cells of `column` as Python values, None for null: equal to `to_pylist`."""
    import pyarrow as pa

    type_ = column.type
    zone = type_.tz if pa.types.is_timestamp(type_) else None
    # Nanoseconds have no Python form without loss, and of other zones only Arrow knows the offsets.
    quick = pa.types.is_date32(type_) or (
        pa.types.is_timestamp(type_) and type_.unit != "ns" and (zone is None or zone in _UTC_NAMES)
    )
    cells: list[Any]
    if quick and len(column) >= _WORTH_IT:
        cells = column.to_numpy(zero_copy_only=False).tolist()
        if all(cell is None or isinstance(cell, date) for cell in cells):
            return cells if zone is None else [cell and cell.replace(tzinfo=UTC) for cell in cells]
        # Past the calendar numpy gives numbers; Arrow says what is wrong.
    cells = column.to_pylist()
    return cells
