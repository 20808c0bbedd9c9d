"""Drift of links: those that we made and that do not stand at the destination any more. Links that people made are
theirs and never looked at. Reads only; the findings join those of the records in `drift__<sync>`.

The destination is away → the error leaves as it is, and nothing was changed. A record that is missing or merged is told
once, as a record: its links are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.base import Destination
from revetl.state.sync_tables import Layout
from revetl.sync.drift import drift_table, links_drift_table
from revetl.sync.drift.links_drift_table import Made
from revetl.sync.links.sending import links_by_id
from revetl.sync.plan.matching import Offload
from revetl.sync.readback import CHUNK_ROWS
from revetl.warehouse.base import Warehouse


async def compare(
    warehouse: Warehouse, layout: Layout, destination: Destination, keys: Sequence[str], offload: Offload
) -> int:
    """Adds a finding for every link of ours that was removed there. Call after the records were compared; returns how
    many links were read back. Memory holds one chunk."""
    spec, read = layout.spec, 0
    for to_object, type_ in sorted({(a.object, a.type) for a in spec.associate}):
        to_syncs = sorted({a.to for a in spec.associate if (a.object, a.type) == (to_object, type_)})
        total = await offload(links_drift_table.prepare, warehouse, layout, to_syncs, type_, keys)
        for low in range(0, total, CHUNK_ROWS):
            rows: list[Made] = await offload(links_drift_table.made, warehouse, layout, low, low + CHUNK_ROWS)
            ids = list(dict.fromkeys(row.from_id for row in rows))
            standing = await links_by_id(destination, (spec.object, to_object, type_), ids)
            gone = [row for row in rows if row.to_id not in standing.get(row.from_id, ())]
            await offload(drift_table.append, warehouse, layout, [links_drift_table.finding(row) for row in gone])
        read += total
    return read
