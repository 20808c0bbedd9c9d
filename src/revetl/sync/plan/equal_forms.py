"""What differs here and is one and the same there is no change: another order of a multi-select, an empty text that
became null, digits of a time that the destination does not keep.

Runs on a frozen plan before anything is looked up. The plan nominates by hash and by the columns; here the values
before and after are compared once more, in the destination's own form. A field that is equal leaves its line. A line
with no field left leaves the plan, and the snapshot takes its row's hash and values over, as for rows whose columns are
equal. Lines that are sent whole (in doubt, a full refresh, back in a model that holds only what differs) stay.

What can fail here, and what then happens:
- the process dies → either the snapshot took a record over and its line is gone, or neither; nothing was sent.
- a value has no form there → it equals nothing but itself: it is sent, and refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination
from revetl.model import Scalar
from revetl.state.sync_tables import NullTexts, SyncField, SyncTables
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import ident

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 5_000
_COLUMNS = (("ordinal", "BIGINT"), ("changed_fields", "VARCHAR"))


def same(destination: Destination, object_: str, name: str, one: Scalar, other: Scalar) -> bool:
    """Whether the destination would hold the same for both. Null and the empty text are the same where it says so."""

    def form(value: Scalar) -> str:
        return destination.normalise(object_, name, value)

    if one is None and other is None:
        return True
    try:
        if one is None or other is None:
            return (one == "" or other == "") and form("") == form(None)
        return form(one) == form(other)
    except ValueError:
        return type(one) is type(other) and one == other


def is_null(destination: Destination, object_: str, name: str, value: Scalar) -> bool:
    """Whether the value is none to the destination: null, or a text that it takes for that."""
    if value is None or not isinstance(value, str) or value.strip():
        return value is None
    try:
        return destination.normalise(object_, name, value) == destination.normalise(object_, name, None)
    except ValueError:
        return False


async def know_null_texts(run: SyncRun, destination: Destination | None) -> SyncRun:
    """The run, knowing which texts are nulls in the fields that a null leaves as they stand (`when_null: keep`).
    Describes the object where there is such a field of text; the destination is away → its error leaves as it is."""
    fields = run.tables.fields
    if destination is None or not any(f.keep_null and f.type == "VARCHAR" for f in fields):
        return run
    await destination.describe(run.spec.object)
    known = (replace(f, null_texts=_null_texts(destination, run.spec.object, f)) for f in fields)
    return replace(run, tables=replace(run.tables, fields=tuple(known)))


def _null_texts(destination: Destination, object_: str, field: SyncField) -> NullTexts:
    if not field.keep_null or field.type != "VARCHAR" or not is_null(destination, object_, field.name, ""):
        return "none"
    return "blank" if is_null(destination, object_, field.name, " ") else "empty"


async def take_over(run: SyncRun, destination: Destination) -> int:
    """Takes out of the plan what is equal there. Returns how many records left it. The destination's fields must have
    been described. Memory is flat: chunk by chunk."""
    if not await run.on_tables(_count):
        return 0
    columns = ", ".join(f"{name} {type_}" for name, type_ in _COLUMNS)
    await run.on_tables(SyncTables.new_scratch, "equal", f"({columns})")
    chunks, found = await run.on_tables(_stream), False
    while (batch := await run.ctx.offload(next, chunks, None)) is not None:
        rows = _compare(run.tables, destination, batch)
        found = found or bool(rows)
        if rows:
            await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("equal"), _as_arrow(rows))
    return await run.on_tables(_write) if found else 0


def _changes(tables: SyncTables) -> str:
    returned = f"SELECT n.key FROM {tables.snapshot} n WHERE n.left_model"
    back = f"AND p.key NOT IN ({returned})" if tables.spec.forgets else ""
    return f"""
        FROM {tables.plan} p
        WHERE p.outcome IS NULL AND p.op = 'update' AND p.known AND NOT p.in_doubt AND p.destination_id IS NOT NULL
            {back}
        """


def _count(tables: SyncTables) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) {_changes(tables)}", int)


def _stream(tables: SyncTables) -> Iterator[pa.RecordBatch]:
    pairs = "".join(f", p.{ident(f.before)}, p.{ident(f.after)}" for f in tables.fields)
    return tables.warehouse.stream(
        f"SELECT p.ordinal, p.changed_fields{pairs} {_changes(tables)} ORDER BY p.ordinal", batch_rows=_CHUNK
    )


def _compare(tables: SyncTables, destination: Destination, batch: pa.RecordBatch) -> list[tuple[int, str]]:
    """(ordinal, the fields that do differ) of the lines that lose some."""
    ordinals, lists, *cells = (plain(column) for column in batch.columns)
    pairs = {f.name: (cells[2 * i], cells[2 * i + 1]) for i, f in enumerate(tables.fields)}
    for name in tables.json_names:
        before, after = pairs[name]
        pairs[name] = [tables.cell(name, v) for v in before], [tables.cell(name, v) for v in after]
    shapes = {text: list(json.loads(text)) for text in set(lists)}
    object_, rows = tables.spec.object, []
    for i, (ordinal, text) in enumerate(zip(ordinals, lists, strict=True)):
        names = shapes[text]
        left = [n for n in names if not same(destination, object_, n, pairs[n][0][i], pairs[n][1][i])]
        if len(left) < len(names):
            rows.append((ordinal, json.dumps(left, separators=(",", ":"))))
    return rows


def _write(tables: SyncTables) -> int:
    plan, equal, snapshot = tables.plan, tables.scratch("equal"), tables.snapshot
    warehouse = tables.warehouse
    emptied = f"SELECT ordinal FROM {equal} WHERE changed_fields = '[]'"
    values = ", ".join(
        f"{ident(f.stored)} = {f.standing(f'p.{ident(f.before)}', f'p.{ident(f.after)}')}" for f in tables.fields
    )
    with warehouse.transaction():
        warehouse.execute(
            f"""
            UPDATE {plan}
            SET changed_fields = e.changed_fields
            FROM {equal} e
            WHERE e.ordinal = {plan}.ordinal
            """
        )
        count = warehouse.scalar(f"SELECT count(*) FROM {equal} WHERE changed_fields = '[]'", int)
        if count:
            warehouse.execute(
                f"""
                UPDATE {snapshot}
                SET row_hash = p.row_hash, {values}
                FROM {plan} p
                WHERE p.key = {snapshot}.key AND p.ordinal IN ({emptied})
                """
            )
            # An earlier row of the same key was refused; this one says what stands there.
            warehouse.execute(
                f"""
                DELETE FROM {tables.rejected}
                WHERE key IN (SELECT key FROM {plan} WHERE ordinal IN ({emptied}))
                """
            )
            warehouse.execute(f"DELETE FROM {plan} WHERE ordinal IN ({emptied})")
    return count


def _as_arrow(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    ordinals, lists = zip(*rows, strict=True)
    return pa.table(
        {"ordinal": pa.array(list(ordinals), pa.int64()), "changed_fields": pa.array(list(lists), pa.string())}
    )
