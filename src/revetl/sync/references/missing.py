"""Records that columns name by a value, of fields and of links, and that are not there: counted for reports, and listed
with the value that nothing was found for. Reads the warehouse only.

Values are data of people: they are shown where data is shown, and stand in no log and in no message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from revetl.state.sync_tables import SyncTables, named_by
from revetl.warehouse.sql import ident

REFERENCE_MISSING = "REFERENCE_MISSING"  # begins the reasons of fields and of links in `runs.waiting`
_NOTHING = "SELECT CAST(NULL AS VARCHAR) AS key, CAST(NULL AS VARCHAR) AS destination_id"
_KEYS = 3


@dataclass(frozen=True, slots=True)
class MissingReference:
    """A value for which nothing was found. `among`: where it was looked for, `owners by email` or the name of a sync.
    `link`: a link waits for it, else a field is withheld. `records`: how many name it; `keys`: a few of them, the
    smallest."""

    column: str
    among: str
    value: str
    link: bool
    records: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Naming:
    """A column that names records. `value` and `ids` are SQL: of a row `m` of the model, and (key, destination_id) of
    what was found. `kinds`: how many links there are to each."""

    column: str
    among: str
    value: str
    ids: str
    kinds: int = 0


def of_fields(tables: SyncTables, *, standing: bool = False) -> dict[str, int]:
    """Field → rows of the model that name a record which is not there, so that the field is withheld. `standing`: only
    rows whose own record stands at the destination."""
    return {n.column: rows for n in _by_fields(tables) if (rows := _count(tables, n, standing=standing))}


def of_links(tables: SyncTables, *, standing: bool = False) -> dict[str, int]:
    """Column → links whose other record was looked for by a field and is not there. `standing` as of `of_fields`."""
    found = dict[str, int]()
    for naming in _by_links(tables):
        if rows := _count(tables, naming, standing=standing):
            found[naming.column] = found.get(naming.column, 0) + rows * naming.kinds
    return found


def listed(tables: SyncTables, *, most_values: int) -> list[MissingReference]:
    """Of rows whose own record stands at the destination, for each column the values that most records name; at most
    so many of each."""
    found = []
    for naming in (*_by_fields(tables), *_by_links(tables)):
        lacking = _lacking(tables, naming, standing=True)
        values = tables.warehouse.rows(
            f"""
            SELECT value, count(*)
            FROM ({lacking}) w
            GROUP BY value
            ORDER BY 2 DESC, 1
            LIMIT {int(most_values)}
            """
        )
        for value, records in values:
            keys = tables.warehouse.rows(
                f"""
                SELECT key
                FROM ({lacking}) w
                WHERE value = ?
                ORDER BY key
                LIMIT {_KEYS}
                """,
                [value],
            )
            named = tuple(str(key) for (key,) in keys)
            number = int(str(records))
            found.append(MissingReference(naming.column, naming.among, str(value), bool(naming.kinds), number, named))
    return found


def _by_fields(tables: SyncTables) -> Iterator[_Naming]:
    for f in tables.fields:
        if (reference := f.references) is not None:
            among = reference.to or f"{reference.object} by {reference.match_on}"
            yield _Naming(f.name, among, tables.named_by(f, "m"), tables.ids_of(f) or _NOTHING)


def _by_links(tables: SyncTables) -> Iterator[_Naming]:
    """Links to records of another sync are not among them: they wait for its runs."""
    looked_up = [a for a in tables.spec.associate if a.match_on is not None]
    found_any = bool(looked_up) and bool(tables.warehouse.columns(tables.relation("references")))
    for by, to in dict.fromkeys((a.by, a.to) for a in looked_up):
        these = [a for a in looked_up if (a.by, a.to) == (by, to)]
        ids = tables.looked_up(to) if found_any else _NOTHING
        value = named_by(f"m.{ident(by)}")
        yield _Naming(by, f"{these[0].object} by {these[0].match_on}", value, ids, len({a.type for a in these}))


def _lacking(tables: SyncTables, naming: _Naming, *, standing: bool) -> str:
    joined = f"JOIN {tables.snapshot} n ON n.key = {tables.source_key('m')} AND n.destination_id IS NOT NULL"
    return f"""
        SELECT {tables.source_key("m")} AS key, {naming.value} AS value
        FROM {tables.model} m
        {joined if standing else ""}
        LEFT JOIN ({naming.ids}) i ON i.key = {naming.value}
        WHERE {naming.value} IS NOT NULL AND i.destination_id IS NULL
        """


def _count(tables: SyncTables, naming: _Naming, *, standing: bool) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) FROM ({_lacking(tables, naming, standing=standing)}) w", int)
