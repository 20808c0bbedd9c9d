"""The lines of a plan as they are handed to a connector."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from revetl.model import Change, JsonText, Metadata, Operation, RunRecord, Scalar
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 5_000
# A result that is half read holds all of itself, sorted, and keeps DuckDB from folding its log into the file. So a
# plan is read range after range; a range ends where its texts are as long as this together.
_RANGE_ROWS = 50_000
_RANGE_BYTES = 8 * 2**20


def stream_lines(
    tables: SyncTables, where: str = "TRUE", params: Sequence[Scalar] = (), *, records: bool = False
) -> Iterator[pa.RecordBatch]:
    """Those that are to be sent and meet the condition, in their order; `read_changes` reads a chunk. A chunk has at
    most `CHUNK_ROWS` lines. In a warehouse of our own process it holds at most 8 MiB of texts, or one line: memory
    depends neither on how long the plan is nor on how wide its lines are. `records`: with the whole rows."""
    wanted = f"outcome IS NULL AND {where}"
    if tables.warehouse.lean(0) is None:  # a server: it keeps the result, we hold one chunk
        yield from _stream(tables, wanted, params, records)
        return
    for first, last in ordinal_ranges(tables, wanted, params):
        # Read to its end at once: nothing of ours is open while the chunks are sent and checkpoints are written.
        yield from list(_stream(tables, f"{wanted} AND ordinal BETWEEN {first} AND {last}", params, records))


def _stream(tables: SyncTables, wanted: str, params: Sequence[Scalar], records: bool) -> Iterator[pa.RecordBatch]:
    columns = "".join(f", {ident(f.after)}" for f in tables.fields) + (_whole(tables) if records else "")
    return tables.warehouse.stream(
        f"""
        SELECT ordinal, key, op, destination_id, in_doubt, changed_fields, sent{columns}
        FROM {tables.plan} p
        {_last_answers(tables) if records else ""}
        WHERE {wanted}
        ORDER BY ordinal
        """,
        params,
        batch_rows=CHUNK_ROWS,
    )


def _whole(tables: SyncTables) -> str:
    """The row as it then stands, of a delete as it stood; and the run that last had an answer about its key. Of those
    that had none, the present one among them, nothing is told: their change is sent again as the same one."""
    standing = "".join(
        f", CASE WHEN p.op = 'delete' THEN p.{ident(f.before)}"
        f" ELSE {f.standing(f'p.{ident(f.before)}', f'p.{ident(f.after)}')} END"
        f" AS {ident(f'whole_{i}')}"
        for i, f in enumerate(tables.fields)
    )
    return f", a.answered_by{standing}"


def _last_answers(tables: SyncTables) -> str:
    """Joins the run that last had an answer about each key. Its columns are named as none of the plan's."""
    return f"""
        LEFT JOIN (
            SELECT key AS answered_key, max(run_id) AS answered_by
            FROM {tables.shared("outcomes")}
            WHERE sync = {literal(tables.spec.name)} AND status IN ('ok', 'accepted', 'rejected') AND attempts > 0
            GROUP BY key
        ) a ON a.answered_key = p.key
        """


def ordinal_ranges(tables: SyncTables, wanted: str, params: Sequence[Scalar]) -> Iterator[tuple[int, int]]:
    """First and last ordinal of each range of these lines, in order. In a warehouse of our own process each holds at
    most 8 MiB of texts, or one line."""
    count, start, end = tables.warehouse.numbers(
        f"SELECT count(*), min(ordinal), max(ordinal) FROM {tables.plan} WHERE {wanted}", params
    )
    if tables.warehouse.lean(0) is None:
        yield from ((at, min(at + _RANGE_ROWS - 1, end)) for at in range(start, end + 1, _RANGE_ROWS) if count)
        return
    texts = [f"coalesce(strlen({ident(f.after)}), 0)" for f in tables.fields if f.type == "VARCHAR"]
    while count and start <= end:
        stop = start + _RANGE_ROWS
        for (last,) in tables.warehouse.rows(
            f"""
            SELECT max(ordinal)
            FROM (
                SELECT ordinal, (sum(bytes) OVER (ORDER BY ordinal) - bytes) // {_RANGE_BYTES} AS range
                FROM (
                    SELECT ordinal, {" + ".join(texts) or "0"} AS bytes
                    FROM {tables.plan}
                    WHERE {wanted} AND ordinal >= {start} AND ordinal < {stop}
                ) l
            ) r
            GROUP BY range
            ORDER BY 1
            """,
            params,
        ):
            yield start, int(str(last))
            start = int(str(last)) + 1
        start = stop


