"""The records at both ends of links that are about to be sent, read back: people may have merged one into another since
its row was last sent, and an unchanged row is read by nothing else.

What is found is remembered where ids that lead elsewhere are (`references.references_table`): `record_ids` takes it
from there, and our links follow to the record that is left (`following`). An id under which nothing stands is sent as
it is, so that the destination's refusal waits by name; the link that it was to take the place of is then not removed
(`comparison`).

The destination is away → the error leaves as it is, and nothing was sent. Safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ReadsBack
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.links.links_table import has_run, snapshot_of
from revetl.sync.readback import read_by_id
from revetl.sync.references import references_table
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import literal


async def learn(run: SyncRun, destination: Destination) -> bool:
    """After a comparison. Whether one of the ids leads to another record today, or to none where a link was to be made,
    so that it has to be compared again. What the present plan writes was read by it. Memory holds one chunk."""
    if not isinstance(destination, ReadsBack):
        return False
    await run.on_tables(references_table.prepare)
    changed = False
    for end in _ends(run.spec):
        await run.on_tables(_choose, end)
        low = 0
        while ids := await run.on_tables(references_table.chosen, low):
            if not low:
                await destination.describe(end.object)
            stands = await read_by_id(destination, end.object, ids, [])
            led = {id_: stands[id_].destination_id for id_ in ids if id_ in stands}
            led = {id_: now for id_, now in led.items() if now != id_}
            if led:
                await run.on_tables(_remember, end, led)
            gone = [] if end.own else [id_ for id_ in ids if id_ not in stands]
            if gone:
                await run.on_tables(_note_gone, end, gone)
            changed |= bool(led or gone)
            low += references_table.CHUNK_ROWS
        await run.on_tables(SyncTables.drop_scratch, "named")
    return changed


async def requests(run: SyncRun, destination: Destination) -> int:
    """How many `learn` takes for what was compared last."""
    if not isinstance(destination, ReadsBack):
        return 0
    total = 0
    for end in _ends(run.spec):
        ids = await run.on_tables(_count, end)
        total += -(-ids // destination.limits(end.object).read_rows)
    return total


class _End(NamedTuple):
    """The records of one sync, or those that are looked up by a field. `own`: those that are linked, not linked to."""

    sync: str
    object: str
    own: bool = False
    looked_up: bool = False


def _ends(spec: SyncSpec) -> list[_End]:
    others = {a.to: _End(a.to, a.object, looked_up=a.match_on is not None) for a in spec.associate}
    return [_End(spec.name, spec.object, own=True), *others.values()]


def _choose(tables: SyncTables, end: _End) -> None:
    """Puts the ids to be read into the scratch table `named`. Of ids that the sync has no more nothing is kept."""
    if not end.looked_up and has_run(tables, end.sync):
        ids = f"SELECT s.destination_id FROM {snapshot_of(tables, end.sync)} s WHERE s.destination_id IS NOT NULL"
        with tables.warehouse.transaction():
            tables.warehouse.execute(
                f"""
                DELETE FROM {tables.references}
                WHERE target = {literal(end.sync)} AND value NOT IN ({ids})
                """
            )
    references_table.choose(tables, _ids(tables, end))


def _count(tables: SyncTables, end: _End) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) FROM ({_ids(tables, end)}) i", int)


def _ids(tables: SyncTables, end: _End) -> str:
    """A SELECT of `value`: the ids at this end of the links that are to be sent."""
    sent = f"FROM {tables.scratch('linkplan')} l WHERE l.op <> 'forget'"
    if end.own:
        read = f"SELECT p.key FROM {tables.plan} p WHERE coalesce(p.outcome, 'ok') = 'ok'"
        return f"SELECT DISTINCT l.from_id AS value {sent} AND l.key NOT IN ({read})"
    return f"SELECT DISTINCT l.to_id AS value {sent} AND l.to_sync = {literal(end.sync)}"


def _note_gone(tables: SyncTables, end: _End, gone: Sequence[str]) -> None:
    import pyarrow as pa  # where it is used: completion reads this module's neighbours

    rows = {"to_sync": pa.array([end.sync] * len(gone), pa.string()), "id": pa.array(gone, pa.string())}
    tables.warehouse.append(tables.scratch_relation("linkends"), pa.table(rows))


def _remember(tables: SyncTables, end: _End, led: Mapping[str, str]) -> None:
    """`led`: id → the id of the record that it leads to."""
    if not end.looked_up:
        references_table.remember(tables, end.sync, [*led], led)
        return
    with tables.warehouse.transaction():  # these are remembered by the value that they were looked up by
        for id_, now in led.items():
            tables.warehouse.execute(
                f"""
                UPDATE {tables.references}
                SET destination_id = ?
                WHERE target = {literal(end.sync)} AND destination_id = ?
                """,
                [now, id_],
            )
