"""`drift__<sync>`: where what we last wrote, what we would write and what stands at the destination are not the same,
field by field. The table stays as it is until drift is looked for again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from revetl.model import Scalar
from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables, row_hash
from revetl.sync.retry import queue
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    import pyarrow as pa

THEIRS, CONFLICT, SAME, PENDING = "theirs", "conflict", "same", "pending"
# `untied`: a link of ours that was removed there. The word stands in tables and in the command's output.
MISSING, MERGED, UNLINKED = "missing", "merged", "untied"
# The `value` of a merged record that has our `match_on` value as its main one.
MAIN = "main"
# Classes of fields that are drift, and those of records; `pending` and `same` need nobody.
FIELD_DRIFT = (THEIRS, CONFLICT)
RECORD_DRIFT = (MISSING, MERGED, UNLINKED)

_COLUMNS = (
    ("key", "VARCHAR"),
    ("destination_id", "VARCHAR"),  # by which it was asked for
    ("field", "VARCHAR"),  # NULL: the row speaks of the record
    ("ours_last", "VARCHAR"),
    ("wanted", "VARCHAR"),  # what the next sync would leave standing
    ("theirs", "VARCHAR"),  # of a merged record: the id that it has now
    ("class", "VARCHAR"),
    ("note", "VARCHAR"),
    ("retried_for", "VARCHAR"),  # of a pending field: why its record was refused, and is tried again by itself
    ("value", "VARCHAR"),  # theirs as text that casts to the column's type; NULL where it has no exact form there
)


class DriftFinding(NamedTuple):
    """One row of `drift__<sync>`."""

    key: str
    destination_id: str | None
    field: str | None
    ours_last: str | None
    wanted: str | None
    theirs: str | None
    class_: str
    note: str | None = None
    retried_for: str | None = None
    value: str | None = None


def prepare(tables: SyncTables) -> None:
    """An empty table."""
    tables.warehouse.execute(f"DROP TABLE IF EXISTS {tables.drift}")
    create_table(tables.warehouse, tables.relation("drift"), _COLUMNS)


def append(tables: SyncTables, rows: Sequence[DriftFinding]) -> None:
    if not rows:
        return
    import pyarrow as pa

    arrays = [pa.array(list(cells), pa.string()) for cells in zip(*rows, strict=True)]
    tables.warehouse.append(tables.relation("drift"), pa.table(arrays, names=[name for name, _ in _COLUMNS]))


def _chosen(keys: Sequence[str]) -> str:
    return f"AND n.key IN ({', '.join('?' for _ in keys)})" if keys else ""


def count_known(tables: SyncTables, keys: Sequence[str]) -> int:
    """Records that `known_records` gives."""
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.snapshot} n
        WHERE n.destination_id IS NOT NULL {_chosen(keys)}
        """,
        int,
        keys,
    )


def not_known(tables: SyncTables, keys: Sequence[str]) -> list[str]:
    """Those of the keys under which no record is known to stand there."""
    if not keys:
        return []
    rows = tables.warehouse.rows(
        f"""
        SELECT n.key
        FROM {tables.snapshot} n
        WHERE n.destination_id IS NOT NULL {_chosen(keys)}
        """,
        keys,
    )
    found = {str(key) for (key,) in rows}
    return [key for key in keys if key not in found]


