"""The links that the model wants against those that we made: what is to be sent, in SQL inside the warehouse."""

from __future__ import annotations

from datetime import datetime

from revetl.model import Relation
from revetl.state.sync_tables import SyncTables, named_by
from revetl.sync.links import refused
from revetl.sync.links.links_table import IDENTITY, MAY_STAND, LinkCounts, has_run, same, targets
from revetl.sync.links.record_ids import arrives, has_plan, ids_of
from revetl.warehouse.sql import ident, literal, table

_MAY_STAND = f"r.{MAY_STAND}"


def compare(
    tables: SyncTables,
    now: datetime,
    *,
    full_refresh: bool,
    planned: bool = False,
    model_now: Relation | None = None,
) -> LinkCounts:
    """Puts into a scratch table what is to be sent, by ordinal. Changes no state. `planned`: with the ids that records
    will have once the present plans are applied. `model_now`: the model, where the links are those of a saved plan; a
    link that it names is not removed. What was seen to be gone (`today.learn`) keeps old links standing."""
    warehouse = tables.warehouse
    tables.new_scratch("wanted", f"AS {_wanted(tables, planned)}")
    refused.set_aside(tables, now, everything=full_refresh and tables.spec.mode != "insert")
    tables.new_scratch(
        "linkplan",
        f"""
        AS SELECT
            CAST(row_number() OVER (
                ORDER BY
                    CASE l.op WHEN 'forget' THEN 0 WHEN 'unlink' THEN 1 ELSE 2 END,
                    l.to_sync, l.type, l.key, l.to_key, l.from_id, l.to_id
            ) - 1 AS BIGINT) AS ordinal,
            l.*
        FROM (
            {_removals(tables, planned, model_now)}
            UNION ALL
            {_additions(tables, full_refresh)}
        ) l
        """,
    )
    ops = warehouse.counts(f"SELECT op, count(*) FROM {tables.scratch('linkplan')} GROUP BY 1")
    waiting = warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.scratch("wanted")}
        WHERE from_id IS NULL OR to_id IS NULL
        """,
        int,
    )
    return LinkCounts(
        ops.get("link", 0),
        ops.get("unlink", 0),
        waiting,
        known=warehouse.scalar(f"SELECT count(*) FROM {tables.links}", int),
        again=warehouse.scalar(f"SELECT count(*) FROM {tables.scratch('linkplan')} WHERE tries > 0", int),
        refused=refused.still_wanted(tables),
        left=left(tables),
        came_back=0 if model_now is None else _came_back(tables, model_now),
    )


def removals_of(tables: SyncTables, undone_run: str) -> int:
    """Puts into the scratch table of lines the removal of each link of ours that this run made, those in doubt since an
    earlier rollback of it among them; returns how many. Changes no state."""
    runs = tables.shared("runs")
    tables.new_scratch(
        "linkplan",
        f"""
        AS SELECT
            CAST(row_number() OVER (ORDER BY r.to_sync, r.type, r.key, r.to_key, r.from_id, r.to_id) - 1 AS BIGINT)
                AS ordinal,
            'unlink' AS op,
            r.key, r.to_sync, r.type, k.object, r.to_key, r.from_id, r.to_id,
            TRUE AS ours,
            coalesce(r.alone, FALSE) AS alone,
            FALSE AS alone_by_another,
            r.state <> 'linked' AS in_doubt,
            FALSE AS moved,
            CAST(NULL AS BIGINT) AS tries
        FROM {tables.links} r
        JOIN ({_declared(tables)}) k ON k.to_sync = r.to_sync AND k.type = r.type
        WHERE {_MAY_STAND} AND coalesce(r.ours, TRUE)
            AND r.run_id IN (
                SELECT u.run_id
                FROM {runs} u
                WHERE u.run_id = {literal(undone_run)} OR u.undoes = {literal(undone_run)}
            )
        """,
    )
    return tables.warehouse.scalar(f"SELECT count(*) FROM {tables.scratch('linkplan')}", int)


def left(tables: SyncTables) -> int:
    """How many links that we made, and that may stand there, are of a kind that `associate` does not name any more.
    Nothing removes them: the other record may be one of a sync that was renamed."""
    if not tables.warehouse.columns(tables.relation("links")):
        return 0
    declared = " OR ".join(
        f"(r.to_sync = {literal(to)} AND r.type = {int(type_)})"
        for to, type_ in sorted({(a.to, a.type) for a in tables.spec.associate})
    )
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.links} r
        WHERE {_MAY_STAND} AND NOT ({declared or "FALSE"})
        """,
        int,
    )


