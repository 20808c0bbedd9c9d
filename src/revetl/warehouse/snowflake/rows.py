"""The server's types in DuckDB's spelling, and rows as the JSON in which they travel there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from revetl.errors import WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

# Far below the 16 MB that one VARIANT may hold.
_APPEND_CHARACTERS = 2_000_000


def our_type(type_: str, precision: int | None, scale: int | None) -> str:
    """In DuckDB's spelling. Types that are not here have no counterpart and stay as they are."""
    if type_ == "NUMBER":
        return f"DECIMAL({38 if precision is None else precision},{scale or 0})"
    return {
        "TEXT": "VARCHAR",
        "FLOAT": "DOUBLE",
        "TIMESTAMP_NTZ": "TIMESTAMP",
        "TIMESTAMP_TZ": "TIMESTAMPTZ",
        "TIMESTAMP_LTZ": "TIMESTAMPTZ",
        "BINARY": "BLOB",
        "VARIANT": "JSON",
        "OBJECT": "JSON",
        "ARRAY": "JSON",
    }.get(type_, type_)


def cell(position: int, type_: pa.DataType) -> str:
    """The cell of a row that travelled as a JSON array of texts."""
    import pyarrow as pa

    text = f"CAST(f.value[{position}] AS VARCHAR)"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_):
        return text
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return f"TO_BINARY({text}, 'HEX')"
    if pa.types.is_integer(type_):
        wanted = "NUMBER(38,0)"
    elif pa.types.is_decimal(type_):
        wanted = f"NUMBER({type_.precision},{type_.scale})"
    elif pa.types.is_floating(type_):
        wanted = "DOUBLE"
    elif pa.types.is_boolean(type_):
        wanted = "BOOLEAN"
    elif pa.types.is_date(type_):
        wanted = "DATE"
    elif pa.types.is_timestamp(type_):
        wanted = "TIMESTAMP_TZ" if type_.tz else "TIMESTAMP_NTZ"
    else:
        raise WarehouseError(f"no way to write {type_} to Snowflake")
    return f"CAST({text} AS {wanted})"


def as_json(data: pa.Table) -> Iterator[str]:
    """The rows in texts of bounded length."""
    rows: list[str] = []
    size = 0
    for batch in data.to_batches(max_chunksize=5_000):
        for row in zip(*(map(_as_text, column.to_pylist()) for column in batch.columns), strict=True):
            rows.append(json.dumps(row, ensure_ascii=False))
            size += len(rows[-1])
            if size > _APPEND_CHARACTERS:
                yield f"[{','.join(rows)}]"
                rows, size = [], 0
    if rows:
        yield f"[{','.join(rows)}]"


def _as_text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell.hex()
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
