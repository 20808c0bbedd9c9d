"""`rollback__<sync>`: what is to be undone of one run, field by field, with the reason for what is left; and the plan
that is made from it. The table stays as it is until the next rollback of the sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from revetl.model import Relation, Scalar
from revetl.privacy.suppressions import is_alias
from revetl.state.schema import create_table, relation, table_suffix
from revetl.state.sync_tables import Layout
from revetl.sync.retry import queue
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

# The command of a run that undoes another.
COMMAND = "rollback"
# Links have outcomes of their own; a sync of the mended model puts them right, so they are not undone.
_OPS = "('create', 'update', 'delete')"

_COLUMNS = (
    ("undone_run", "VARCHAR"),
    ("key", "VARCHAR"),
    ("destination_id", "VARCHAR"),
    ("field", "VARCHAR"),  # NULL: the row speaks of the record
    ("verdict", "VARCHAR"),  # restore, already, left; of a record also archive, gone, recreate
    ("reason", "VARCHAR"),  # why it is left
    ("earlier", "VARCHAR"),  # what stood before the run, as text that casts to the column's type
    ("written", "VARCHAR"),
    ("stands", "VARCHAR"),  # what the destination says now
    ("changed_fields", "VARCHAR"),  # of a record: JSON array of what will be sent
    ("found", "VARCHAR"),  # of a record: JSON object, what stands in those fields
)


class Verdict(NamedTuple):
    """One row of `rollback__<sync>`."""

    undone_run: str
    key: str
    destination_id: str | None
    field: str | None
    verdict: str
    reason: str | None = None
    earlier: str | None = None
    written: str | None = None
    stands: str | None = None
    changed_fields: str | None = None
    found: str | None = None


def verdicts(layout: Layout) -> Relation:
    return replace(layout.plan, name=f"rollback__{table_suffix(layout.spec.name)}")


def unruled(layout: Layout) -> Layout:
    """The layout without rules for fields: an undo puts back exactly what stood, nulls too."""
    return replace(layout, fields=tuple(replace(f, keep_null=False) for f in layout.fields))


def prepare(warehouse: Warehouse, layout: Layout) -> None:
    """An empty table. What a rollback that broke off left in it is of no use."""
    target = verdicts(layout)
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(target)}")
    create_table(warehouse, target, _COLUMNS)


def append(warehouse: Warehouse, layout: Layout, rows: Sequence[Verdict]) -> None:
    if not rows:
        return
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(cells), pa.string()) for cells in columns]
    warehouse.append(verdicts(layout), pa.table(arrays, names=[name for name, _ in _COLUMNS]))


def written_by(
    warehouse: Warehouse, layout: Layout, run_id: str, keys: Sequence[str], *, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """What the run wrote or may have written, but for whoever was erased since, in the order of keys, with what the
    snapshot says now (`known`, `in_doubt`, `now_id`, `now_run`, `now__<i>` for the i-th field) and `holder`, another
    key that has it today."""
    outcomes, snapshot = layout.t(relation(warehouse, "outcomes")), layout.t(layout.snapshot)
    now = "".join(f", n.{layout.q(f.stored)} AS now__{i}" for i, f in enumerate(layout.fields))
    chosen = f" AND o.key IN ({', '.join('?' for _ in keys)})" if keys else ""
    chosen += f" AND NOT {is_alias('o.key')}"
    sql = (
        "SELECT o.key, o.op, o.status, coalesce(o.destination_id, n.destination_id) AS destination_id,"
        ' o.changed_fields, o."before" AS earlier, o."after" AS written, n.key IS NOT NULL AS known,'
        " n.destination_id AS now_id, n.run_id AS now_run, n.row_hash IS NULL AS in_doubt,"
        f" CASE WHEN x.low <> o.key THEN x.low WHEN x.high <> o.key THEN x.high END AS holder{now}"
        f" FROM {outcomes} o LEFT JOIN {snapshot} n ON n.key = o.key"
        f" LEFT JOIN (SELECT destination_id, min(key) AS low, max(key) AS high FROM {snapshot}"
        " WHERE destination_id IS NOT NULL GROUP BY destination_id) x ON x.destination_id = o.destination_id"
        f" WHERE o.run_id = ? AND o.sync = ? AND o.status IN ('ok', 'unknown') AND o.op IN {_OPS}{chosen}"
        " ORDER BY o.key"
    )
    return warehouse.stream(sql, [run_id, layout.spec.name, *keys], batch_rows=batch_rows)


def count_written(warehouse: Warehouse, layout: Layout, run_id: str, keys: Sequence[str]) -> int:
    """Records that `written_by` gives."""
    return _count(warehouse, layout, run_id, keys, f"op IN {_OPS}")


def count_links(warehouse: Warehouse, layout: Layout, run_id: str, keys: Sequence[str]) -> int:
    """Links that the run made or removed."""
    return _count(warehouse, layout, run_id, keys, "op IN ('link', 'unlink')")


def _count(warehouse: Warehouse, layout: Layout, run_id: str, keys: Sequence[str], of: str) -> int:
    chosen = f" AND key IN ({', '.join('?' for _ in keys)})" if keys else ""
    chosen += f" AND NOT {is_alias('key')}"
    found = warehouse.rows(
        f"SELECT count(*) FROM {layout.t(relation(warehouse, 'outcomes'))}"
        f" WHERE run_id = ? AND sync = ? AND status IN ('ok', 'unknown') AND {of}{chosen}",
        [run_id, layout.spec.name, *keys],
    )
    return int(str(found[0][0]))


def freeze(warehouse: Warehouse, layout: Layout, plan_id: str, undone_run: str) -> None:
    """Makes `plan__<sync>` from the verdicts. `layout` is `unruled`. Safe to repeat; nothing is sent.

    Beside the columns of every plan: `hold` and `held_hash`, for what is restored must wait in `rejected__<sync>` from
    the moment on that it is settled.
    """
    q, plan = layout.q, layout.t(layout.plan)
    deletes = "(r.verdict IN ('archive', 'gone'))"
    pairs, after = [], []
    for i, f in enumerate(layout.fields):
        restored = f"CASE WHEN r.set_{i} = 1 THEN TRY_CAST(r.earlier_{i} AS {f.type}) ELSE n.{q(f.stored)} END"
        value = f"CASE WHEN {deletes} THEN CAST(NULL AS {f.type}) ELSE {restored} END"
        after.append(value)
        pairs.append(f", n.{q(f.stored)} AS {q(f.before)}, {value} AS {q(f.after)}")
    # In doubt stays in doubt, unless it was the undone run that left it so: its fields have just been read.
    doubt = "(n.key IS NOT NULL AND n.row_hash IS NULL AND n.run_id IS DISTINCT FROM ?)"
    row_hash = f"CASE WHEN NOT {deletes} AND NOT {doubt} THEN {layout.row_hash(after)} END"
    settled = "CASE r.verdict WHEN 'already' THEN 'ok' WHEN 'gone' THEN 'ok' WHEN 'left' THEN 'skipped' END"
    note = "CASE r.verdict WHEN 'already' THEN 'holds the earlier values already' ELSE r.reason END"
    lines = (
        "SELECT r.key, r.verdict, r.destination_id, n.key IS NOT NULL AS known,"
        f" CASE WHEN {deletes} THEN 'delete' WHEN r.verdict = 'recreate' THEN 'create' ELSE 'update' END AS op,"
        f" {row_hash} AS row_hash, coalesce(r.changed_fields, '[]') AS changed_fields, r.found,"
        f" {settled} AS settled, {note} AS note{''.join(pairs)}"
        f" FROM ({_per_record(layout)}) r LEFT JOIN {layout.t(layout.snapshot)} n ON n.key = r.key"
    )
    columns = "".join(f", p.{q(f.before)}, p.{q(f.after)}" for f in layout.fields)
    deleted = "(p.op = 'delete')"
    warehouse.execute(f"DROP TABLE IF EXISTS {plan}")
    warehouse.execute(
        f"CREATE TABLE {plan} AS SELECT CAST({literal(plan_id)} AS VARCHAR) AS plan_id,"
        " CAST(row_number() OVER (ORDER BY CASE p.op WHEN 'delete' THEN 0 WHEN 'update' THEN 1 ELSE 2 END, p.key) - 1"
        " AS BIGINT) AS ordinal, p.key, p.op, p.destination_id, p.known, FALSE AS in_doubt, FALSE AS adopted,"
        " p.row_hash, p.changed_fields, p.found, p.settled,"
        " CASE WHEN p.settled = 'skipped' THEN 'LEFT_ALONE' END AS reason, p.note,"
        f" (p.verdict <> 'left' AND {queue.would_be_planned(layout, 'p.row_hash', deleted=deleted)}) AS hold,"
        f" {queue.present_hash(layout)} AS held_hash{columns}"
        f" FROM ({lines}) p LEFT JOIN ({layout.source_hashes()}) h ON h.key = p.key",
        [undone_run],
    )


def hold_restored(warehouse: Warehouse, layout: Layout, settled: str, now: datetime, run_id: str) -> None:
    """What is restored, or may be, must not be sent over again as long as its row stays as it is. `settled` is a SELECT
    of settled plan rows with their `status`. Call inside the transaction that settles them."""
    held = (
        f"SELECT p.key, p.hold, p.held_hash FROM {layout.t(layout.plan)} p"
        f" JOIN ({settled}) s ON s.key = p.key WHERE s.status IN ('ok', 'unknown')"
    )
    queue.hold(warehouse, layout, held, (), queue.ROLLED_BACK, now, run_id)


def _per_record(layout: Layout) -> str:
    """The verdicts with one row per record: whether a field gets its earlier value, and that value."""
    table = layout.t(verdicts(layout))
    cells = []
    for i, f in enumerate(layout.fields):
        own = f"field = {literal(f.name)} AND verdict IN ('restore', 'already')"
        cells.append(
            f", max(CASE WHEN {own} THEN 1 END) AS set_{i}, max(CASE WHEN {own} THEN earlier END) AS earlier_{i}"
        )
    record = ("verdict", "destination_id", "reason", "changed_fields", "found")
    own = "".join(f", max(CASE WHEN field IS NULL THEN {name} END) AS {name}" for name in record)
    return f"SELECT key{own}{''.join(cells)} FROM {table} GROUP BY key"


def fields_touched(warehouse: Warehouse, layout: Layout) -> dict[str, dict[str, int]]:
    """field → verdict → records."""
    found = warehouse.rows(
        f"SELECT field, verdict, count(*) FROM {layout.t(verdicts(layout))} WHERE field IS NOT NULL"
        " GROUP BY field, verdict ORDER BY field, verdict"
    )
    out: dict[str, dict[str, int]] = {}
    for field, verdict, n in found:
        out.setdefault(str(field), {})[str(verdict)] = int(str(n))
    return out


def records_touched(warehouse: Warehouse, layout: Layout) -> dict[str, int]:
    """verdict → records."""
    found = warehouse.rows(
        f"SELECT verdict, count(*) FROM {layout.t(verdicts(layout))} WHERE field IS NULL GROUP BY verdict"
    )
    return {str(verdict): int(str(n)) for verdict, n in found}


def reasons(warehouse: Warehouse, layout: Layout) -> list[tuple[str, bool, int]]:
    """(why something is left, whether the whole record is, how many), the most frequent first."""
    found = warehouse.rows(
        f"SELECT reason, field IS NULL, count(*) FROM {layout.t(verdicts(layout))}"
        " WHERE verdict = 'left' AND reason IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1"
    )
    return [(str(reason), bool(whole), int(str(n))) for reason, whole, n in found]


def samples(warehouse: Warehouse, layout: Layout, *, per_verdict: int) -> list[dict[str, Scalar]]:
    """A few records of each verdict, the smallest keys, each with the fields that do not stand as before already."""
    names = ("key", "destination_id", "field", "verdict", "reason", "earlier", "written", "stands")
    table = layout.t(verdicts(layout))
    records = (
        f"SELECT key FROM {table} WHERE field IS NULL AND verdict <> 'already'"
        f" QUALIFY row_number() OVER (PARTITION BY verdict ORDER BY key) <= {int(per_verdict)}"
    )
    found = warehouse.rows(
        f"SELECT {', '.join(names)} FROM {table} WHERE verdict <> 'already' AND key IN ({records}) ORDER BY key, field"
    )
    return [dict(zip(names, row, strict=True)) for row in found]
