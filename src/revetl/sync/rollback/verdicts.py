"""`rollback__<sync>`: what is to be taken back of one run, field by field, with the reason for what is left. The table
stays as it is until the next rollback of the sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from revetl.model import Scalar
from revetl.privacy.suppressions import is_alias
from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables
from revetl.sync.outcome_histories import another_key, keys_of_ids
from revetl.warehouse.sql import ident

if TYPE_CHECKING:
    import pyarrow as pa

# Links have outcomes of their own; a sync of the mended model puts them right, so they are not taken back.
_OPS = "('create', 'update', 'delete')"

EDITED_THERE = "edited there since"

_COLUMNS = (
    ("undone_run", "VARCHAR"),
    ("key", "VARCHAR"),
    ("destination_id", "VARCHAR"),
    ("field", "VARCHAR"),  # NULL: the row speaks of the record
    ("verdict", "VARCHAR"),  # restore, already, left; of a record also archive, gone, recreate
    ("reason", "VARCHAR"),  # why it is left
    ("earlier", "VARCHAR"),  # what stood before the run, as text that casts to the column's type
    ("written", "VARCHAR"),  # the same, where a person has edited the field since
    ("stands", "VARCHAR"),  # what the destination says now
    ("changed_fields", "VARCHAR"),  # of a record: JSON array of what will be sent
    ("found", "VARCHAR"),  # of a record: JSON object, what stands in those fields
    (
        "sent",
        "VARCHAR",
    ),  # of a record: JSON object, what is sent where it is not the earlier value; of a field: that value
)


class RollbackVerdict(NamedTuple):
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
    sent: str | None = None


def prepare(tables: SyncTables) -> None:
    """An empty table. What a rollback that broke off left in it is of no use."""
    tables.warehouse.execute(f"DROP TABLE IF EXISTS {tables.rollback}")
    create_table(tables.warehouse, tables.relation("rollback"), _COLUMNS)


def append(tables: SyncTables, rows: Sequence[RollbackVerdict]) -> None:
    if not rows:
        return
    import pyarrow as pa

    arrays = [pa.array(list(cells), pa.string()) for cells in zip(*rows, strict=True)]
    tables.warehouse.append(tables.relation("rollback"), pa.table(arrays, names=[name for name, _ in _COLUMNS]))


def written_by(tables: SyncTables, run_id: str, keys: Sequence[str], *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """What the run wrote or may have written, but for whoever was erased since, in the order of keys, with what the
    snapshot says now (`known`, `in_doubt`, `now_id`, `now_run`, `now__<i>` for the i-th field) and `holder`, another
    key that has it today."""
    now = "".join(f", n.{ident(f.stored)} AS now__{i}" for i, f in enumerate(tables.fields))
    return tables.warehouse.stream(
        f"""
        SELECT
            o.key,
            o.op,
            o.status,
            coalesce(o.destination_id, n.destination_id) AS destination_id,
            o.changed_fields,
            o.error_code,
            o."before" AS earlier,
            o."after" AS written,
            n.key IS NOT NULL AS known,
            n.destination_id AS now_id,
            n.run_id AS now_run,
            n.row_hash IS NULL AS in_doubt,
            {another_key("o")} AS holder
            {now}
        FROM {tables.shared("outcomes")} o
        LEFT JOIN {tables.snapshot} n ON n.key = o.key
        LEFT JOIN ({keys_of_ids(tables)}) x ON x.destination_id = o.destination_id
        WHERE {_of_run("o", f"o.op IN {_OPS}", keys)}
        ORDER BY o.key
        """,
        [run_id, tables.spec.name, *keys],
        batch_rows=batch_rows,
    )


def leave_withheld(tables: SyncTables, withheld: Sequence[tuple[str, str, str, bool]]) -> None:
    """Fields that can't get their earlier value back, for another record has it: (key, field, who has it,
    whether nothing else of the record is restored)."""
    for key, field, why, whole in withheld:
        tables.warehouse.execute(
            f"""
            UPDATE {tables.rollback}
            SET verdict = 'left', reason = ?
            WHERE key = ? AND verdict <> 'left' AND (field = ? OR (field IS NULL AND ?))
            """,
            [why, key, field, whole],
        )


def count_written(tables: SyncTables, run_id: str, keys: Sequence[str]) -> int:
    """Records that `written_by` gives."""
    return _count(tables, run_id, keys, f"o.op IN {_OPS}")


def count_links(tables: SyncTables, run_id: str, keys: Sequence[str]) -> int:
    """Links that the run made or removed; those that stood there already cost no attempt."""
    return _count(tables, run_id, keys, "o.op IN ('link', 'unlink') AND o.attempts > 0")


def _count(tables: SyncTables, run_id: str, keys: Sequence[str], of: str) -> int:
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.shared("outcomes")} o
        WHERE {_of_run("o", of, keys)}
        """,
        int,
        [run_id, tables.spec.name, *keys],
    )


def _of_run(alias: str, of: str, keys: Sequence[str]) -> str:
    """A condition with (run, sync, keys) to be bound."""
    o = alias
    chosen = f"AND {o}.key IN ({', '.join('?' for _ in keys)})" if keys else ""
    return f"""{o}.run_id = ? AND {o}.sync = ?
            AND {o}.status IN ('ok', 'accepted', 'unknown')
            AND {of}
            {chosen}
            AND NOT {is_alias(f"{o}.key")}"""


def by_field(tables: SyncTables) -> dict[str, dict[str, int]]:
    """field → verdict → records."""
    found = tables.warehouse.rows(
        f"""
        SELECT field, verdict, count(*)
        FROM {tables.rollback}
        WHERE field IS NOT NULL
        GROUP BY field, verdict
        ORDER BY field, verdict
        """
    )
    out: dict[str, dict[str, int]] = {}
    for field, verdict, n in found:
        out.setdefault(str(field), {})[str(verdict)] = int(str(n))
    return out


def by_record(tables: SyncTables) -> dict[str, int]:
    """verdict → records."""
    return tables.warehouse.counts(
        f"""
        SELECT verdict, count(*)
        FROM {tables.rollback}
        WHERE field IS NULL
        GROUP BY verdict
        """
    )


def reasons(tables: SyncTables) -> list[tuple[str, bool, int]]:
    """(why something is left, whether the whole record is, how many), the most frequent first."""
    found = tables.warehouse.rows(
        f"""
        SELECT reason, field IS NULL, count(*)
        FROM {tables.rollback}
        WHERE verdict = 'left' AND reason IS NOT NULL
        GROUP BY 1, 2
        ORDER BY 3 DESC, 1
        """
    )
    return [(str(reason), bool(whole), int(str(n))) for reason, whole, n in found]


def samples(tables: SyncTables, *, per_verdict: int) -> list[dict[str, Scalar]]:
    """A few records of each verdict, the smallest keys, each with the fields that do not stand as before already."""
    names = ("key", "destination_id", "field", "verdict", "reason", "earlier", "written", "stands")
    columns = ", ".join("coalesce(sent, earlier) AS earlier" if name == "earlier" else name for name in names)
    found = tables.warehouse.rows(
        f"""
        SELECT {columns}
        FROM {tables.rollback}
        WHERE verdict <> 'already'
            AND key IN (
                SELECT key
                FROM {tables.rollback}
                WHERE field IS NULL AND verdict <> 'already'
                QUALIFY row_number() OVER (PARTITION BY verdict ORDER BY key) <= {int(per_verdict)}
            )
        ORDER BY key, field
        """
    )
    return [dict(zip(names, row, strict=True)) for row in found]
