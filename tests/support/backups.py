"""The state of a warehouse as a backup has it, and put back."""

from __future__ import annotations

from collections.abc import Mapping

from revetl.model import Scalar
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

Backup = Mapping[str, tuple[list[str], list[tuple[Scalar, ...]]]]


def backup(warehouse: Warehouse) -> Backup:
    tables = warehouse.tables(warehouse.state_schema)
    return {
        name: (
            columns,
            warehouse.rows(f"SELECT {', '.join(map(ident, columns))} FROM {table(relation(warehouse, name))}"),
        )
        for name, columns in tables.items()
        if not name.startswith("revetl_")
    }


def restore(warehouse: Warehouse, kept: Backup) -> None:
    """What came since is gone, tables too."""
    for name in warehouse.tables(warehouse.state_schema):
        target = relation(warehouse, name)
        if name not in kept:
            warehouse.execute(f"DROP TABLE IF EXISTS {table(target)}")
            continue
        warehouse.execute(f"DELETE FROM {table(target)}")
        columns, rows = kept[name]
        names, marks = ", ".join(map(ident, columns)), ", ".join("?" for _ in columns)
        for row in rows:
            warehouse.execute(f"INSERT INTO {table(target)} ({names}) VALUES ({marks})", list(row))
