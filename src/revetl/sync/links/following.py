"""Links whose records have another key or another id today: a key inherited a record, records were merged or made anew.
Their rows in `links__<sync>` follow; what stands on the new pair is read before anything is sent (`reading`).

Changes the warehouse only. Safe to repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from revetl.state.sync_tables import SyncTables
from revetl.sync.links.links_table import IDENTITY, MAY_STAND, has_run, snapshot_of, targets
from revetl.sync.links.record_ids import ids_of
from revetl.warehouse.sql import ident, literal


class MovedEnd(NamedTuple):
    """One end of links that we hold to stand, whose record has another id today. `side`: the column of the table.
    `gone`: nothing stands under the old id, so its links are gone as well; else it leads to the new one."""

    side: str
    object: str
    before: str
    now: str
    gone: bool = False


def follow(tables: SyncTables, *, planned: bool = False) -> None:
    """A record that another key inherited takes its links along; links of records that are gone are forgotten, for the
    destination has dropped them itself. `planned`: as the records will be once the present plans are applied. Safe to
    repeat."""
    links, execute = tables.links, tables.warehouse.execute
    with tables.warehouse.transaction():
        for end in _ends(tables, planned):
            execute(
                f"""
                UPDATE {links}
                SET {end.key} = t.key
                FROM {end.records} t
                WHERE t.destination_id = {links}.{end.id} AND {end.gone}
                """
            )
            execute(f"DELETE FROM {links} WHERE {end.gone}")


def follows(tables: SyncTables) -> bool:
    """Whether `follow` would change anything once the present plans are applied."""
    return any(
        tables.warehouse.rows(f"SELECT 1 FROM {tables.links} WHERE {end.gone} LIMIT 1")
        for end in _ends(tables, planned=True)
    )


class _End(NamedTuple):
    """One end of the links: the columns of its key and of its id, its records (to stand before an alias), and which
    rows name one that is not among these."""

    key: str
    id: str
    records: str
    gone: str


def _ends(tables: SyncTables, planned: bool) -> Iterator[_End]:
    def records(sync: str) -> str:
        return ids_of(tables, sync, planned=True) if planned else snapshot_of(tables, sync)

    def gone(key: str, among: str) -> str:
        return f"{tables.links}.{key} NOT IN (SELECT t.key FROM {among} t)"

    own = records(tables.spec.name)
    yield _End("key", "from_id", own, gone("key", own))
    for to in targets(tables):
        if has_run(tables, to):
            theirs = records(to)
            of_sync = f"{tables.links}.to_sync = {literal(to)}"
            yield _End("to_key", "to_id", theirs, f"{of_sync} AND {gone('to_key', theirs)}")


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
