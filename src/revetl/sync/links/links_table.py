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

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    pass

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
    came_back: int = 0  # a saved plan would remove them, and the model names them again: left as they are
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


def prepare(tables: SyncTables) -> None:
    """Makes the table, or gives one of an earlier version the columns that it lacks; and the scratch table `linkends`,
    empty: ids of other records under which nothing stands (`today`). Safe to repeat."""
    create_table(tables.warehouse, tables.relation("links"), _COLUMNS)
    present = {c.name for c in tables.warehouse.columns(tables.relation("links"))}
    for name, type_ in _COLUMNS:
        if name not in present:
            tables.warehouse.execute(f"ALTER TABLE {tables.links} ADD COLUMN {ident(name)} {type_}")
    tables.new_scratch("linkends", "(to_sync VARCHAR, id VARCHAR)")


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


def lines_to_look_at(tables: SyncTables, low: int, most: int) -> list[LinkLine]:
    """At most so many of those to be made, of this ordinal and later ones, which nothing has been decided on yet."""
    found: list[Any] = tables.warehouse.rows(
        f"""
        SELECT {", ".join(f.name for f in fields(LinkLine))}
        FROM {tables.scratch("linkplan")}
        WHERE op = 'link' AND ordinal >= ? AND ordinal NOT IN (SELECT ordinal FROM {tables.scratch("linksleft")})
        ORDER BY ordinal
        LIMIT {int(most)}
        """,
        [low],
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


def targets(tables: SyncTables) -> list[str]:
    """The syncs that this one links to."""
    return list(dict.fromkeys(a.to for a in tables.spec.associate))


def snapshot_of(tables: SyncTables, to: str) -> str:
    """The other records, with `key` and `destination_id`, to stand before an alias: a table, or what look-ups found."""
    if _is_looked_up(tables, to):
        return f"({tables.looked_up(to)})"
    return table(relation_of(tables.warehouse, "snapshot", to))


def has_run(tables: SyncTables, to: str) -> bool:
    """Whether that sync has ever run, or these records were ever looked up. If not, nothing tells what is gone."""
    kept = tables.relation("references") if _is_looked_up(tables, to) else None
    return bool(tables.warehouse.columns(kept or relation_of(tables.warehouse, "snapshot", to)))


def _is_looked_up(tables: SyncTables, to: str) -> bool:
    return any(a.to == to and a.match_on is not None for a in tables.spec.associate)


def same(one: str, other: str) -> str:
    """Whether two rows are about one link."""
    return " AND ".join(f"{one}.{c} = {other}.{c}" for c in IDENTITY)
