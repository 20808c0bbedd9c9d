"""`drift__<sync>`: where what we last wrote, what we would write and what stands at the destination are not the same,
field by field; and what accepting theirs or reasserting ours does to the snapshot. The table stays as it is until the
next look.

Both write nothing but the truth: the snapshot's columns become what was read. They differ in who waits. After `accept`
the record is held until its row changes; after `reassert` nothing is held, and the next sync finds the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from revetl.model import Relation, Scalar
from revetl.state.schema import create_table, table_suffix
from revetl.state.sync_tables import Layout
from revetl.sync.retry import queue
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

THEIRS, CONFLICT, SAME, PENDING = "theirs", "conflict", "same", "pending"
MISSING, MERGED, UNTIED = "missing", "merged", "untied"
# Classes of fields that are drift, and those of records; `pending` and `same` need nobody.
FIELD_DRIFT = (THEIRS, CONFLICT)
RECORD_DRIFT = (MISSING, MERGED, UNTIED)

_COLUMNS = (
    ("key", "VARCHAR"),
    ("destination_id", "VARCHAR"),  # by which it was asked for
    ("field", "VARCHAR"),  # NULL: the row speaks of the record
    ("ours_last", "VARCHAR"),
    ("wanted", "VARCHAR"),  # what the next sync would leave standing
    ("theirs", "VARCHAR"),  # of a merged record: the id that it has now
    ("class", "VARCHAR"),
    ("note", "VARCHAR"),
    ("value", "VARCHAR"),  # theirs as text that casts to the column's type; NULL where it has no exact form there
)


class Finding(NamedTuple):
    """One row of `drift__<sync>`."""

    key: str
    destination_id: str | None
    field: str | None
    ours_last: str | None
    wanted: str | None
    theirs: str | None
    class_: str
    note: str | None = None
    value: str | None = None


def findings(layout: Layout) -> Relation:
    return replace(layout.plan, name=f"drift__{table_suffix(layout.spec.name)}")


def prepare(warehouse: Warehouse, layout: Layout) -> None:
    """An empty table."""
    target = findings(layout)
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(target)}")
    create_table(warehouse, target, _COLUMNS)


def append(warehouse: Warehouse, layout: Layout, rows: Sequence[Finding]) -> None:
    if not rows:
        return
    import pyarrow as pa

    arrays = [pa.array(list(cells), pa.string()) for cells in zip(*rows, strict=True)]
    warehouse.append(findings(layout), pa.table(arrays, names=[name for name, _ in _COLUMNS]))


def _chosen(keys: Sequence[str]) -> str:
    return f" AND n.key IN ({', '.join('?' for _ in keys)})" if keys else ""


def count_known(warehouse: Warehouse, layout: Layout, keys: Sequence[str]) -> int:
    """Records that `known` gives."""
    found = warehouse.rows(
        f"SELECT count(*) FROM {layout.t(layout.snapshot)} n WHERE n.destination_id IS NOT NULL{_chosen(keys)}", keys
    )
    return int(str(found[0][0]))


def unheld(warehouse: Warehouse, layout: Layout, keys: Sequence[str]) -> list[str]:
    """Those of the keys under which no record is known to stand there."""
    if not keys:
        return []
    found = warehouse.rows(
        f"SELECT n.key FROM {layout.t(layout.snapshot)} n WHERE n.destination_id IS NOT NULL{_chosen(keys)}", keys
    )
    held = {str(key) for (key,) in found}
    return [key for key in keys if key not in held]


def known(warehouse: Warehouse, layout: Layout, keys: Sequence[str], *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """What we hold to stand there: `last__<i>` and, where the next sync would write it, `wanted__<i>` for the i-th
    field. `waits`: nothing would be written, since the row is held or has left the model. `accepted`: the record as it
    stands was accepted."""
    last = "".join(f", n.{layout.q(f.stored)} AS last__{i}" for i, f in enumerate(layout.fields))
    wanted = "".join(f", m.{layout.q(f.name)} AS wanted__{i}" for i, f in enumerate(layout.fields))
    values = "".join(f", {layout.value(f, 's')} AS {layout.q(f.name)}" for f in layout.fields)
    hashed = layout.row_hash([layout.value(f, "s") for f in layout.fields])
    model = (
        f"SELECT CAST(s.{layout.q(layout.spec.key)} AS VARCHAR) AS revetl_key, {hashed} AS revetl_hash{values}"
        f" FROM {layout.t(layout.spec.relation)} s"
    )
    sql = (
        "SELECT n.key, n.destination_id, m.revetl_key IS NULL OR r.key IS NOT NULL AS waits,"
        f" r.key IS NOT NULL AND r.status = {literal(queue.ACCEPTED)} AS accepted{last}{wanted}"
        f" FROM {layout.t(layout.snapshot)} n LEFT JOIN ({model}) m ON m.revetl_key = n.key"
        f" LEFT JOIN {layout.t(layout.rejected)} r ON r.key = n.key"
        " AND (r.row_hash = m.revetl_hash OR m.revetl_key IS NULL)"
        f" WHERE n.destination_id IS NOT NULL{_chosen(keys)} ORDER BY n.key"
    )
    return warehouse.stream(sql, keys, batch_rows=batch_rows)


def settle_merged(warehouse: Warehouse, layout: Layout) -> int:
    """A record that was merged into one of another key of ours is named and left alone: two of ours would write over
    each other. Returns how many. Call after the last finding."""
    target, snapshot = layout.t(findings(layout)), layout.t(layout.snapshot)
    twice = (
        f"SELECT f.key FROM {target} f WHERE f.field IS NULL AND f.class = '{MERGED}' AND f.theirs IN"
        f" (SELECT destination_id FROM {snapshot} WHERE destination_id IS NOT NULL"
        f" UNION ALL SELECT theirs FROM {target} WHERE field IS NULL AND class = '{MERGED}'"
        " GROUP BY theirs HAVING count(*) > 1)"
    )
    count = int(str(warehouse.rows(f"SELECT count(*) FROM ({twice}) t")[0][0]))
    if count:
        with warehouse.transaction():
            warehouse.execute(
                f"UPDATE {target} SET note = 'another key of the model has that record' WHERE field IS NULL"
                f" AND key IN ({twice})"
            )
            warehouse.execute(
                f"DELETE FROM {target} WHERE field IS NOT NULL AND key IN"
                f" (SELECT key FROM {target} WHERE field IS NULL AND note IS NOT NULL)"
            )
    return count


def resolve(
    warehouse: Warehouse,
    layout: Layout,
    fields: Sequence[str] | None,
    *,
    accept: bool,
    now: datetime,
    run_id: str,
) -> tuple[int, int]:
    """Accepts theirs, or lets the next sync write ours again, for these fields (None: all, and records that are missing
    or merged). Returns (records, fields settled). Call inside a transaction; safe to repeat."""
    records = 0 if fields is not None else _resolve_records(warehouse, layout, accept, now, run_id)
    in_fields, cells = _resolve_fields(warehouse, layout, fields, accept, now, run_id)
    return records + in_fields, cells


def _resolve_fields(
    warehouse: Warehouse, layout: Layout, fields: Sequence[str] | None, accept: bool, now: datetime, run_id: str
) -> tuple[int, int]:
    target, snapshot, q = layout.t(findings(layout)), layout.t(layout.snapshot), layout.q
    chosen = [f for f in layout.fields if fields is None or f.name in fields]
    names = ", ".join(literal(f.name) for f in chosen)
    rows = (
        f"SELECT * FROM {target} WHERE field IN ({names}) AND class IN ('{THEIRS}', '{CONFLICT}', '{SAME}')"
        " AND (theirs IS NULL OR value IS NOT NULL)"
    )
    counted = warehouse.rows(f"SELECT count(DISTINCT key), count(*) FROM ({rows}) d")[0]
    records, cells = int(str(counted[0])), int(str(counted[1]))
    if not cells:
        return 0, 0
    per_field = "".join(
        f", max(CASE WHEN field = {literal(f.name)} THEN 1 END) AS set_{i},"
        f" max(CASE WHEN field = {literal(f.name)} THEN value END) AS value_{i}"
        for i, f in enumerate(chosen)
    )
    wide = f"SELECT key{per_field} FROM ({rows}) d GROUP BY key"
    values = {f.name: f"{snapshot}.{q(f.stored)}" for f in layout.fields}
    sets = []
    for i, f in enumerate(chosen):
        values[f.name] = f"CASE WHEN w.set_{i} = 1 THEN TRY_CAST(w.value_{i} AS {f.type}) ELSE {values[f.name]} END"
        sets.append(f"{q(f.stored)} = {values[f.name]}")
    # In doubt stays in doubt: then all is sent, whatever was read of these fields.
    row_hash = f"CASE WHEN {snapshot}.row_hash IS NOT NULL THEN {layout.row_hash(list(values.values()))} END"
    warehouse.execute(
        f"UPDATE {snapshot} SET {', '.join(sets)}, row_hash = {row_hash} FROM ({wide}) w WHERE w.key = {snapshot}.key"
    )
    hold = queue.would_be_planned(layout, "n.row_hash") if accept else "FALSE"
    held = (
        f"SELECT n.key, {hold} AS hold, {queue.present_hash(layout)} AS held_hash FROM {snapshot} n"
        f" LEFT JOIN ({layout.source_hashes()}) h ON h.key = n.key WHERE n.key IN (SELECT key FROM ({rows}) d)"
    )
    queue.hold(warehouse, layout, held, (), queue.ACCEPTED, now, run_id)
    return records, cells


def _resolve_records(warehouse: Warehouse, layout: Layout, accept: bool, now: datetime, run_id: str) -> int:
    target, snapshot = layout.t(findings(layout)), layout.t(layout.snapshot)
    of_class = f"SELECT key, theirs FROM {target} WHERE field IS NULL AND note IS NULL AND class = "
    missing, merged = f"{of_class}'{MISSING}'", f"{of_class}'{MERGED}'"
    count = int(
        str(warehouse.rows(f"SELECT (SELECT count(*) FROM ({missing}) a) + (SELECT count(*) FROM ({merged}) b)")[0][0])
    )
    if not count:
        return 0
    warehouse.execute(f"UPDATE {snapshot} SET destination_id = g.theirs FROM ({merged}) g WHERE g.key = {snapshot}.key")
    if accept:
        held = (
            f"SELECT g.key, TRUE AS hold, {queue.present_hash(layout)} AS held_hash FROM ({missing}) g"
            f" LEFT JOIN ({layout.source_hashes()}) h ON h.key = g.key"
        )
    else:
        warehouse.execute(f"DELETE FROM {snapshot} WHERE key IN (SELECT key FROM ({missing}) g)")
        held = f"SELECT g.key, FALSE AS hold, CAST(NULL AS {layout.hash_type}) AS held_hash FROM ({missing}) g"
    queue.hold(warehouse, layout, held, (), queue.ACCEPTED, now, run_id)
    return count


def fields_by_class(warehouse: Warehouse, layout: Layout) -> dict[str, dict[str, int]]:
    """field → class → records."""
    found = warehouse.rows(
        f"SELECT field, class, count(*) FROM {layout.t(findings(layout))} WHERE field IS NOT NULL"
        " GROUP BY field, class ORDER BY field, class"
    )
    out: dict[str, dict[str, int]] = {}
    for field, class_, n in found:
        out.setdefault(str(field), {})[str(class_)] = int(str(n))
    return out


def records_by_class(warehouse: Warehouse, layout: Layout) -> dict[str, int]:
    """class → records: of records as such, and of those with at least one field of the class."""
    found = warehouse.rows(
        f"SELECT class, count(DISTINCT key) FROM {layout.t(findings(layout))} GROUP BY class ORDER BY class"
    )
    return {str(class_): int(str(n)) for class_, n in found}


def count_drifted(warehouse: Warehouse, layout: Layout) -> int:
    """Records with drift of any kind."""
    drift = ", ".join(f"'{c}'" for c in (*FIELD_DRIFT, *RECORD_DRIFT))
    found = warehouse.rows(f"SELECT count(DISTINCT key) FROM {layout.t(findings(layout))} WHERE class IN ({drift})")
    return int(str(found[0][0]))


def count_delayed(warehouse: Warehouse, layout: Layout, fields: Sequence[str] | None) -> int:
    """Records with a change of ours in another field that would wait too, were these fields accepted."""
    target = layout.t(findings(layout))
    chosen = "" if fields is None else f" AND field IN ({', '.join(map(literal, fields))})"
    found = warehouse.rows(
        f"SELECT count(DISTINCT key) FROM {target} WHERE class = '{PENDING}' AND key IN (SELECT key FROM {target}"
        f" WHERE field IS NOT NULL AND class IN ('{THEIRS}', '{CONFLICT}'){chosen})"
    )
    return int(str(found[0][0]))


def count_unfit(warehouse: Warehouse, layout: Layout) -> int:
    """Fields whose value there has no exact form in our column: neither accepted nor reasserted."""
    found = warehouse.rows(
        f"SELECT count(*) FROM {layout.t(findings(layout))} WHERE field IS NOT NULL AND theirs IS NOT NULL"
        f" AND value IS NULL AND class <> '{PENDING}'"
    )
    return int(str(found[0][0]))


def samples(warehouse: Warehouse, layout: Layout, *, per_class: int) -> list[dict[str, Scalar]]:
    """A few rows of each field and class, the smallest keys first."""
    names = ("key", "destination_id", "field", "ours_last", "wanted", "theirs", "class", "note")
    found = warehouse.rows(
        f"SELECT {', '.join(names)} FROM {layout.t(findings(layout))}"
        " QUALIFY row_number() OVER (PARTITION BY field, class ORDER BY key)"
        f" <= {int(per_class)} ORDER BY field, class, key"
    )
    return [dict(zip(names, row, strict=True)) for row in found]
