"""The server's types in DuckDB's spelling, and its rows as Arrow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from revetl.errors import WarehouseError

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

# What `format_type` says, without its length or precision, in DuckDB's spelling. Types that are not here have no
# counterpart and come out in capitals.
_TYPES = {
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "bytea": "BLOB",
    "character": "VARCHAR",
    "character varying": "VARCHAR",
    "citext": "VARCHAR",
    "date": "DATE",
    "double precision": "DOUBLE",
    "integer": "INTEGER",
    "json": "JSON",
    "jsonb": "JSON",
    "name": "VARCHAR",
    "numeric": "NUMERIC",  # of any precision
    "real": "FLOAT",
    "smallint": "SMALLINT",
    "text": "VARCHAR",
    "timestamp with time zone": "TIMESTAMPTZ",
    "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME",
    "uuid": "UUID",
}
_LENGTH = re.compile(r"\([^)]*\)")


def our_type(spelled: str) -> str:
    """`spelled` as `format_type` gives it, in DuckDB's spelling."""
    if spelled.startswith("numeric(") and not spelled.endswith("]"):
        return spelled.replace("numeric", "DECIMAL")
    return _TYPES.get(_LENGTH.sub("", spelled), spelled.upper())


def as_arrow(rows: Sequence[tuple[Any, ...]], description: Sequence[psycopg.Column]) -> pa.RecordBatch:
    """WarehouseError, which names the column and not the value, where a value has no form in Arrow."""
    import pyarrow as pa

    arrays = []
    for cells, column in zip(zip(*rows, strict=True), description, strict=True):
        try:
            arrays.append(pa.array(cells, _arrow_type(column)))
        except (pa.ArrowException, TypeError):  # its text shows the value
            raise WarehouseError(
                f"Postgres: the column {column.name!r} holds a value that has no form here: cast it to text"
            ) from None
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in description])


def _arrow_type(column: psycopg.Column) -> pa.DataType | None:
    """By the type's number in pg_type, which is fixed. None: as the values are, for a numeric of any precision."""
    import pyarrow as pa

    if column.type_code == 1700:
        known = column.precision is not None and column.scale is not None and column.precision <= 38
        return pa.decimal128(column.precision, column.scale) if known else None
    return {
        16: pa.bool_(),
        17: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }.get(column.type_code, pa.string())