def waiting_for(tables: SyncTables) -> dict[str, int]:
    """Sync → links that wait for a record of it now: the other one's, or the sync's own. Links to records that were
    looked for by a field are not among the others (`references.missing` lists them). Changes no state."""
    if not tables.spec.associate:
        return {}
    syncs = ", ".join(literal(a.to) for a in tables.spec.associate if a.match_on is None)
    theirs = f"(w.to_id IS NULL AND w.to_sync IN ({syncs}))" if syncs else "FALSE"
    return tables.warehouse.counts(
        f"""
        SELECT CASE WHEN w.from_id IS NULL THEN {literal(tables.spec.name)} ELSE w.to_sync END, count(*)
        FROM ({_wanted(tables, planned=False)}) w
        WHERE w.from_id IS NULL OR {theirs}
        GROUP BY 1
        ORDER BY 1
        """
    )


def coming(tables: SyncTables) -> int:
    """After `compare`: how many of the waiting links lack only records that the present plans create."""
    return tables.warehouse.scalar(f"SELECT count(*) FROM ({coming_links(tables)}) w", int)


def coming_links(tables: SyncTables) -> str:
    """A SELECT of them, with the columns of the comparison."""
    ours = f"w.from_id IS NOT NULL OR {arrives(tables, 'w.key', tables.spec.name)}"
    theirs = ["w.to_id IS NOT NULL"]
    for to in targets(tables):
        if has_plan(tables, to):
            theirs.append(f"(w.to_sync = {literal(to)} AND {arrives(tables, 'w.to_key', to)})")
    return f"""
        SELECT 'link' AS op, w.*
        FROM {tables.scratch("wanted")} w
        WHERE (w.from_id IS NULL OR w.to_id IS NULL)
            AND ({ours})
            AND ({" OR ".join(theirs)})
        """


def _wanted(tables: SyncTables, planned: bool) -> str:
    """The pairs that the model names, with the ids of both records as far as they are known."""
    spec = tables.spec
    ids = [
        f"""
        SELECT {literal(to)} AS to_sync, key AS to_key, destination_id AS to_id
        FROM {ids_of(tables, to, planned=planned)}
        """
        for to in targets(tables)
        if has_run(tables, to)
    ]
    nobody = "SELECT CAST(NULL AS VARCHAR) AS to_sync, CAST(NULL AS VARCHAR) AS to_key, CAST(NULL AS VARCHAR) AS to_id"
    # One column for each kind of link, and unique keys: no pair can come twice.
    distinct = "" if len({(a.to, a.type) for a in spec.associate}) == len(spec.associate) else "DISTINCT"
    return f"""
        SELECT {distinct}
            d.key, d.to_sync, d.type, d.object, d.to_key, n.destination_id AS from_id, t.to_id
        FROM ({_named(tables, spec.relation)}) d
        LEFT JOIN {ids_of(tables, spec.name, planned=planned)} n ON n.key = d.key
        LEFT JOIN ({" UNION ALL ".join(ids) or nobody}) t ON t.to_sync = d.to_sync AND t.to_key = d.to_key
        """


def _named(tables: SyncTables, model: Relation) -> str:
    """A SELECT of the pairs that a model names."""
    return " UNION ALL ".join(
        f"""
        SELECT
            {tables.source_key("m")} AS key,
            {literal(a.to)} AS to_sync,
            CAST({int(a.type)} AS BIGINT) AS type,
            {literal(a.object)} AS object,
            CAST(m.{ident(a.by)} AS VARCHAR) AS to_key
        FROM {table(model)} m
        WHERE {named_by(f"m.{ident(a.by)}")} IS NOT NULL
        """
        for a in tables.spec.associate
    )


