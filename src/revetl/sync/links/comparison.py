"""The links that the model wants against those that we made: what is to be sent, in SQL inside the warehouse."""

from __future__ import annotations

from revetl.model import Relation
from revetl.state.schema import relation, table_suffix
from revetl.state.sync_tables import Layout
from revetl.sync.links.links_table import IDENTITY, LinkCounts, as_int, has_run, snapshot_of, table_of, targets
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal


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
    ops = {str(op): as_int(n) for op, n in warehouse.rows(f"SELECT op, count(*) FROM {layout.t(plan)} GROUP BY 1")}
    waiting = warehouse.rows(f"SELECT count(*) FROM {layout.t(wanted)} WHERE from_id IS NULL OR to_id IS NULL")
    known = warehouse.rows(f"SELECT count(*) FROM {layout.t(links)}")
    return LinkCounts(ops.get("link", 0), ops.get("unlink", 0), as_int(waiting[0][0]), as_int(known[0][0]))


def coming(warehouse: Warehouse, layout: Layout) -> int:
    """After `compare`: how many of the waiting links lack only records that the present plans create or adopt."""
    sides = [f"w.from_id IS NOT NULL OR {_arrives('w.key', layout, layout.plan, layout.rejected)}"]
    reached = ["w.to_id IS NOT NULL"]
    for to in targets(layout):
        plan, rejected = (relation(warehouse, f"{kind}__{table_suffix(to)}") for kind in ("plan", "rejected"))
        if warehouse.columns(plan) and warehouse.columns(rejected):
            said = literal(to)
            reached.append(f"(w.to_sync = {said} AND {_arrives('w.to_key', layout, plan, rejected)})")
    sides.append(" OR ".join(reached))
    found = warehouse.rows(
        f"SELECT count(*) FROM {layout.t(layout.scratch('wanted'))} w"
        f" WHERE (w.from_id IS NULL OR w.to_id IS NULL) AND ({sides[0]}) AND ({sides[1]})"
    )
    return as_int(found[0][0])


def _wanted(warehouse: Warehouse, layout: Layout) -> str:
    """The pairs that the model names, with the ids of both records as far as they are known."""
    spec, q = layout.spec, layout.q
    source = layout.t(spec.relation)
    named = [
        f"SELECT {layout.source_key('m')} AS key, {literal(a.to)} AS to_sync,"
        f" CAST({int(a.type)} AS BIGINT) AS type, {literal(a.object)} AS object,"
        f" CAST(m.{q(a.by)} AS VARCHAR) AS to_key FROM {source} m WHERE m.{q(a.by)} IS NOT NULL"
        for a in spec.associate
    ]
    ids = [
        f"SELECT {literal(to)} AS to_sync, key AS to_key, destination_id AS to_id"
        f" FROM {layout.t(snapshot_of(warehouse, to))}"
        for to in targets(layout)
        if has_run(warehouse, to)
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
        f"SELECT {literal(to)} AS to_sync, CAST({int(type_)} AS BIGINT) AS type, {literal(object_)} AS object"
        for to, type_, object_ in sorted(kinds)
    )
    wanted = layout.t(layout.scratch("wanted"))
    cleared = spec.mode == "mirror" and spec.on_leave == "clear"
    in_model = f"SELECT DISTINCT CAST({layout.q(spec.key)} AS VARCHAR) AS key FROM {layout.t(spec.relation)}"
    left = "TRUE" if cleared else "m.key IS NOT NULL"
    due = f"(w.key IS NULL AND {left}) OR w.from_id <> r.from_id OR w.to_id <> r.to_id"
    kept = " AND r.state <> 'linked'" if spec.mode == "insert" else ""
    # Joins, for Snowflake takes a correlated EXISTS only as a condition of its own in WHERE.
    return (
        "SELECT CASE WHEN r.state IN ('rejected', 'accepted') OR v.from_id IS NOT NULL THEN 'forget' ELSE 'unlink' END"
        " AS op,"
        " r.key, r.to_sync, r.type, k.object, r.to_key, r.from_id, r.to_id"
        f" FROM {layout.t(table_of(warehouse, layout))} r"
        f" JOIN ({named}) k ON k.to_sync = r.to_sync AND k.type = r.type"
        f" LEFT JOIN {wanted} w"
        " ON w.key = r.key AND w.to_sync = r.to_sync AND w.type = r.type AND w.to_key = r.to_key"
        f" LEFT JOIN (SELECT DISTINCT from_id, to_id, object FROM {wanted}) v"
        " ON v.from_id = r.from_id AND v.to_id = r.to_id AND v.object = k.object"
        f" LEFT JOIN ({in_model}) m ON m.key = r.key"
        f" WHERE ({due}){kept}"
    )


def _additions(warehouse: Warehouse, layout: Layout, full_refresh: bool) -> str:
    links, insert = layout.t(table_of(warehouse, layout)), layout.spec.mode == "insert"
    identity = IDENTITY[:3] if insert else IDENTITY
    same = " AND ".join(f"r.{c} = w.{c}" for c in identity)
    # A full refresh makes again what stands and what was refused, not what a person wants untied.
    settled = "'accepted'" if full_refresh and not insert else "'linked', 'rejected', 'accepted'"
    absent = f" AND NOT EXISTS (SELECT 1 FROM {links} r WHERE {same} AND r.state IN ({settled}))"
    return (
        "SELECT 'link' AS op, w.key, w.to_sync, w.type, w.object, w.to_key, w.from_id, w.to_id"
        f" FROM {layout.t(layout.scratch('wanted'))} w WHERE w.from_id IS NOT NULL AND w.to_id IS NOT NULL" + absent
    )


def _arrives(key: str, layout: Layout, plan: Relation, rejected: Relation) -> str:
    """Whether a present plan gives the record its id: creates it, or found it there. The line of a record that was
    refused stays until the next plan; its row then waits with the hash that the line has."""
    comes = "(p.op = 'create' AND p.settled IS NULL) OR (p.adopted AND coalesce(p.settled, 'ok') = 'ok')"
    return (
        f"{key} IN (SELECT p.key FROM {layout.t(plan)} p LEFT JOIN {layout.t(rejected)} r"
        f" ON r.key = p.key AND r.row_hash IS NOT DISTINCT FROM p.row_hash WHERE r.key IS NULL AND ({comes}))"
    )
