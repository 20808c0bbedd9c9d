"""`links__<sync>`: one row per link that the model wants and that we made, found there or were about to make.
`comparison` holds it against the model.

A link is identified by all of key, to_sync, type, to_key, from_id and to_id: where an id changes it is another link.
Its `state`:

linked               stands there, as far as we know
linking, unlinking   durable before a request leaves: after a crash the link is in doubt
moved                its record has another id today: what stands on the new pair is read before anything is sent
rejected             refused: waits until an id changes, somebody asks for it, or it is tried again (`refused`)
accepted             a person removed it there and `drift --accept` leaves it so, or chose another where a record has
                     only one of this kind; until an id changes or somebody asks for the links of that record

`ours`: this kind of link did not stand on this pair before us, so it is ours to remove. `alone`: nothing tied the two
before us, so what our kind brought along is ours too. Both are read from the destination before a link is made. Rows of
an earlier version have neither: they count as ours, and not alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from revetl.model import Outcome
from revetl.state import snapshot
from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.warehouse.sql import ident, literal, table

if TYPE_CHECKING:
    import pyarrow as pa

# May stand there: made, or on the way there or away.
MAY_STAND = "state IN ('linked', 'linking', 'unlinking', 'moved')"
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
    ("ours", "BOOLEAN"),
    ("alone", "BOOLEAN"),
    ("error_code", "VARCHAR"),  # why it was refused when it was last sent
    ("in_row", "BOOLEAN"),  # whether the cause lies in the row
    ("tries", "BIGINT"),  # how often it was refused
    ("next_try", "TIMESTAMP"),
)
_FOUND = (
    ("ordinal", "BIGINT"),
    ("ours", "BOOLEAN"),
    ("alone", "BOOLEAN"),
    ("state", "VARCHAR"),
)
_RESULTS = (
    ("ordinal", "BIGINT"),
    ("status", "VARCHAR"),
    ("error_class", "VARCHAR"),
    ("error_code", "VARCHAR"),
    ("error_message", "VARCHAR"),
    ("in_row", "BOOLEAN"),
    ("attempts", "INTEGER"),
)


@dataclass(slots=True)
class LinkCounts:
    """Of one comparison, in links."""

    link: int = 0  # to be made
    unlink: int = 0  # to be removed
    waiting: int = 0  # for a record that is not at the destination
    known: int = 0  # stand in the table
    again: int = 0  # among those to be made: were refused before
    refused: dict[str, int] = field(default_factory=dict)  # error code → refused before, and not tried now
    left: int = 0  # stand there, and `associate` does not name their kind any more
    standing: int = 0  # went along to another id, or stood there already: only remembered
    kept: int = 0  # a person chose another on the record that has another id today: left so
    reads: int = 0  # requests to see where ids of ours lead today, and what stands there: of the plan, and of its run

    @property
    def changes(self) -> int:
        return self.link + self.unlink

    @property
    def said(self) -> bool:
        """Whether a plan has anything to say of links."""
        return bool(self.changes or self.waiting or self.refused or self.left or self.standing or self.kept)


@dataclass(frozen=True, slots=True)
class LinkLine:
    """One line of the comparison, in the order in which they are sent: removals first. Of one that is to be made,
    `ours` and `alone` are what rows of ours say of this kind on the pair, before the destination is asked;
    `alone_by_another`: a row of another kind says that nothing tied the two before it. `in_doubt`: an earlier request
    for it may have arrived, or may still arrive. `moved`: a record of the pair got another id, and nobody has changed
    the link in the model."""

    ordinal: int
    op: str
    object: str
    type: int
    from_id: str
    to_id: str
    ours: bool
    alone: bool
    alone_by_another: bool
    in_doubt: bool
    moved: bool


class FoundLink(NamedTuple):
    """What a row is to remember of a link that is about to be made, and the state that it has until then."""

    ordinal: int
    ours: bool
    alone: bool
    state: str


class MovedEnd(NamedTuple):
    """One end of links that we hold to stand, whose record has another id today. `side`: the column of the table.
    `gone`: nothing stands under the old id, so its links are gone as well; else it leads to the new one."""

    side: str
    object: str
    before: str
    now: str
    gone: bool = False


def prepare(tables: SyncTables) -> None:
    """Makes the table, or gives one of an earlier version the columns that it lacks. Safe to repeat."""
    create_table(tables.warehouse, tables.relation("links"), _COLUMNS)
    present = {c.name for c in tables.warehouse.columns(tables.relation("links"))}
    for name, type_ in _COLUMNS:
        if name not in present:
            tables.warehouse.execute(f"ALTER TABLE {tables.links} ADD COLUMN {ident(name)} {type_}")


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
    """(key, destination_id) of a sync's records, as a subquery. `planned`: a line of its present plan that found the
    record under another id says which. A line that was applied already, and may be old, has left its hash in the
    snapshot."""
    known = snapshot_of(tables, sync)
    plan = relation_of(tables.warehouse, "plan", sync)
    names = {c.name for c in tables.warehouse.columns(plan)} if planned else set()
    if not {"destination_id", "outcome", "row_hash"} <= names:
        return f"(SELECT key, destination_id FROM {known})"
    fresh = "TRUE" if sync == tables.spec.name else "p.row_hash IS DISTINCT FROM n.row_hash"
    return f"""(
            SELECT n.key, coalesce(p.destination_id, n.destination_id) AS destination_id
            FROM {known} n
            LEFT JOIN {table(plan)} p
                ON p.key = n.key AND p.op = 'update' AND coalesce(p.outcome, 'ok') = 'ok' AND {fresh}
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


def forget(tables: SyncTables) -> int:
    """Drops the rows that need no request: links that are not ours or were refused, and are wanted no more, and those
    that are wanted for another row. What a row that goes knew of a pair, the row that comes in its place takes over in
    the same transaction. Returns how many lines of the comparison that were; those after them are sent."""
    links, plan = tables.links, tables.scratch("linkplan")
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            INSERT INTO {links} (key, to_sync, to_key, type, from_id, to_id, state, ours, alone)
            SELECT p.key, p.to_sync, p.to_key, p.type, p.from_id, p.to_id, 'linking', p.ours, p.alone
            FROM {plan} p
            WHERE p.op = 'link' AND p.ours
                AND NOT EXISTS (SELECT 1 FROM {links} r WHERE {same("p", "r")})
            """
        )
        tables.warehouse.execute(
            f"""
            DELETE FROM {links}
            WHERE EXISTS (SELECT 1 FROM {plan} p WHERE p.op = 'forget' AND {same("p", links)})
            """
        )
    return tables.warehouse.scalar(f"SELECT count(*) FROM {plan} WHERE op = 'forget'", int)


def lines(tables: SyncTables, low: int, high: int) -> list[LinkLine]:
    found: list[Any] = tables.warehouse.rows(
        f"""
        SELECT {", ".join(f.name for f in fields(LinkLine))}
        FROM {tables.scratch("linkplan")}
        WHERE ordinal >= ? AND ordinal < ?
        ORDER BY ordinal
        """,
        [low, high],
    )
    return [LinkLine(*line) for line in found]


def moved_lines(tables: SyncTables) -> list[LinkLine]:
    """Those to be made that may stand there already, since an id moved."""
    found: list[Any] = tables.warehouse.rows(
        f"""
        SELECT {", ".join(f.name for f in fields(LinkLine))}
        FROM {tables.scratch("linkplan")}
        WHERE op = 'link' AND moved
        ORDER BY ordinal
        """
    )
    return [LinkLine(*line) for line in found]


def intend(tables: SyncTables, low: int, high: int, run_id: str, found: Sequence[FoundLink]) -> None:
    """Before any of these lines is sent: after a crash they are in doubt. `found`: one for each line that is to be
    made."""
    links, execute = tables.links, tables.warehouse.execute
    tables.new_scratch("linkfound", f"({', '.join(f'{name} {type_}' for name, type_ in _FOUND)})")
    if found:
        tables.warehouse.append(tables.scratch_relation("linkfound"), _found_as_arrow(found))
    stretch = f"SELECT * FROM {tables.scratch('linkplan')} WHERE ordinal >= ? AND ordinal < ?"
    with tables.warehouse.transaction():
        execute(
            f"""
            UPDATE {links}
            SET state = 'unlinking', run_id = ?
            FROM ({stretch}) p
            WHERE p.op = 'unlink' AND {same("p", links)}
            """,
            [run_id, low, high],
        )
        execute(
            f"""
            DELETE FROM {links}
            WHERE EXISTS (SELECT 1 FROM ({stretch}) p WHERE p.op = 'link' AND {same("p", links)})
            """,
            [low, high],
        )
        execute(
            f"""
            INSERT INTO {links} (
                key, to_sync, to_key, type, from_id, to_id, state, synced_at, run_id, ours, alone, tries
            )
            SELECT
                p.key, p.to_sync, p.to_key, p.type, p.from_id, p.to_id, f.state, NULL, ?, f.ours, f.alone, p.tries
            FROM ({stretch}) p
            JOIN {tables.scratch("linkfound")} f ON f.ordinal = p.ordinal
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
        SELECT p.*, r.status, r.error_class, r.error_code, r.error_message, r.in_row, r.attempts
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
        SET state = 'linked', synced_at = ?, tries = NULL
        FROM ({answered}) p
        WHERE p.op = 'link' AND p.status IN ('ok', 'accepted') AND {same("p", links)}
        """,
        [now],
    )
    next_try, times = snapshot.next_try_after(f"{links}.tries", now)
    execute(
        f"""
        UPDATE {links}
        SET
            state = CASE WHEN p.op = 'link' THEN 'rejected' ELSE 'unlinking' END,
            synced_at = ?,
            error_code = coalesce(p.error_code, p.error_class, 'REJECTED'),
            in_row = p.in_row,
            tries = coalesce({links}.tries, 0) + 1,
            next_try = {next_try}
        FROM ({answered}) p
        WHERE p.status IN ('rejected', 'skipped') AND {links}.state <> 'accepted' AND {same("p", links)}
        """,
        [now, *times],
    )
    execute(
        f"""
        DELETE FROM {links}
        WHERE EXISTS (
            SELECT 1
            FROM ({answered}) p
            WHERE p.op = 'unlink' AND p.status IN ('ok', 'accepted') AND {same("p", links)}
        )
        """
    )


def prepare_results(tables: SyncTables) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    tables.new_scratch("linkresults", f"({columns})")


def targets(tables: SyncTables) -> list[str]:
    """The syncs that this one links to."""
    return list(dict.fromkeys(a.to for a in tables.spec.associate))


def snapshot_of(tables: SyncTables, sync: str) -> str:
    return table(relation_of(tables.warehouse, "snapshot", sync))


def has_run(tables: SyncTables, sync: str) -> bool:
    """Whether that sync has ever run. One that has not says nothing of what is gone."""
    return bool(tables.warehouse.columns(relation_of(tables.warehouse, "snapshot", sync)))


def same(one: str, other: str) -> str:
    """Whether two rows are about one link."""
    return " AND ".join(f"{one}.{c} = {other}.{c}" for c in IDENTITY)


def _found_as_arrow(found: Sequence[FoundLink]) -> pa.Table:
    import pyarrow as pa

    ordinals, ours, alone, states = zip(*found, strict=True)
    columns = {"ordinal": pa.array(ordinals, pa.int64()), "ours": pa.array(ours, pa.bool_())}
    return pa.table(columns | {"alone": pa.array(alone, pa.bool_()), "state": pa.array(states, pa.string())})


def _as_arrow(done: Sequence[Outcome]) -> pa.Table:
    import pyarrow as pa

    columns: list[tuple[str, Any, list[Any]]] = [
        ("ordinal", pa.int64(), [o.ordinal for o in done]),
        ("status", pa.string(), [o.status.value for o in done]),
        ("error_class", pa.string(), [o.error_class for o in done]),
        ("error_code", pa.string(), [o.error_code for o in done]),
        ("error_message", pa.string(), [o.message for o in done]),
        ("in_row", pa.bool_(), [o.in_row for o in done]),
        ("attempts", pa.int32(), [o.attempts for o in done]),
    ]
    return pa.table({name: pa.array(values, type_) for name, type_, values in columns})
