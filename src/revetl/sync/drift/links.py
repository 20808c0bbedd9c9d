"""Drift of links: those that the model wants and that we made, or found there, and that do not stand at the
destination any more. Other links of people are theirs and never looked at. Reads only; the findings join those of the
records in `drift__<sync>`. Such a row speaks of no field: `ours_last` is `<sync>: <key>` of the other record, `value`
its id.

The destination is away → the error leaves as it is, and nothing was changed. A record that is missing or merged is told
once, as a record: its links are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from revetl.destinations.base import Destination
from revetl.state.sync_tables import SyncTables
from revetl.sync.drift import findings
from revetl.sync.drift.findings import UNLINKED, DriftFinding
from revetl.sync.links import links_table
from revetl.sync.links.reading import links_by_id
from revetl.sync.readback import CHUNK_ROWS
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import literal


class LinkOfOurs(NamedTuple):
    """One link that we made, or found there, and that is held to stand."""

    key: str
    to_sync: str
    to_key: str
    from_id: str
    to_id: str


async def compare(run: SyncRun, destination: Destination, keys: Sequence[str]) -> int:
    """Adds a finding for every link of ours that was removed there. Call after the records were compared; returns how
    many links were read back. Memory holds one chunk."""
    spec, read = run.spec, 0
    for to_object, type_ in sorted({(a.object, a.type) for a in spec.associate}):
        to_syncs = sorted({a.to for a in spec.associate if (a.object, a.type) == (to_object, type_)})
        total = await run.on_tables(_prepare, to_syncs, type_, keys)
        for low in range(0, total, CHUNK_ROWS):
            ours = await run.on_tables(_stretch, low, low + CHUNK_ROWS)
            ids = list(dict.fromkeys(link.from_id for link in ours))
            standing = await links_by_id(destination, spec.object, to_object, ids)
            gone = [link for link in ours if type_ not in standing.get(link.from_id, {}).get(link.to_id, ())]
            await run.on_tables(findings.append, [_finding(link) for link in gone])
        read += total
    return read


def _prepare(tables: SyncTables, to_syncs: Sequence[str], type_: int, keys: Sequence[str]) -> int:
    """Puts into a scratch table the links of this kind that we made and hold to stand, of records that were found in
    their place; returns how many."""
    links_table.prepare(tables)
    chosen = f"AND l.key IN ({', '.join(map(literal, keys))})" if keys else ""
    tables.new_scratch(
        "madelinks",
        f"""
        AS SELECT CAST(row_number() OVER (ORDER BY l.from_id, l.to_id) - 1 AS BIGINT) AS ordinal, l.*
        FROM {tables.links} l
        WHERE l.state = 'linked'
            AND l.type = {int(type_)}
            AND l.to_sync IN ({", ".join(map(literal, to_syncs))})
            {chosen}
            AND NOT EXISTS (
                SELECT 1
                FROM {tables.drift} f
                WHERE f.key = l.key AND f.field IS NULL AND f.class <> '{UNLINKED}'
            )
        """,
    )
    return tables.warehouse.scalar(f"SELECT count(*) FROM {tables.scratch('madelinks')}", int)


def _stretch(tables: SyncTables, low: int, high: int) -> list[LinkOfOurs]:
    found: list[Any] = tables.warehouse.rows(
        f"""
        SELECT {", ".join(LinkOfOurs._fields)}
        FROM {tables.scratch("madelinks")}
        WHERE ordinal >= ? AND ordinal < ?
        ORDER BY ordinal
        """,
        [low, high],
    )
    return [LinkOfOurs(*row) for row in found]


def _finding(link: LinkOfOurs) -> DriftFinding:
    other = f"{link.to_sync}: {link.to_key}"
    return DriftFinding(link.key, link.from_id, None, other, other, None, UNLINKED, value=link.to_id)
