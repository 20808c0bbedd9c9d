"""Links whose records have another key or another id today: a key inherited a record, records were merged or made anew.
Their rows in `links__<sync>` follow; what stands on the new pair is read before anything is sent (`reading`).

Changes the warehouse only. Safe to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from revetl.state.outcomes import NOT_FOUND
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.sync.links.links_table import IDENTITY, MAY_STAND, has_run, snapshot_of, targets
from revetl.warehouse.sql import ident, literal, table


class MovedEnd(NamedTuple):
    """One end of links that we hold to stand, whose record has another id today. `side`: the column of the table.
    `gone`: nothing stands under the old id, so its links are gone as well; else it leads to the new one."""

    side: str
    object: str
    before: str
    now: str
    gone: bool = False


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
            other_gone = f"to_sync = {literal(to)} AND to_key NOT IN (SELECT t.key FROM {target} t)"
            execute(
                f"""
                UPDATE {links}
                SET to_key = t.key
                FROM {target} t
                WHERE t.destination_id = {links}.to_id AND {links}.{other_gone}
                """
            )
            execute(f"DELETE FROM {links} WHERE {other_gone}")


def moved_ends(tables: SyncTables, *, planned: bool = False) -> list[MovedEnd]:
    """After `follow`. `planned`: as the ids will be once the present plans are applied."""
    kept = f"FROM {tables.links} r JOIN"
    followed = f"(r.{MAY_STAND} OR r.state = 'accepted')"
    rows: list[Any] = tables.warehouse.rows(
        f"""
        SELECT DISTINCT r.from_id, s.destination_id
        {kept} {ids_of(tables, tables.spec.name, planned=planned)} s ON s.key = r.key
        WHERE {followed} AND s.destination_id <> r.from_id
        ORDER BY 1, 2
        """
    )
    ends = [MovedEnd("from_id", tables.spec.object, *row) for row in rows]
    for to, object_ in {a.to: a.object for a in tables.spec.associate}.items():
        if has_run(tables, to):
            rows = list[Any](
                tables.warehouse.rows(
                    f"""
                SELECT DISTINCT r.to_id, s.destination_id
                {kept} {ids_of(tables, to, planned=planned)} s ON s.key = r.to_key
                WHERE r.to_sync = {literal(to)} AND {followed} AND s.destination_id <> r.to_id
                ORDER BY 1, 2
                """
                )
            )
            ends += [MovedEnd("to_id", object_, *row) for row in rows]
    return ends


def ids_of(tables: SyncTables, sync: str, *, planned: bool) -> str:
    """(key, destination_id) of a sync's records, as a subquery. A record that waits because nothing stands under its
    id has none: a link to that id would be refused by every run. `planned`: a line of its present plan that found the
    record under another id says which. A line that was applied already, and may be old, has left its hash in the
    snapshot."""
    known = snapshot_of(tables, sync)
    found, line, gone = "NULL", "", []
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
    if not gone:
        return f"(SELECT n.key, coalesce({found}, n.destination_id) AS destination_id FROM {known} n {line})"
    return f"""(
            SELECT n.key, coalesce({found}, CASE WHEN g.key IS NULL THEN n.destination_id END) AS destination_id
            FROM {known} n
            LEFT JOIN ({" UNION ".join(gone)}) g ON g.key = n.key {line}
        )"""


def copy_for_planning(tables: SyncTables) -> SyncTables:
    """The same sync with a copy of its links, for this connection only: what planning does with them changes none."""
    ahead = _LinksAhead(tables.warehouse, tables.spec, tables.fields, tables.by_id)
    tables.new_scratch("linksahead", f"AS SELECT * FROM {tables.links}")
    return ahead


@dataclass(frozen=True, slots=True)
class _LinksAhead(SyncTables):
    @property
    def links(self) -> str:
        return self.scratch("linksahead")


def follow_moved(tables: SyncTables, moved: Sequence[MovedEnd]) -> None:
    """Gives rows the ids that their records have today, to be looked at before anything is sent: who merged may have
    unlinked too, or have chosen another. What was in doubt stays so. A row whose old record is gone knows nothing of
    the new one: what stands there others made. A row that would be there twice goes. Safe to repeat."""
    links = tables.links
    insert = tables.spec.mode == "insert"  # never changes a link that it made
    with tables.warehouse.transaction():
        for end in moved:
            if insert and end.gone:
                continue
            side = ident(end.side)
            syncs = sorted({a.to for a in tables.spec.associate if a.object == end.object})
            of_end = f"{links}.{side} = ?"
            if end.side == "to_id":
                of_end += f" AND {links}.to_sync IN ({', '.join(map(literal, syncs))})"
            others = " AND ".join(f"d.{c} = {links}.{c}" for c in IDENTITY if c != end.side)
            twice = f"EXISTS (SELECT 1 FROM {links} d WHERE {others} AND d.{side} = ?)"
            tables.warehouse.execute(f"DELETE FROM {links} WHERE {of_end} AND {twice}", [end.before, end.now])
            certain = "state IN ('linked', 'accepted')"
            state = "state" if insert else f"CASE WHEN {certain} THEN 'moved' ELSE state END"
            ours = "CASE WHEN state = 'accepted' THEN FALSE ELSE ours END"
            if end.gone:
                state, ours = "'moved'", "FALSE"
            tables.warehouse.execute(
                f"""
                UPDATE {links}
                SET {side} = ?, alone = FALSE, ours = {ours}, state = {state}
                WHERE {of_end} AND ({MAY_STAND} OR state = 'accepted')
                """,
                [end.now, end.before],
            )
