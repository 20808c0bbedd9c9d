"""Rows of state tables as Arrow, typed as the table's own declaration says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from revetl.state.schema import TABLES, relation
from revetl.warehouse.base import Warehouse


def append_rows(warehouse: Warehouse, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Appends `rows`, cells in the declared order of state table `name`. Nothing to append is no statement."""
    if not rows:
        return
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"),
        "DECIMAL(18,6)": pa.decimal128(18, 6),
    }
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(cells, types[type_]) for cells, (_, type_) in zip(columns, TABLES[name], strict=True)]
    warehouse.append(relation(warehouse, name), pa.table(arrays, names=[column for column, _ in TABLES[name]]))