def known_records(tables: SyncTables, keys: Sequence[str], *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """What is known to stand there: `last__<i>` and, where the next sync would write it, `wanted__<i>` for the i-th
    field. `waits`: nothing would be written, since the row waits, is as it was, or has left the model. `accepted`: the
    record as it stands was accepted. `retried_for`: why it was refused, of one that is tried again by itself."""
    by_itself = queue.tried_by_itself("r")
    last = "".join(f", n.{ident(f.stored)} AS last__{i}" for i, f in enumerate(tables.fields))
    wanted = "".join(f", m.{ident(f.name)} AS wanted__{i}" for i, f in enumerate(tables.fields))
    values = "".join(f", {tables.value(f, 's')} AS {ident(f.name)}" for f in tables.fields)
    hashed = row_hash([tables.value(f, "s") for f in tables.fields])
    return tables.warehouse.stream(
        f"""
        SELECT
            n.key,
            n.destination_id,
            m.revetl_key IS NULL
                OR (r.key IS NOT NULL AND NOT {by_itself})
                OR n.row_hash IS NOT DISTINCT FROM m.revetl_hash AS waits,
            r.key IS NOT NULL AND r.status = {literal(queue.ACCEPTED)} AS accepted,
            CASE WHEN r.key IS NOT NULL AND {by_itself} THEN coalesce(r.error_code, upper(r.status)) END AS retried_for
            {last}
            {wanted}
        FROM {tables.snapshot} n
        LEFT JOIN (
            SELECT CAST(s.{ident(tables.spec.key)} AS VARCHAR) AS revetl_key, {hashed} AS revetl_hash {values}
            FROM {tables.source} s
        ) m ON m.revetl_key = n.key
        LEFT JOIN {tables.rejected} r
            ON r.key = n.key
                AND (r.row_hash = m.revetl_hash OR m.revetl_key IS NULL)
        WHERE n.destination_id IS NOT NULL {_chosen(keys)}
        ORDER BY n.key
        """,
        keys,
        batch_rows=batch_rows,
    )


def leave_out_merged_twice(tables: SyncTables) -> int:
    """A record that was merged into one of another key of ours is named and left alone: two of ours would write over
    each other. Of several that became one with a new id, that of the main value is not: it is whose the record is.
    Returns how many. Call after the last finding."""
    warehouse, drift = tables.warehouse, tables.drift
    held = f"SELECT destination_id FROM {tables.snapshot} WHERE destination_id IS NOT NULL"
    twice = f"""
        SELECT f.key
        FROM (
            SELECT
                key,
                theirs,
                count(*) OVER (PARTITION BY theirs) AS together,
                row_number() OVER (
                    PARTITION BY theirs
                    ORDER BY CASE WHEN value = '{MAIN}' THEN 0 ELSE 1 END, key
                ) AS place,
                CASE WHEN value = '{MAIN}' THEN 1 ELSE 0 END AS main
            FROM {drift}
            WHERE field IS NULL AND class = '{MERGED}'
        ) f
        WHERE f.theirs IN ({held}) OR (f.together > 1 AND NOT (f.place = 1 AND f.main = 1))
        """
    count = warehouse.scalar(f"SELECT count(*) FROM ({twice}) t", int)
    if count:
        with warehouse.transaction():
            warehouse.execute(
                f"""
                UPDATE {drift}
                SET note = 'another key of the model has that record'
                WHERE field IS NULL AND key IN ({twice})
                """
            )
            warehouse.execute(
                f"""
                DELETE FROM {drift}
                WHERE field IS NOT NULL
                    AND key IN (SELECT key FROM {drift} WHERE field IS NULL AND note IS NOT NULL)
                """
            )
    return count


def fields_by_class(tables: SyncTables) -> dict[str, dict[str, int]]:
    """field → class → records."""
    found = tables.warehouse.rows(
        f"""
        SELECT field, class, count(*)
        FROM {tables.drift}
        WHERE field IS NOT NULL
        GROUP BY field, class
        ORDER BY field, class
        """
    )
    out: dict[str, dict[str, int]] = {}
    for field, class_, n in found:
        out.setdefault(str(field), {})[str(class_)] = int(str(n))
    return out


def records_by_class(tables: SyncTables) -> dict[str, int]:
    """class → records: of records as such, and of those with at least one field of the class."""
    return tables.warehouse.counts(
        f"""
        SELECT class, count(DISTINCT key)
        FROM {tables.drift}
        GROUP BY class
        ORDER BY class
        """
    )


def retried_by_reason(tables: SyncTables) -> dict[str, int]:
    """Why it was refused → records with a pending field that are tried again by themselves."""
    return tables.warehouse.counts(
        f"""
        SELECT retried_for, count(DISTINCT key)
        FROM {tables.drift}
        WHERE class = '{PENDING}' AND retried_for IS NOT NULL
        GROUP BY retried_for
        ORDER BY retried_for
        """
    )


def count_drifted(tables: SyncTables) -> int:
    """Records with drift of any kind."""
    classes = ", ".join(f"'{c}'" for c in (*FIELD_DRIFT, *RECORD_DRIFT))
    return tables.warehouse.scalar(f"SELECT count(DISTINCT key) FROM {tables.drift} WHERE class IN ({classes})", int)


def count_delayed(tables: SyncTables, fields: Sequence[str] | None) -> int:
    """Records with a change of ours in another field that would wait too, were these fields accepted."""
    chosen = "" if fields is None else f"AND field IN ({', '.join(map(literal, fields))})"
    return tables.warehouse.scalar(
        f"""
        SELECT count(DISTINCT key)
        FROM {tables.drift}
        WHERE class = '{PENDING}'
            AND key IN (
                SELECT key
                FROM {tables.drift}
                WHERE field IS NOT NULL AND class IN ('{THEIRS}', '{CONFLICT}') {chosen}
            )
        """,
        int,
    )


def count_unfit(tables: SyncTables) -> int:
    """Fields whose value there has no exact form in our column: neither accepted nor reasserted."""
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.drift}
        WHERE field IS NOT NULL AND theirs IS NOT NULL AND value IS NULL AND class <> '{PENDING}'
        """,
        int,
    )


def samples(tables: SyncTables, *, per_class: int) -> list[dict[str, Scalar]]:
    """A few rows of each field and class, the smallest keys first."""
    names = ("key", "destination_id", "field", "ours_last", "wanted", "theirs", "class", "note", "retried_for")
    found = tables.warehouse.rows(
        f"""
        SELECT {", ".join(names)}
        FROM {tables.drift}
        QUALIFY row_number() OVER (PARTITION BY field, class ORDER BY key) <= {int(per_class)}
        ORDER BY field, class, key
        """
    )
    return [dict(zip(names, row, strict=True)) for row in found]
