"""Which id each record has that a link names: as it is known, or as it will be once the present plans are applied.

Builds SQL only; nothing is read or changed here.
"""

from __future__ import annotations

from revetl.model import Relation
from revetl.state.outcomes import NOT_FOUND
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.sync.links.links_table import snapshot_of
from revetl.sync.retry.queue import ROLLED_BACK
from revetl.warehouse.sql import literal, table


def ids_of(tables: SyncTables, sync: str, *, planned: bool) -> str:
    """(key, destination_id) of a sync's records, as a subquery. A record that waits because nothing stands under its
    id has none: a link to that id would be refused by every run. Where an id was seen to lead to another record, it is
    that one's (`reading.learn_ids`).

    `planned`: a line of its present plan that found the record under another id says which; records that the plan
    removes, or whose record another key takes, are left out; those that it finds are there with their ids, and those
    that it creates without one. A line that was applied already, and may be old, has left its hash in the snapshot."""
    known = _as_it_leads_today(tables, sync)
    found, line, gone, without, arriving = "NULL", "", [], "", ""
    rejected = relation_of(tables.warehouse, "rejected", sync)
    if {"key", "error_code"} <= {c.name for c in tables.warehouse.columns(rejected)}:
        gone.append(f"SELECT key FROM {table(rejected)} WHERE error_code = {literal(NOT_FOUND)}")
    plan = relation_of(tables.warehouse, "plan", sync)
    names = {c.name for c in tables.warehouse.columns(plan)} if planned else set()
    if {"destination_id", "outcome", "row_hash"} <= names:
        fresh = "TRUE" if sync == tables.spec.name else "p.row_hash IS DISTINCT FROM n.row_hash"
        found = "p.destination_id"
        line = f"""
            LEFT JOIN {table(plan)} p
                ON p.key = n.key AND p.op = 'update' AND coalesce(p.outcome, 'ok') = 'ok' AND {fresh}"""
        not_found = f"p.outcome = 'rejected' AND p.reason = {literal(NOT_FOUND)}"
        if sync == tables.spec.name:
            gone.append(f"SELECT p.key FROM {table(plan)} p WHERE {not_found}")
        else:  # its own run will put these lines into its queue; an old line has left its hash in the snapshot
            gone.append(
                f"""
                SELECT p.key
                FROM {table(plan)} p
                JOIN {known} k ON k.key = p.key AND k.row_hash IS DISTINCT FROM p.row_hash
                WHERE {not_found}"""
            )
        if has_plan(tables, sync):
            without = f"WHERE n.key NOT IN ({_leaving(tables, sync)})"
            arriving = f"""
            UNION ALL
            SELECT a.key, a.destination_id
            FROM ({_arriving(tables, sync)}) a
            WHERE a.key NOT IN (SELECT s.key FROM {snapshot_of(tables, sync)} s)"""
    if not gone:
        return f"""(
            SELECT n.key, coalesce({found}, n.destination_id) AS destination_id
            FROM {known} n {line}
            {without} {arriving}
        )"""
    return f"""(
            SELECT n.key, coalesce({found}, CASE WHEN g.key IS NULL THEN n.destination_id END) AS destination_id
            FROM {known} n
            LEFT JOIN ({" UNION ".join(gone)}) g ON g.key = n.key {line}
            {without} {arriving}
        )"""


def has_plan(tables: SyncTables, sync: str) -> bool:
    return all(tables.warehouse.columns(_of(tables, kind, sync)) for kind in ("plan", "rejected"))


def arrives(tables: SyncTables, key: str, sync: str) -> str:
    """Whether a present plan gives the record its id: creates it, or found it there."""
    return f"{key} IN (SELECT a.key FROM ({_arriving(tables, sync)}) a)"


def _as_it_leads_today(tables: SyncTables, sync: str) -> str:
    """The snapshot, each id in place of one that was merged into it. What is looked up by a field is remembered by that
    field, so there the id itself was replaced."""
    known = snapshot_of(tables, sync)
    looked_up = any(a.to == sync and a.match_on is not None for a in tables.spec.associate)
    if looked_up or not tables.warehouse.columns(tables.relation("references")):
        return known
    return f"""(
                SELECT s.key, coalesce(c.destination_id, s.destination_id) AS destination_id, s.row_hash
                FROM {known} s
                LEFT JOIN {tables.references} c ON c.target = {literal(sync)} AND c.value = s.destination_id
            )"""


def _arriving(tables: SyncTables, sync: str) -> str:
    """(key, destination_id) of the records that the present plan creates, these without an id, or found there. The line
    of a record that was refused, or rolled back, stays until the next plan; its row then waits with the hash that the
    line has. A plan that was made since has a line only for what it releases."""
    plan, rejected = _of(tables, "plan", sync), _of(tables, "rejected", sync)
    outcome = _outcome(tables, plan)
    return f"""
            SELECT p.key, CASE WHEN p.adopted THEN p.destination_id END AS destination_id
            FROM {table(plan)} p
            LEFT JOIN {table(rejected)} r ON r.key = p.key AND r.row_hash IS NOT DISTINCT FROM p.row_hash
            WHERE (r.key IS NULL OR (r.status = {literal(ROLLED_BACK)} AND r.run_id < p.plan_id))
                AND ((p.op = 'create' AND {outcome} IS NULL) OR (p.adopted AND coalesce({outcome}, 'ok') = 'ok'))"""


def _leaving(tables: SyncTables, sync: str) -> str:
    """The keys that the snapshot will not have any more: of records that the present plan removes, unless it did so
    already and was refused; and of those whose record another key takes."""
    plan, rejected = _of(tables, "plan", sync), _of(tables, "rejected", sync)
    sent = f"coalesce({_outcome(tables, plan)}, 'ok') = 'ok'"
    taken_over = ""
    if "takes_over" in {c.name for c in tables.warehouse.columns(plan)}:
        taken_over = f"""
            UNION
            SELECT p.takes_over
            FROM {table(plan)} p
            WHERE p.takes_over IS NOT NULL AND {sent}"""
    return f"""
            SELECT p.key
            FROM {table(plan)} p
            LEFT JOIN {table(rejected)} r ON r.key = p.key
            WHERE p.op = 'delete' AND {sent} AND (r.key IS NULL OR r.run_id < p.plan_id)
            UNION
            SELECT s.key
            FROM {snapshot_of(tables, sync)} s
            JOIN {table(plan)} p ON p.destination_id = s.destination_id AND p.key <> s.key
            WHERE p.adopted AND {sent}
                AND s.key NOT IN (SELECT p.key FROM {table(plan)} p WHERE p.op <> 'delete' AND {sent}) {taken_over}"""


def _outcome(tables: SyncTables, plan: Relation) -> str:
    """Another sync's plan may still be one that an earlier version froze: its own next run renames the column."""
    names = {c.name for c in tables.warehouse.columns(plan)}
    return "p.outcome" if "outcome" in names else "p.settled"


def _of(tables: SyncTables, kind: str, sync: str) -> Relation:
    return relation_of(tables.warehouse, kind, sync)