def _removals(tables: SyncTables, planned: bool, model_now: Relation | None) -> str:
    """Links of ours that the model does not name any more, or that join ids of yesterday. Whoever left the model keeps
    them, unless who left is to be cleared; and so does whoever is to be linked to a record that is not there yet, or
    not any more: a name that nobody has there takes nobody off the list where he is."""
    spec, wanted = tables.spec, tables.scratch("wanted")
    in_model = f"SELECT DISTINCT CAST({ident(spec.key)} AS VARCHAR) AS key FROM {tables.model}"
    left = "TRUE" if spec.mode == "mirror" and spec.on_leave == "clear" else "m.key IS NOT NULL"
    kept = "AND r.state <> 'linked'" if spec.mode == "insert" else ""
    named_again = ""
    if model_now is not None:
        named_again = f"AND NOT EXISTS (SELECT 1 FROM ({_named(tables, model_now)}) b WHERE {_one_link('b', 'r')})"
    # Joins, for Snowflake takes a correlated EXISTS only as a condition of its own in WHERE.
    return f"""
        SELECT
            CASE
                WHEN r.state IN ('rejected', 'accepted') THEN 'forget'
                WHEN v.from_id IS NOT NULL OR NOT coalesce(r.ours, TRUE) THEN 'forget'
                ELSE 'unlink'
            END AS op,
            r.key, r.to_sync, r.type, k.object, r.to_key, r.from_id, r.to_id,
            TRUE AS ours,
            coalesce(r.alone, FALSE) AND o.from_id IS NULL AS alone,
            FALSE AS alone_by_another,
            r.state <> 'linked' AS in_doubt,
            r.state = 'moved' AS moved,
            CAST(NULL AS BIGINT) AS tries
        FROM {tables.links} r
        JOIN ({_declared(tables)}) k ON k.to_sync = r.to_sync AND k.type = r.type
        LEFT JOIN {wanted} w
            ON w.key = r.key AND w.to_sync = r.to_sync AND w.type = r.type AND w.to_key = r.to_key
        LEFT JOIN (SELECT DISTINCT from_id, to_id, object, type FROM {wanted}) v
            ON v.from_id = r.from_id AND v.to_id = r.to_id AND v.object = k.object AND v.type = r.type
        LEFT JOIN (SELECT DISTINCT from_id, to_id, object FROM {wanted}) o
            ON o.from_id = r.from_id AND o.to_id = r.to_id AND o.object = k.object
        LEFT JOIN ({in_model}) m ON m.key = r.key
        LEFT JOIN ({_not_there(tables, planned)}) u ON u.key = r.key AND u.to_sync = r.to_sync AND u.type = r.type
        LEFT JOIN ({_not_made(tables)}) g ON g.key = r.key AND g.to_sync = r.to_sync AND g.type = r.type
        WHERE (g.key IS NULL OR r.state IN ('rejected', 'accepted'))
            AND ((w.key IS NULL AND u.key IS NULL AND {left}) OR w.from_id <> r.from_id OR w.to_id <> r.to_id) {kept}
            {named_again}
        """


def _not_there(tables: SyncTables, planned: bool) -> str:
    """Who is to be linked to a record without an id, by kind of link; `planned`: and that no present plan makes."""
    comes = [
        f"AND NOT (to_sync = {literal(to)} AND {arrives(tables, 'to_key', to)})"
        for to in targets(tables)
        if planned and has_plan(tables, to)
    ]
    return f"""
            SELECT DISTINCT key, to_sync, type
            FROM {tables.scratch("wanted")}
            WHERE to_id IS NULL {" ".join(comes)}
        """


