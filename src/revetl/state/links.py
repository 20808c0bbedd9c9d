"""`links__<sync>`: one row per link that we made or were about to make, and the comparison with what the model wants.

A link is told by all of key, to_sync, type, to_key, from_id and to_id: where an id changes it is another link. Columns:
`state` is linked; linking and unlinking, which are durable before a request leaves and mean doubt after a crash; or
rejected, which waits until an id changes or somebody asks for it (`release`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.model import Outcome, Relation
from revetl.state.layout import Layout
from revetl.state.schema import create_table, relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

_IDENTITY = ("key", "to_sync", "type", "to_key", "from_id", "to_id")
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
        for to in _targets(layout):
            if not _exists(warehouse, to):
                continue
            said, target = literal(to, layout.dialect), layout.t(_snapshot(warehouse, to))
            missing = f"to_sync = {said} AND to_key NOT IN (SELECT key FROM {target})"
            warehouse.execute(
                f"UPDATE {links} SET to_key = t.key FROM {target} t"
                f" WHERE t.destination_id = {links}.to_id AND {links}.{missing}"
            )
            warehouse.execute(f"DELETE FROM {links} WHERE {missing}")


def compare(warehouse: Warehouse, layout: Layout, *, full_refresh: bool) -> LinkCounts:
    """Puts into a scratch table what is to be sent, by ordinal. Changes no state."""
    wanted, plan = layout.scratch("wanted"), layout.scratch("linkplan")
    links = table_of(warehouse, layout)
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(wanted)}")
    warehouse.execute(layout.create_scratch("wanted", f"AS {_wanted(warehouse, layout)}"))
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(plan)}")
    warehouse.execute(
        layout.create_scratch("linkplan", "AS")
        + " SELECT CAST(row_number() OVER (ORDER BY CASE l.op WHEN 'forget' THEN 0 WHEN 'unlink' THEN 1 ELSE 2 END,"
        " l.to_sync, l.type, l.key, l.to_key, l.from_id, l.to_id) - 1 AS BIGINT) AS ordinal, l.*"
        f" FROM ({_removals(warehouse, layout)} UNION ALL {_additions(warehouse, layout, full_refresh)}) l"
    )
    ops = {str(op): _int(n) for op, n in warehouse.rows(f"SELECT op, count(*) FROM {layout.t(plan)} GROUP BY 1")}
    waiting = warehouse.rows(f"SELECT count(*) FROM {layout.t(wanted)} WHERE from_id IS NULL OR to_id IS NULL")
    known = warehouse.rows(f"SELECT count(*) FROM {layout.t(links)}")
    return LinkCounts(ops.get("link", 0), ops.get("unlink", 0), _int(waiting[0][0]), _int(known[0][0]))


def coming(warehouse: Warehouse, layout: Layout) -> int:
    """After `compare`: how many of the waiting links lack only records that the present plans create."""
    sides = [f"w.from_id IS NOT NULL OR {_created('w.key', layout, layout.plan, layout.rejected)}"]
    reached = ["w.to_id IS NOT NULL"]
    for to in _targets(layout):
        plan, rejected = (relation(warehouse, f"{kind}__{table_suffix(to)}") for kind in ("plan", "rejected"))
        if warehouse.columns(plan) and warehouse.columns(rejected):
            said = literal(to, layout.dialect)
            reached.append(f"(w.to_sync = {said} AND {_created('w.to_key', layout, plan, rejected)})")
    sides.append(" OR ".join(reached))
    found = warehouse.rows(
        f"SELECT count(*) FROM {layout.t(layout.scratch('wanted'))} w"
        f" WHERE (w.from_id IS NULL OR w.to_id IS NULL) AND ({sides[0]}) AND ({sides[1]})"
    )
    return _int(found[0][0])


def forget(warehouse: Warehouse, layout: Layout) -> int:
    """Drops the rows that need no request: refused ones that are wanted no more, and pairs that stand for another kind
    of link as well. Returns how many lines of the comparison that were; those after them are sent."""
    links, plan = layout.t(table_of(warehouse, layout)), layout.t(layout.scratch("linkplan"))
    with warehouse.transaction():
        warehouse.execute(
            f"DELETE FROM {links} WHERE EXISTS (SELECT 1 FROM {plan} p WHERE p.op = 'forget' AND {_same('p', links)})"
        )
    return _int(warehouse.rows(f"SELECT count(*) FROM {plan} WHERE op = 'forget'")[0][0])


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
    """Lets refused links be sent again, of these records or of all; returns how many. Safe to repeat."""
    if not layout.spec.associate:
        return 0
    prepare(warehouse, layout)
    links = layout.t(table_of(warehouse, layout))
    chosen = f" AND key IN ({', '.join('?' for _ in keys)})" if keys else ""
    with warehouse.transaction():
        refused = warehouse.rows(f"SELECT count(*) FROM {links} WHERE state = 'rejected'{chosen}", list(keys))
        warehouse.execute(f"DELETE FROM {links} WHERE state = 'rejected'{chosen}", list(keys))
    return _int(refused[0][0])


def _targets(layout: Layout) -> list[str]:
    return list(dict.fromkeys(a.to for a in layout.spec.associate))


def _snapshot(warehouse: Warehouse, sync: str) -> Relation:
    return relation(warehouse, f"snapshot__{table_suffix(sync)}")


def _exists(warehouse: Warehouse, sync: str) -> bool:
    """Whether that sync has ever run. One that has not says nothing of what is gone."""
    return bool(warehouse.columns(_snapshot(warehouse, sync)))


def _wanted(warehouse: Warehouse, layout: Layout) -> str:
    """The pairs that the model names, with the ids of both records as far as they are known."""
    spec, q = layout.spec, layout.q
    source = layout.t(spec.relation)
    named = [
        f"SELECT CAST(m.{q(spec.key)} AS VARCHAR) AS key, {literal(a.to, layout.dialect)} AS to_sync,"
        f" CAST({int(a.type)} AS BIGINT) AS type, {literal(a.object, layout.dialect)} AS object,"
        f" CAST(m.{q(a.by)} AS VARCHAR) AS to_key FROM {source} m WHERE m.{q(a.by)} IS NOT NULL"
        for a in spec.associate
    ]
    ids = [
        f"SELECT {literal(to, layout.dialect)} AS to_sync, key AS to_key, destination_id AS to_id"
        f" FROM {layout.t(_snapshot(warehouse, to))}"
        for to in _targets(layout)
        if _exists(warehouse, to)
    ]
    # One column for each kind of link, and unique keys: no pair can come twice.
    distinct = "" if len({(a.to, a.type) for a in spec.associate}) == len(spec.associate) else "DISTINCT "
    nobody = "SELECT CAST(NULL AS VARCHAR) AS to_sync, CAST(NULL AS VARCHAR) AS to_key, CAST(NULL AS VARCHAR) AS to_id"
    return (
        f"SELECT {distinct}d.key, d.to_sync, d.type, d.object, d.to_key, n.destination_id AS from_id, t.to_id"
        f" FROM ({' UNION ALL '.join(named)}) d"
        f" LEFT JOIN {layout.t(layout.snapshot)} n ON n.key = d.key"
        f" LEFT JOIN ({' UNION ALL '.join(ids) or nobody}) t ON t.to_sync = d.to_sync AND t.to_key = d.to_key"
    )


def _removals(warehouse: Warehouse, layout: Layout) -> str:
    """Links of ours that the model does not name any more, or that tie ids of yesterday. Whoever left the model keeps
    them, unless who left is to be cleared."""
    spec = layout.spec
    kinds = {(a.to, a.type, a.object) for a in spec.associate}
    named = " UNION ALL ".join(
        f"SELECT {literal(to, layout.dialect)} AS to_sync, CAST({int(type_)} AS BIGINT) AS type,"
        f" {literal(object_, layout.dialect)} AS object"
        for to, type_, object_ in sorted(kinds)
    )
    wanted = layout.t(layout.scratch("wanted"))
    cleared = spec.mode == "mirror" and spec.on_leave == "clear"
    in_model = (
        f"EXISTS (SELECT 1 FROM {layout.t(spec.relation)} m WHERE CAST(m.{layout.q(spec.key)} AS VARCHAR) = r.key)"
    )
    due = f"(w.key IS NULL AND {'TRUE' if cleared else in_model}) OR w.from_id <> r.from_id OR w.to_id <> r.to_id"
    kept = " AND r.state <> 'linked'" if spec.mode == "insert" else ""
    elsewhere = (
        f"EXISTS (SELECT 1 FROM {wanted} v WHERE v.from_id = r.from_id AND v.to_id = r.to_id AND v.object = k.object)"
    )
    return (
        f"SELECT CASE WHEN r.state = 'rejected' OR {elsewhere} THEN 'forget' ELSE 'unlink' END AS op,"
        " r.key, r.to_sync, r.type, k.object, r.to_key, r.from_id, r.to_id"
        f" FROM {layout.t(table_of(warehouse, layout))} r"
        f" JOIN ({named}) k ON k.to_sync = r.to_sync AND k.type = r.type"
        f" LEFT JOIN {wanted} w"
        " ON w.key = r.key AND w.to_sync = r.to_sync AND w.type = r.type AND w.to_key = r.to_key"
        f" WHERE ({due}){kept}"
    )


def _additions(warehouse: Warehouse, layout: Layout, full_refresh: bool) -> str:
    links, insert = layout.t(table_of(warehouse, layout)), layout.spec.mode == "insert"
    identity = _IDENTITY[:3] if insert else _IDENTITY
    same = " AND ".join(f"r.{c} = w.{c}" for c in identity)
    absent = f" AND NOT EXISTS (SELECT 1 FROM {links} r WHERE {same} AND r.state IN ('linked', 'rejected'))"
    return (
        "SELECT 'link' AS op, w.key, w.to_sync, w.type, w.object, w.to_key, w.from_id, w.to_id"
        f" FROM {layout.t(layout.scratch('wanted'))} w WHERE w.from_id IS NOT NULL AND w.to_id IS NOT NULL"
        + ("" if full_refresh and not insert else absent)
    )


def _created(key: str, layout: Layout, plan: Relation, rejected: Relation) -> str:
    return (
        f"({key} IN (SELECT key FROM {layout.t(plan)} WHERE op = 'create' AND settled IS NULL)"
        f" AND {key} NOT IN (SELECT key FROM {layout.t(rejected)}))"
    )


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{c} = {other}.{c}" for c in _IDENTITY)


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


def _int(value: object) -> int:
    return int(str(value))
