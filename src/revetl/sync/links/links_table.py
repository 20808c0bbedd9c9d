"""`links__<sync>`: one row per link that we made or were about to make. `comparison` holds it against the model.

A link is identified by all of key, to_sync, type, to_key, from_id and to_id: where an id changes it is another link.
Its `state`:

linked               stands there, as far as we know
linking, unlinking   durable before a request leaves: after a crash the link is in doubt
rejected             refused: waits until an id changes, or somebody asks for it (`release`)
accepted             a person removed it there and `drift --accept` leaves it so, until an id changes or somebody asks
                     for the links of that record
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.model import Outcome
from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.warehouse.sql import literal, table

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("key", "to_sync", "type", "to_key", "from_id", "to_id")
_COLUMNS = (
    ("key", "VARCHAR"),
    ("to_sync", "VARCHAR"),
    ("to_key", "VARCHAR"),
    ("type", "BIGINT"),
    ("from_id", "VARCHAR"),
    ("to_id", "VARCHAR"),
    ("state", "VARCHAR"),
    ("synced_at", "TIMESTAMP"),
    ("run_id", "VARCHAR"),
)
_RESULTS = (
    ("ordinal", "BIGINT"),
    ("status", "VARCHAR"),
    ("error_class", "VARCHAR"),
    ("error_code", "VARCHAR"),
    ("error_message", "VARCHAR"),
    ("attempts", "INTEGER"),
)


@dataclass(slots=True)
class LinkCounts:
    """Of one comparison, in links."""

    link: int = 0  # to be made
    unlink: int = 0  # to be removed
    waiting: int = 0  # for a record that is not at the destination
    known: int = 0  # stand in the table

    @property
    def changes(self) -> int:
        return self.link + self.unlink


@dataclass(frozen=True, slots=True)
class LinkLine:
    """One line of the comparison, in the order in which they are sent: removals first."""

    ordinal: int
    op: str
    object: str
    type: int
    from_id: str
    to_id: str


def prepare(tables: SyncTables) -> None:
    """Safe to repeat."""
    create_table(tables.warehouse, tables.relation("links"), _COLUMNS)


def follow(tables: SyncTables) -> None:
    """A record that another key inherited takes its links along; links of records that are gone are forgotten, for the
    destination has dropped them itself. Safe to repeat."""
    links, execute = tables.links, tables.warehouse.execute
    gone = f"key NOT IN (SELECT key FROM {tables.snapshot})"
    with tables.warehouse.transaction():
        execute(
            f"""
            UPDATE {links}
            SET key = s.key
            FROM {tables.snapshot} s
            WHERE s.destination_id = {links}.from_id AND {links}.{gone}
            """
        )
        execute(f"DELETE FROM {links} WHERE {gone}")
        for to in targets(tables):
            if not has_run(tables, to):
                continue
            target = snapshot_of(tables, to)
            other_gone = f"to_sync = {literal(to)} AND to_key NOT IN (SELECT key FROM {target})"
            execute(
                f"""
                UPDATE {links}
                SET to_key = t.key
                FROM {target} t
                WHERE t.destination_id = {links}.to_id AND {links}.{other_gone}
                """
            )
            execute(f"DELETE FROM {links} WHERE {other_gone}")


def forget(tables: SyncTables) -> int:
    """Drops the rows that need no request: refused ones that are wanted no more, and pairs that stand for another kind
    of link as well. Returns how many lines of the comparison that were; those after them are sent."""
    links, plan = tables.links, tables.scratch("linkplan")
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            DELETE FROM {links}
            WHERE EXISTS (SELECT 1 FROM {plan} p WHERE p.op = 'forget' AND {_same("p", links)})
            """
        )
    return tables.warehouse.scalar(f"SELECT count(*) FROM {plan} WHERE op = 'forget'", int)


def lines(tables: SyncTables, low: int, high: int) -> list[LinkLine]:
    found: list[Any] = tables.warehouse.rows(
        f"""
        SELECT ordinal, op, object, type, from_id, to_id
        FROM {tables.scratch("linkplan")}
        WHERE ordinal >= ? AND ordinal < ?
        ORDER BY ordinal
        """,
        [low, high],
    )
    return [LinkLine(*line) for line in found]


def intend(tables: SyncTables, low: int, high: int, run_id: str) -> None:
    """Before any of these lines is sent: after a crash they are in doubt."""
    links, execute = tables.links, tables.warehouse.execute
    stretch = f"SELECT * FROM {tables.scratch('linkplan')} WHERE ordinal >= ? AND ordinal < ?"
    with tables.warehouse.transaction():
        execute(
            f"""
            UPDATE {links}
            SET state = 'unlinking', run_id = ?
            FROM ({stretch}) p
            WHERE p.op = 'unlink' AND {_same("p", links)}
            """,
            [run_id, low, high],
        )
        execute(
            f"""
            DELETE FROM {links}
            WHERE EXISTS (SELECT 1 FROM ({stretch}) p WHERE p.op = 'link' AND {_same("p", links)})
            """,
            [low, high],
        )
        execute(
            f"""
            INSERT INTO {links} (key, to_sync, to_key, type, from_id, to_id, state, synced_at, run_id)
            SELECT p.key, p.to_sync, p.to_key, p.type, p.from_id, p.to_id, 'linking', NULL, ?
            FROM ({stretch}) p
            WHERE p.op = 'link'
            """,
            [run_id, low, high],
        )


