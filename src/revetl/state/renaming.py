"""The state of a sync under another name: taken over after a rename, named where no sync is left that it is of.

Each table is moved by itself and each statement stands by itself, so after a crash anywhere the same call goes on: what
is moved is not there any more. It is called under the leases of both names, before the sync's own tables are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from revetl.errors import GuardrailError
from revetl.model import Relation
from revetl.state.schema import relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

# What holds records, then what can be made anew.
_RECORDS = ("snapshot", "links", "rejected")
_DISPOSABLE = ("plan", "rollback", "drift", "references")
# Tables that name syncs, and the column that does.
_NAMING = (
    ("plans", "sync"),
    ("saved_plans", "sync"),
    ("outcomes", "sync"),
    ("publications", "sync"),
    ("destination_jobs", "sync"),
    ("runs", "subject"),
    ("syncs", "sync"),
    ("saga_runs", "sync"),
)


@dataclass(frozen=True, slots=True)
class OrphanedState:
    """State of a sync that no model declares. `sync`: its name, or as much of it as the tables tell."""

    sync: str
    records: int
    links: int
    tables: tuple[str, ...]


def is_pending(warehouse: Warehouse, old: str) -> bool:
    """Whether there is state of the name `old`."""
    suffix, present = table_suffix(old), warehouse.tables(warehouse.state_schema)
    return any(f"{kind}__{suffix}" in present for kind in (*_RECORDS, *_DISPOSABLE))


def take_over(warehouse: Warehouse, old: str, new: str) -> None:
    """Gives `new` all state of `old`. Safe to repeat, and to repeat after a crash at any point.

    GuardrailError, and nothing moved, where both hold records: which of them is right nobody can say.
    """
    present = warehouse.tables(warehouse.state_schema)
    before, after = table_suffix(old), table_suffix(new)
    for kind in _RECORDS:
        ours, theirs = f"{kind}__{after}", f"{kind}__{before}"
        if theirs in present and ours in present and _rows(warehouse, theirs) and _rows(warehouse, ours):
            raise GuardrailError(
                f"{new}: nothing was sent: {theirs} and {ours} in the schema {warehouse.state_schema} both hold"
                f" records, so {old} can't be taken over"
                f"\nDrop the tables of the one that is not to count, or leave out `renamed_from: {old}`."
            )
    # The names first: as long as a table of the old name is left, a crash makes the next run do all of it again.
    for name, column in _NAMING:
        if name in present:
            _rewrite(warehouse, name, column, old, new)
    for name, columns in present.items():
        if name.startswith("links__") and "to_sync" in columns:  # of the syncs that link to this one
            _rewrite(warehouse, name, "to_sync", old, new)
    for kind in (*_DISPOSABLE, *_RECORDS):
        ours, theirs = f"{kind}__{after}", f"{kind}__{before}"
        if theirs not in present:
            continue
        if ours in present and _rows(warehouse, theirs):
            warehouse.execute(f"DROP TABLE {_at(warehouse, ours)}")
        if ours in present and not _rows(warehouse, theirs):
            warehouse.execute(f"DROP TABLE {_at(warehouse, theirs)}")
        else:
            _rename(warehouse, theirs, ours)


def orphans(warehouse: Warehouse, declared: Iterable[str]) -> list[OrphanedState]:
    """By name. `declared`: every name that a sync has, or is about to take over."""
    present = warehouse.tables(warehouse.state_schema)
    kept = {table_suffix(name) for name in declared}
    suffixes = {
        name.partition("__")[2] for name in present if name.startswith(("snapshot__", "links__", "rejected__"))
    } - kept
    if not suffixes:
        return []
    names = {table_suffix(name): name for name in _named_in_runs(warehouse)}
    found = []
    for suffix in suffixes:
        own = tuple(f"{kind}__{suffix}" for kind in (*_RECORDS, *_DISPOSABLE) if f"{kind}__{suffix}" in present)
        counts = {kind: _rows(warehouse, f"{kind}__{suffix}") for kind in _RECORDS if f"{kind}__{suffix}" in own}
        if any(counts.values()):
            sync = names.get(suffix, suffix)
            found.append(OrphanedState(sync, counts.get("snapshot", 0), counts.get("links", 0), own))
    return sorted(found, key=lambda orphan: orphan.sync)


def links_left(warehouse: Warehouse, orphan: OrphanedState, declared: Iterable[str], targets: Iterable[str]) -> int:
    """How many links that may stand there an orphaned sync made to records of `targets`, or of a sync that is not
    among the `declared` ones either."""
    name = next((name for name in orphan.tables if name.startswith("links__")), None)
    if name is None:
        return 0
    elsewhere = [*(set(declared) - set(targets))]
    of_others = f"AND to_sync NOT IN ({', '.join('?' for _ in elsewhere)})" if elsewhere else ""
    return warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {_at(warehouse, name)}
        WHERE state IN ('linked', 'linking', 'unlinking') {of_others}
        """,
        int,
        elsewhere,
    )


def _named_in_runs(warehouse: Warehouse) -> list[str]:
    found = warehouse.rows(
        f"SELECT DISTINCT subject FROM {table(relation(warehouse, 'runs'))} WHERE subject IS NOT NULL"
    )
    return [str(name) for (name,) in found]


def _rename(warehouse: Warehouse, old: str, new: str) -> None:
    # A bare new name means the session's schema on Snowflake and the table's own on the others, which take no other.
    target = table(relation(warehouse, new)) if warehouse.dialect == "snowflake" else ident(new)
    warehouse.execute(f"ALTER TABLE {_at(warehouse, old)} RENAME TO {target}")


def _rewrite(warehouse: Warehouse, name: str, column: str, old: str, new: str) -> None:
    q = ident(column)
    warehouse.execute(f"UPDATE {_at(warehouse, name)} SET {q} = ? WHERE {q} = ?", [new, old])


def _rows(warehouse: Warehouse, name: str) -> int:
    return warehouse.scalar(f"SELECT count(*) FROM {_at(warehouse, name)}", int)


def _at(warehouse: Warehouse, name: str) -> str:
    place: Relation = relation(warehouse, name)
    return table(place)
