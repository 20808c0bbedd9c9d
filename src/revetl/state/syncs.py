"""`syncs`: what each sync was when it last ran, and whether it was disconnected.

A sync is declared in the project. Its state outlives that file, so whoever leaves a destination after the file is gone
finds here where the records went. No two runs write one sync's row: it is written under the sync's lease.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from revetl.clock import naive
from revetl.model import Scalar, SyncSpec
from revetl.state.schema import create_all, relation
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_DECLARED = ("destination", "object", "match_on", "key_property", "links", "metadata", "nested")


@dataclass(frozen=True, slots=True)
class RememberedSync:
    """One row. `links`: (sync or look-up, type, object) of each kind of link. `metadata`: fields that tell of the run.
    `nested`: fields whose text is JSON. `disconnect_at`: a disconnect began, so nothing is sent; `disconnected_at`: it
    came to its end. `began_anew_after`: it was connected again after such an end, and what its runs did until then is
    of an earlier life. All aware, UTC."""

    sync: str
    destination: str
    object: str
    match_on: str | None
    key_property: str | None
    links: tuple[tuple[str, int, str], ...] = ()
    metadata: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    disconnect_at: datetime | None = None
    disconnected_at: datetime | None = None
    began_anew_after: datetime | None = None


def remember(tables: SyncTables, known: RememberedSync | None, run_id: str) -> None:
    """As the sync is now; `known`: as it was. Safe to repeat; writes only where something differs. Call under the
    sync's lease."""
    warehouse, now = tables.warehouse, as_declared(tables.spec, tables.json_names)
    if _row(known) == _row(now):
        return
    with warehouse.transaction():
        _write(warehouse, now, run_id)
        if known is not None and known.began_anew_after is not None:
            _set(warehouse, now.sync, "began_anew_after = ?", [naive(known.began_anew_after)])


def as_declared(spec: SyncSpec, nested: Iterable[str] = ()) -> RememberedSync:
    """What would be remembered of it."""
    return RememberedSync(
        spec.name,
        spec.destination,
        spec.object,
        spec.match_on,
        spec.key_property,
        tuple(sorted({(a.to, a.type, a.object) for a in spec.associate})),
        tuple(sorted(spec.metadata)),
        tuple(sorted(nested)),
    )


def read(warehouse: Warehouse, sync: str) -> RememberedSync | None:
    """None where it never ran, or ran last with an earlier version."""
    return next(iter(_select(warehouse, "WHERE sync = ? ORDER BY run_id DESC", [sync])), None)


def of_object(warehouse: Warehouse, destination: str, object_: str) -> list[RememberedSync]:
    """Every sync that last wrote this object of this destination, by name."""
    rows = _select(warehouse, "WHERE destination = ? AND object = ?", [destination, object_])
    return sorted(rows, key=lambda row: row.sync)


def names(warehouse: Warehouse) -> list[str]:
    """Every sync that is remembered."""
    return sorted({row.sync for row in _select(warehouse, "", [])})


def disconnected(warehouse: Warehouse, among: Iterable[str]) -> dict[str, datetime]:
    """Of these syncs, those of which nothing is sent any more, since when."""
    rows = _select(warehouse, "WHERE disconnect_at IS NOT NULL", [])
    wanted = frozenset(among)
    return {row.sync: row.disconnect_at for row in rows if row.sync in wanted and row.disconnect_at is not None}


def begin_disconnect(warehouse: Warehouse, known: RememberedSync, run_id: str, now: datetime) -> None:
    """From here on no run sends anything of it. Safe to repeat."""
    with warehouse.transaction():
        if read(warehouse, known.sync) is None:
            _write(warehouse, known, run_id)
        _set(warehouse, known.sync, "disconnect_at = coalesce(disconnect_at, ?)", [naive(now)])


def end_disconnect(warehouse: Warehouse, sync: str, now: datetime) -> None:
    """Its state is gone. Safe to repeat."""
    _set(warehouse, sync, "disconnected_at = ?", [naive(now)])


def reconnect(warehouse: Warehouse, sync: str) -> None:
    """Runs may send it again. Where its state is gone it begins anew. Safe to repeat."""
    create_all(warehouse)  # an earlier version made the table without the column
    again = "began_anew_after = coalesce(disconnected_at, began_anew_after)"
    _set(warehouse, sync, f"disconnect_at = NULL, disconnected_at = NULL, {again}", [])


def _write(warehouse: Warehouse, now: RememberedSync, run_id: str) -> None:
    syncs = table(relation(warehouse, "syncs"))
    warehouse.execute(f"DELETE FROM {syncs} WHERE sync = ?", [now.sync])
    warehouse.execute(
        f"""
        INSERT INTO {syncs} (sync, {", ".join(_DECLARED)}, run_id)
        VALUES (?, {", ".join("?" for _ in _DECLARED)}, ?)
        """,
        [now.sync, *_row(now), run_id],
    )


def _set(warehouse: Warehouse, sync: str, assignments: str, params: list[Scalar]) -> None:
    warehouse.execute(
        f"""
        UPDATE {table(relation(warehouse, "syncs"))}
        SET {assignments}
        WHERE sync = ?
        """,
        [*params, sync],
    )


def _row(sync: RememberedSync | None) -> list[Scalar]:
    if sync is None:
        return []
    lists = [json.dumps(names) for names in (sync.links, sync.metadata, sync.nested)]
    return [sync.destination, sync.object, sync.match_on, sync.key_property, *lists]


def _select(warehouse: Warehouse, where: str, params: list[Scalar]) -> list[RememberedSync]:
    syncs = relation(warehouse, "syncs")
    present = warehouse.columns(syncs)
    if not present:
        return []
    anew = "began_anew_after" if "began_anew_after" in {c.name.lower() for c in present} else "NULL"
    found: list[Any] = warehouse.rows(
        f"""
        SELECT sync, {", ".join(_DECLARED)}, disconnect_at, disconnected_at, {anew}
        FROM {table(syncs)}
        {where}
        """,
        params,
    )
    return [
        RememberedSync(
            sync,
            destination,
            object_,
            match_on,
            key_property,
            tuple((str(to), int(type_), str(of)) for to, type_, of in json.loads(links or "[]")),
            tuple(json.loads(metadata or "[]")),
            tuple(json.loads(nested or "[]")),
            _aware(began),
            _aware(ended),
            _aware(renewed),
        )
        for sync, destination, object_, match_on, key_property, links, metadata, nested, began, ended, renewed in found
    ]


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
