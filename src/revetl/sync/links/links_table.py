"""`links__<sync>`: one row per link that we made or were about to make. `state.link_plan` compares it with the model.

A link is told by all of key, to_sync, type, to_key, from_id and to_id: where an id changes it is another link. Columns:
`state` is linked; linking and unlinking, which are durable before a request leaves and mean doubt after a crash;
rejected, which waits until an id changes or somebody asks for it (`release`); or accepted: a person removed it there
and `drift` was told to leave it so, until an id changes or somebody asks for that record's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.model import Outcome, Relation
from revetl.state.schema import create_table, relation, table_suffix
from revetl.state.sync_tables import Layout
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

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
    """Of one comparison, in links: to be made, to be removed; `waiting` for a record that is not at the destination.
    `known` are those that stand in the table."""

    link: int = 0
    unlink: int = 0
    waiting: int = 0
    known: int = 0

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


def table_of(warehouse: Warehouse, layout: Layout) -> Relation:
    return relation(warehouse, f"links__{table_suffix(layout.spec.name)}")


def prepare(warehouse: Warehouse, layout: Layout) -> None:
    """Safe to repeat."""
    create_table(warehouse, table_of(warehouse, layout), _COLUMNS)


def follow(warehouse: Warehouse, layout: Layout) -> None:
    """A record that another key inherited takes its links along; links of records that are gone are forgotten, for the
    destination has dropped them itself. Safe to repeat."""
    links, snapshot = layout.t(table_of(warehouse, layout)), layout.t(layout.snapshot)
    with warehouse.transaction():
        warehouse.execute(
            f"UPDATE {links} SET key = s.key FROM {snapshot} s"
            f" WHERE s.destination_id = {links}.from_id AND {links}.key NOT IN (SELECT key FROM {snapshot})"
        )
        warehouse.execute(f"DELETE FROM {links} WHERE key NOT IN (SELECT key FROM {snapshot})")
        for to in targets(layout):
            if not has_run(warehouse, to):
                continue
            said, target = literal(to), layout.t(snapshot_of(warehouse, to))
            missing = f"to_sync = {said} AND to_key NOT IN (SELECT key FROM {target})"
            warehouse.execute(
                f"UPDATE {links} SET to_key = t.key FROM {target} t"
                f" WHERE t.destination_id = {links}.to_id AND {links}.{missing}"
            )
            warehouse.execute(f"DELETE FROM {links} WHERE {missing}")


def forget(warehouse: Warehouse, layout: Layout) -> int:
    """Drops the rows that need no request: refused ones that are wanted no more, and pairs that stand for another kind
    of link as well. Returns how many lines of the comparison that were; those after them are sent."""
    links, plan = layout.t(table_of(warehouse, layout)), layout.t(layout.scratch("linkplan"))
    with warehouse.transaction():
        warehouse.execute(
            f"DELETE FROM {links} WHERE EXISTS (SELECT 1 FROM {plan} p WHERE p.op = 'forget' AND {_same('p', links)})"
        )
    return as_int(warehouse.rows(f"SELECT count(*) FROM {plan} WHERE op = 'forget'")[0][0])


def lines(warehouse: Warehouse, layout: Layout, low: int, high: int) -> list[LinkLine]:
    found: list[Any] = warehouse.rows(
        f"SELECT ordinal, op, object, type, from_id, to_id FROM {layout.t(layout.scratch('linkplan'))}"
        " WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal",
        [low, high],
    )
    return [LinkLine(*line) for line in found]


def intend(warehouse: Warehouse, layout: Layout, low: int, high: int, run_id: str) -> None:
    """Before any of these lines is sent: after a crash they are in doubt."""
    links, plan = layout.t(table_of(warehouse, layout)), layout.t(layout.scratch("linkplan"))
    part = f"SELECT * FROM {plan} WHERE ordinal >= ? AND ordinal < ?"
    with warehouse.transaction():
        warehouse.execute(
            f"UPDATE {links} SET state = 'unlinking', run_id = ?"
            f" FROM ({part}) p WHERE p.op = 'unlink' AND {_same('p', links)}",
            [run_id, low, high],
        )
        warehouse.execute(
            f"DELETE FROM {links} WHERE EXISTS (SELECT 1 FROM ({part}) p WHERE p.op = 'link' AND {_same('p', links)})",
            [low, high],
        )
        warehouse.execute(
            f"INSERT INTO {links} (key, to_sync, to_key, type, from_id, to_id, state, synced_at, run_id)"
            f" SELECT p.key, p.to_sync, p.to_key, p.type, p.from_id, p.to_id, 'linking', NULL, ? FROM ({part}) p"
            " WHERE p.op = 'link'",
            [run_id, low, high],
        )


def settle(warehouse: Warehouse, layout: Layout, done: Sequence[Outcome], now: datetime, run_id: str) -> None:
    """Outcomes and states of these lines. Call inside a transaction. unknown leaves the row in doubt."""
    links, plan = layout.t(table_of(warehouse, layout)), layout.t(layout.scratch("linkplan"))
    results = layout.scratch("linkresults")
    warehouse.execute(f"DELETE FROM {layout.t(results)}")
    warehouse.append(results, _as_arrow(done))
    low, high = min(o.ordinal for o in done), max(o.ordinal for o in done)
    settled = (
        "SELECT p.*, r.status, r.error_class, r.error_code, r.error_message, r.attempts"
        f" FROM (SELECT * FROM {plan} WHERE ordinal BETWEEN {int(low)} AND {int(high)}) p"
        f" JOIN {layout.t(results)} r ON r.ordinal = p.ordinal"
    )
    pair = "'{' || CAST(to_json(p.to_sync) AS VARCHAR) || ':' || CAST(to_json(p.to_key) AS VARCHAR) || '}'"
    warehouse.execute(
        f"INSERT INTO {layout.t(relation(warehouse, 'outcomes'))} (run_id, sync, key, op, status, destination_id,"
        ' error_class, error_code, message, attempts, changed_fields, "before", "after", "at")'
        " SELECT ?, ?, p.key, p.op, p.status, p.from_id, p.error_class, p.error_code, p.error_message, p.attempts,"
        " '[' || CAST(to_json(p.to_sync) AS VARCHAR) || ']',"
        f" CASE WHEN p.op = 'unlink' THEN {pair} END, CASE WHEN p.op = 'link' THEN {pair} END, ? FROM ({settled}) p",
        [run_id, layout.spec.name, now],
    )
    warehouse.execute(
        f"UPDATE {links} SET state = CASE p.status WHEN 'ok' THEN 'linked' ELSE 'rejected' END, synced_at = ?"
        f" FROM ({settled}) p WHERE p.op = 'link' AND p.status IN ('ok', 'rejected') AND {_same('p', links)}",
        [now],
    )
    warehouse.execute(
        f"DELETE FROM {links} WHERE EXISTS"
        f" (SELECT 1 FROM ({settled}) p WHERE p.op = 'unlink' AND p.status = 'ok' AND {_same('p', links)})"
    )


def prepare_results(warehouse: Warehouse, layout: Layout) -> None:
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(layout.scratch('linkresults'))}")
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    warehouse.execute(layout.create_scratch("linkresults", f"({columns})"))


def release(warehouse: Warehouse, layout: Layout, keys: Sequence[str] = ()) -> int:
    """Lets refused links be sent again, of these records or of all; returns how many. What a person wants untied is
    sent only where its record is named. Safe to repeat."""
    if not layout.spec.associate:
        return 0
    prepare(warehouse, layout)
    links = layout.t(table_of(warehouse, layout))
    which = "state = 'rejected'"
    if keys:
        which = f"state IN ('rejected', 'accepted') AND key IN ({', '.join('?' for _ in keys)})"
    with warehouse.transaction():
        refused = warehouse.rows(f"SELECT count(*) FROM {links} WHERE {which}", list(keys))
        warehouse.execute(f"DELETE FROM {links} WHERE {which}", list(keys))
    return as_int(refused[0][0])


def targets(layout: Layout) -> list[str]:
    return list(dict.fromkeys(a.to for a in layout.spec.associate))


def snapshot_of(warehouse: Warehouse, sync: str) -> Relation:
    return relation(warehouse, f"snapshot__{table_suffix(sync)}")


def has_run(warehouse: Warehouse, sync: str) -> bool:
    """Whether that sync has ever run. One that has not says nothing of what is gone."""
    return bool(warehouse.columns(snapshot_of(warehouse, sync)))


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


def as_int(value: object) -> int:
    return int(str(value))