def _came_back(tables: SyncTables, model_now: Relation) -> int:
    """Links of ours that the saved plan would remove, and that the model names again."""
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.links} r
        JOIN ({_named(tables, model_now)}) b ON {_one_link("b", "r")}
        LEFT JOIN {tables.scratch("wanted")} w ON {_one_link("w", "r")}
        WHERE {_MAY_STAND} AND w.key IS NULL
        """,
        int,
    )


def _one_link(one: str, other: str) -> str:
    """Whether two rows are about one link, whatever the ids of its records are."""
    return " AND ".join(f"{one}.{c} = {other}.{c}" for c in ("key", "to_sync", "type", "to_key"))


def _not_made(tables: SyncTables) -> str:
    """Whose link can't be made now, by kind of link: nothing stands under the id of the other record, or it was refused
    and waits. Until then the link that it is to take the place of stands."""
    return f"""
            SELECT DISTINCT w.key, w.to_sync, w.type
            FROM {tables.scratch("wanted")} w
            LEFT JOIN {tables.scratch("linkends")} e ON e.to_sync = w.to_sync AND e.id = w.to_id
            LEFT JOIN {tables.scratch("linkwaiting")} r ON {same("r", "w")}
            WHERE e.id IS NOT NULL OR r.key IS NOT NULL
        """


def _additions(tables: SyncTables, full_refresh: bool) -> str:
    """Wanted pairs that are not known to stand, with what rows of ours say of each: whether this kind on it is ours,
    and whether nothing tied the two before this kind of ours, or before another."""
    insert = tables.spec.mode == "insert"
    identity = IDENTITY[:3] if insert else IDENTITY
    this = " AND ".join(f"r.{c} = w.{c}" for c in identity)
    # A full refresh looks at all links again, not at what a person wants unlinked.
    done_with = "'accepted'" if full_refresh and not insert else "'linked', 'accepted'"
    may_stand = f"{tables.links} r JOIN ({_declared(tables)}) k ON k.to_sync = r.to_sync AND k.type = r.type"
    pair = "r.from_id, r.to_id, k.object"
    return f"""
        SELECT
            'link' AS op, w.key, w.to_sync, w.type, w.object, w.to_key, w.from_id, w.to_id,
            coalesce(h.ours, 0) = 1 AS ours,
            coalesce(h.alone, 0) = 1 AS alone,
            coalesce(a.kinds, 0) > coalesce(h.alone, 0) AS alone_by_another,
            coalesce(h.in_doubt, 0) = 1 AS in_doubt,
            coalesce(h.moved, 0) = 1 AS moved,
            t.tries
        FROM {tables.scratch("wanted")} w
        LEFT JOIN (
            SELECT
                {pair}, r.type,
                max(CASE WHEN coalesce(r.ours, TRUE) THEN 1 ELSE 0 END) AS ours,
                max(CASE WHEN coalesce(r.alone, FALSE) THEN 1 ELSE 0 END) AS alone,
                max(CASE WHEN r.state IN ('linking', 'unlinking') THEN 1 ELSE 0 END) AS in_doubt,
                max(CASE WHEN r.state = 'moved' THEN 1 ELSE 0 END) AS moved
            FROM {may_stand}
            WHERE {_MAY_STAND}
            GROUP BY {pair}, r.type
        ) h ON h.from_id = w.from_id AND h.to_id = w.to_id AND h.object = w.object AND h.type = w.type
        LEFT JOIN (
            SELECT {pair}, count(DISTINCT r.type) AS kinds
            FROM {may_stand}
            WHERE {_MAY_STAND} AND r.alone
            GROUP BY {pair}
        ) a ON a.from_id = w.from_id AND a.to_id = w.to_id AND a.object = w.object
        LEFT JOIN {tables.links} t ON t.state = 'rejected' AND {same("t", "w")}
        WHERE w.from_id IS NOT NULL AND w.to_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM {tables.links} r WHERE {this} AND r.state IN ({done_with}))
            AND NOT EXISTS (SELECT 1 FROM {tables.scratch("linkwaiting")} r WHERE {this})
        """


def _declared(tables: SyncTables) -> str:
    """The kinds of link that the sync asks for, and the object that each leads to."""
    kinds = {(a.to, a.type, a.object) for a in tables.spec.associate}
    return " UNION ALL ".join(
        f"SELECT {literal(to)} AS to_sync, CAST({int(type_)} AS BIGINT) AS type, {literal(object_)} AS object"
        for to, type_, object_ in sorted(kinds)
    )
