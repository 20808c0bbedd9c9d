"""`references__<sync>`: (target, value, destination_id), what destinations said of the records that columns name.

- `target` is an object and the field by which it was looked up (`model.looked_up_as`): `value` stands in the column.
- `target` is a sync that is named by `to`: `value` is an id of its snapshot under which another record answered, whose
  id is `destination_id`, or under which nothing stands, and then that is null. An id that is as it was has no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.sql import literal

CHUNK_ROWS = 10_000
_COLUMNS = (("target", "VARCHAR"), ("value", "VARCHAR"), ("destination_id", "VARCHAR"))
_ASKED = (("value", "VARCHAR"), ("destination_id", "VARCHAR"), ("kept", "BOOLEAN"))


def prepare(tables: SyncTables) -> None:
    """The table, where there is none yet. Safe to repeat."""
    create_table(tables.warehouse, tables.relation("references"), _COLUMNS)


def to_be_sent(tables: SyncTables) -> str:
    """A SELECT of the keys of rows that differ from the snapshot."""
    return f"""
        SELECT h.key
        FROM ({tables.source_hashes()}) h
        LEFT JOIN {tables.snapshot} n ON n.key = h.key
        WHERE h.source_hash IS DISTINCT FROM n.row_hash
        """


def choose(tables: SyncTables, values: str) -> None:
    """Puts what is to be asked for into the scratch table `named`. `values`: a SELECT of `value`, each once."""
    tables.new_scratch(
        "named",
        f"""
        AS SELECT value, row_number() OVER (ORDER BY value) - 1 AS ordinal
        FROM ({values}) d
        """,
    )


def chosen(tables: SyncTables, low: int) -> list[str]:
    """Of what was chosen, `CHUNK_ROWS` values from this one on; empty at the end."""
    rows = tables.warehouse.rows(
        f"""
        SELECT value
        FROM {tables.scratch("named")}
        WHERE ordinal >= ? AND ordinal < ?
        ORDER BY ordinal
        """,
        [low, low + CHUNK_ROWS],
    )
    return [str(value) for (value,) in rows]


def remember(tables: SyncTables, target: str, asked: Sequence[str], found: Mapping[str, str | None]) -> None:
    """What was found of the values that were asked for, in place of what was known of them. Safe to repeat."""
    import pyarrow as pa  # where it is used: completion reads this module's neighbours

    tables.new_scratch("found", f"({', '.join(f'{name} {type_}' for name, type_ in _ASKED)})")
    arrays = [
        pa.array(asked, pa.string()),
        pa.array([found.get(value) for value in asked], pa.string()),
        pa.array([value in found for value in asked], pa.bool_()),
    ]
    tables.warehouse.append(tables.scratch_relation("found"), pa.table(arrays, names=[name for name, _ in _ASKED]))
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            DELETE FROM {tables.references}
            WHERE target = {literal(target)} AND value IN (SELECT value FROM {tables.scratch("found")})
            """
        )
        tables.warehouse.execute(
            f"""
            INSERT INTO {tables.references} (target, value, destination_id)
            SELECT {literal(target)}, value, destination_id
            FROM {tables.scratch("found")}
            WHERE kept
            """
        )
    tables.drop_scratch("found")