def write_answered(tables: SyncTables, done: Sequence[Outcome], now: datetime, run_id: str) -> None:
    """Outcomes and states of these lines. Call inside a transaction. unknown leaves the row in doubt."""
    links, execute = tables.links, tables.warehouse.execute
    execute(f"DELETE FROM {tables.scratch('linkresults')}")
    tables.warehouse.append(tables.scratch_relation("linkresults"), _as_arrow(done))
    low, high = min(o.ordinal for o in done), max(o.ordinal for o in done)
    answered = f"""
        SELECT p.*, r.status, r.error_class, r.error_code, r.error_message, r.attempts
        FROM (
            SELECT *
            FROM {tables.scratch("linkplan")}
            WHERE ordinal BETWEEN {int(low)} AND {int(high)}
        ) p
        JOIN {tables.scratch("linkresults")} r ON r.ordinal = p.ordinal
        """
    pair = "'{' || CAST(to_json(p.to_sync) AS VARCHAR) || ':' || CAST(to_json(p.to_key) AS VARCHAR) || '}'"
    execute(
        f"""
        INSERT INTO {tables.shared("outcomes")} (
            run_id, sync, key, op, status, destination_id, error_class, error_code, message, attempts,
            changed_fields, "before", "after", "at"
        )
        SELECT
            ?, ?, p.key, p.op, p.status, p.from_id, p.error_class, p.error_code, p.error_message, p.attempts,
            '[' || CAST(to_json(p.to_sync) AS VARCHAR) || ']',
            CASE WHEN p.op = 'unlink' THEN {pair} END,
            CASE WHEN p.op = 'link' THEN {pair} END,
            ?
        FROM ({answered}) p
        """,
        [run_id, tables.spec.name, now],
    )
    execute(
        f"""
        UPDATE {links}
        SET state = CASE WHEN p.status IN ('ok', 'accepted') THEN 'linked' ELSE 'rejected' END, synced_at = ?
        FROM ({answered}) p
        WHERE p.op = 'link' AND p.status IN ('ok', 'accepted', 'rejected') AND {_same("p", links)}
        """,
        [now],
    )
    execute(
        f"""
        DELETE FROM {links}
        WHERE EXISTS (
            SELECT 1
            FROM ({answered}) p
            WHERE p.op = 'unlink' AND p.status IN ('ok', 'accepted') AND {_same("p", links)}
        )
        """
    )


def prepare_results(tables: SyncTables) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    tables.new_scratch("linkresults", f"({columns})")


def release(tables: SyncTables, keys: Sequence[str] = ()) -> int:
    """Lets refused links be sent again, of these records or of all; returns how many. What a person wants unlinked is
    sent only where its record is named. Safe to repeat."""
    if not tables.spec.associate:
        return 0
    prepare(tables)
    which = "state = 'rejected'"
    if keys:
        which = f"state IN ('rejected', 'accepted') AND key IN ({', '.join('?' for _ in keys)})"
    with tables.warehouse.transaction():
        released = tables.warehouse.scalar(f"SELECT count(*) FROM {tables.links} WHERE {which}", int, list(keys))
        tables.warehouse.execute(f"DELETE FROM {tables.links} WHERE {which}", list(keys))
    return released


def targets(tables: SyncTables) -> list[str]:
    """The syncs that this one links to."""
    return list(dict.fromkeys(a.to for a in tables.spec.associate))


def snapshot_of(tables: SyncTables, sync: str) -> str:
    return table(relation_of(tables.warehouse, "snapshot", sync))


def has_run(tables: SyncTables, sync: str) -> bool:
    """Whether that sync has ever run. One that has not says nothing of what is gone."""
    return bool(tables.warehouse.columns(relation_of(tables.warehouse, "snapshot", sync)))


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{c} = {other}.{c}" for c in IDENTITY)


def _as_arrow(done: Sequence[Outcome]) -> pa.Table:
    import pyarrow as pa

    columns: list[tuple[str, Any, list[Any]]] = [
        ("ordinal", pa.int64(), [o.ordinal for o in done]),
        ("status", pa.string(), [o.status.value for o in done]),
        ("error_class", pa.string(), [o.error_class for o in done]),
        ("error_code", pa.string(), [o.error_code for o in done]),
        ("error_message", pa.string(), [o.message for o in done]),
        ("attempts", pa.int32(), [o.attempts for o in done]),
    ]
    return pa.table({name: pa.array(values, type_) for name, type_, values in columns})
