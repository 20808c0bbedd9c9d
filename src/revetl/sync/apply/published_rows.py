"""The rows of a run that is published as a whole: read from the frozen plan, and of the full contents from the snapshot
beside it. As long as no other plan takes the place of this one they are the same whenever they are read, also while the
outcomes are being written: so a run that takes over publishes what the first one did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from revetl.destinations.capabilities import OPERATION
from revetl.state.publications import Publication
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync.apply.plan_lines import ordinal_ranges
from revetl.warehouse.sql import ident

if TYPE_CHECKING:
    import pyarrow as pa

SENT = "outcome IS NULL"
_BATCH_ROWS = 5_000
_PAGE_ROWS = 10_000


def as_frozen(tables: SyncTables, publication: Publication) -> SyncTables:
    """The tables with the fields that the run had, in the types of its plan."""
    types = {c.name: c.type.upper() for c in tables.warehouse.columns(tables.relation("plan"))}
    fields = (SyncField(f.name, "VARCHAR", f.keep_null) for f in publication.fields)
    return replace(tables, fields=tuple(replace(f, type=types[f.after]) for f in fields if f.after in types))


def still_there(tables: SyncTables, frozen: SyncTables) -> SyncTables:
    """The frozen fields that the model still has in their type: those that the snapshot can take."""
    types = {f.name: f.type for f in tables.fields}
    return replace(frozen, fields=tuple(f for f in frozen.fields if types.get(f.name) == f.type))


def is_frozen(tables: SyncTables, publication: Publication) -> bool:
    """Whether the plan of that run still stands."""
    if not tables.warehouse.columns(tables.relation("plan")):
        return False
    return bool(tables.warehouse.rows(f"SELECT 1 FROM {tables.plan} WHERE plan_id = ? LIMIT 1", [publication.plan_id]))


def rows(tables: SyncTables, publication: Publication) -> Iterator[pa.RecordBatch]:
    """In their order, a bounded number at a time. `tables` are `as_frozen`."""
    if publication.contents == "changes":
        yield from _changes(tables)
    else:
        yield from _all(tables)


def _changes(tables: SyncTables) -> Iterator[pa.RecordBatch]:
    columns = [
        f"p.op AS {ident(OPERATION)}",
        *_key(tables, "p"),
        *(f"{_value(tables, f)} AS {ident(f.name)}" for f in tables.fields),
    ]
    for first, last in ordinal_ranges(tables, SENT, ()):
        yield from tables.warehouse.stream(
            f"""
            SELECT {", ".join(columns)}
            FROM {tables.plan} p
            WHERE p.{SENT} AND p.ordinal BETWEEN {first} AND {last}
            ORDER BY p.ordinal
            """,
            batch_rows=_BATCH_ROWS,
        )


def _all(tables: SyncTables) -> Iterator[pa.RecordBatch]:
    """Page by page in the order of the keys: one result of all rows would be held whole, and sorted."""
    present = {c.name for c in tables.warehouse.columns(tables.relation("snapshot"))}
    standing = ", ".join(
        f"{f'n.{ident(f.stored)}' if f.stored in present else f'CAST(NULL AS {f.type})'} AS {ident(f'field_{i}')}"
        for i, f in enumerate(tables.fields)
    )
    planned = ", ".join(_value(tables, f) for f in tables.fields)
    wanted = [*_key(tables, "r"), *(f"r.{ident(f'field_{i}')} AS {ident(f.name)}" for i, f in enumerate(tables.fields))]
    after, params = "TRUE", list[str]()
    while True:
        page = list(
            tables.warehouse.stream(
                f"""
                SELECT r.key AS page_key, {", ".join(wanted)}
                FROM (
                    SELECT n.key AS key, {standing}
                    FROM {tables.snapshot} n
                    WHERE NOT EXISTS (SELECT 1 FROM {tables.plan} s WHERE s.key = n.key AND s.{SENT})
                    UNION ALL
                    SELECT p.key AS key, {planned}
                    FROM {tables.plan} p
                    WHERE p.{SENT} AND p.op <> 'delete'
                ) r
                WHERE {after}
                ORDER BY r.key
                LIMIT {_PAGE_ROWS}
                """,
                params,
                batch_rows=_BATCH_ROWS,
            )
        )
        for batch in page:
            yield batch.select(range(1, batch.num_columns))
        if not page:
            return
        after, params = "r.key > ?", [page[-1].column(0)[-1].as_py()]


def _key(tables: SyncTables, alias: str) -> list[str]:
    """The column that names the record; none where a field of that name is sent, which is the same."""
    key = tables.spec.key
    return [] if key in {f.name for f in tables.fields} else [f"{alias}.key AS {ident(key)}"]


def _value(tables: SyncTables, field: SyncField) -> str:
    """What then stands; of a deleted record its key alone, and nothing else of a person."""
    before, after = f"p.{ident(field.before)}", f"p.{ident(field.after)}"
    gone = before if field.name == tables.spec.key else f"CAST(NULL AS {field.type})"
    return f"CASE WHEN p.op = 'delete' THEN {gone} ELSE {field.standing(before, after)} END"