def read_changes(chunk: pa.RecordBatch, tables: SyncTables) -> list[Change]:
    """The lines of a plan as they are handed to a connector. The inner loop of a push: few Python steps per record."""
    ordinals, keys, ops, ids, doubts, lists, instead, *columns = (plain(column) for column in chunk.columns)
    columns, whole = columns[: len(tables.fields)], columns[len(tables.fields) :]
    for names_json in tables.json_names:
        at = [f.name for f in tables.fields].index(names_json)
        for cells in (columns, whole[1:]):
            if cells:
                cells[at][:] = [None if cell is None else JsonText(cell) for cell in cells[at]]
    position = {f.name: i for i, f in enumerate(tables.fields)}
    match = columns[position[tables.spec.match_on]] if tables.spec.match_on else [None] * len(keys)
    if tables.spec.key_property is not None:
        match = keys  # whatever stood in the field before: a rollback may make a record anew
    shapes = {text: _shape(json.loads(text), position) for text in set(lists)}
    picked = zip(map(shapes.__getitem__, lists), zip(*columns, strict=True), strict=True)
    fields = [dict(zip(names, pick(row), strict=False)) for (names, pick), row in picked]
    for own, sent in zip(fields, instead, strict=True):
        if sent:
            own |= json.loads(sent)
    operations = {op.value: op for op in Operation}
    records, answered = _records([*position], whole, len(keys))
    lines = zip(
        *(ordinals, keys, map(operations.__getitem__, ops), ids, fields, match, doubts, records, answered),
        repeat(False, len(keys)),  # that deletes erase is said by who applies the plan: a rollback's never do
        strict=True,
    )
    return list(map(Change._make, lines))


def _records(
    names: list[str], whole: list[list[Any]], count: int
) -> tuple[Sequence[Mapping[str, Scalar] | None], Sequence[str]]:
    """Of each line the row, and who last had an answer about it; nothing where the chunk has none."""
    if not whole:
        return [None] * count, [""] * count
    answered, *columns = whole
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], [a or "" for a in answered]


def with_metadata(changes: Sequence[Change], metadata: Mapping[str, Metadata], run: RunRecord) -> list[Change]:
    """The same, with what is told of the run in every record that is written. `first_synced_at` goes with what is
    created only."""
    told: dict[Metadata, Scalar] = {"synced_at": run.started_at, "run_id": run.run_id}
    always = {name: told[kind] for name, kind in metadata.items() if kind in told}
    at_first = {name: run.started_at for name, kind in metadata.items() if kind == "first_synced_at"}
    of = {Operation.CREATE: always | at_first, Operation.UPDATE: always, Operation.DELETE: {}}
    return [change._replace(fields={**change.fields, **of[change.op]}) for change in changes]


def _shape(names: list[str], position: Mapping[str, int]) -> tuple[list[str], Callable[[Any], Sequence[Any]]]:
    """The names of changed fields and what picks their values out of a row."""
    if len(names) > 1:
        return names, itemgetter(*(position[name] for name in names))
    if names == [*position]:  # as of every new record
        return names, tuple
    # One index would give the value itself and not a tuple of one.
    start = position[names[0]] if names else 0
    return names, itemgetter(slice(start, start + len(names)))
