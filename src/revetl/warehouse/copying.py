"""Tables of one warehouse into another, piece by piece, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable

from revetl.model import Relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table


def copy_tables(source: Warehouse, target: Warehouse, tables: Iterable[Relation]) -> dict[str, int]:
    """Each table under its own name, its schema made where it is not there. Returns rows per `schema.table`.

    Safe to repeat: the rows of a table that stands there are replaced, so that views upon it stay; it is made anew only
    where its columns changed, and views upon it then go with it.
    """
    import pyarrow as pa

    copied = {}
    for relation in tables:
        columns = source.columns(relation)
        target.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(relation.schema)}")
        here = target.columns(relation)
        if [c.name for c in here] == [c.name for c in columns]:
            target.execute(f"DELETE FROM {table(relation)}")
        else:
            target.execute(f"DROP TABLE IF EXISTS {table(relation)} CASCADE")
            body = ", ".join(f"{ident(c.name)} {c.type}" for c in columns)
            target.execute(f"CREATE TABLE {table(relation)} ({body})")
        rows = 0
        for batch in source.stream(f"SELECT * FROM {table(relation)}"):
            target.append(relation, pa.Table.from_batches([batch]))
            rows += batch.num_rows
        copied[f"{relation.schema}.{relation.name}"] = rows
    return copied
