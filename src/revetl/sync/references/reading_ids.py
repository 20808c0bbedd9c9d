"""Ids that columns take from the snapshot of another sync (`references: {to: SYNC}`), read back where its records stand
before they are sent.

That sync reads none of its records while their rows stay equal, so what people merged or archived there it has not
noticed. Read are, by each plan, each id once: those that a row names which is about to be sent, those that were gone
when they were last read, and in a full refresh all. Where no row names anything, no connection is opened.

What is found, and what follows:
- another id answers, the record was merged → that one is sent, and rows that were sent with the old id differ.
- nothing → the record is missing: the field is withheld as for one that was never made.

What can fail here, and what then happens:
- it can't be read back there, or that connection is gone, refused or away → the ids are taken from our snapshot, and
  the plan says so. Of this sync's own destination the error leaves as it is, as of all that a plan reads there.
- the process dies between two batches → what was read is kept; the next plan reads anew.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ReadsBack, requests_of
from revetl.errors import CallError, ConfigError
from revetl.state import syncs
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.state.syncs import RememberedSync
from revetl.sync.readback import read_by_id
from revetl.sync.references import references_table
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import literal, table

log = logging.getLogger("revetl.sync")


async def read_named_ids(run: SyncRun, destination: Destination | None, *, every: bool = False) -> list[str]:
    """Brings what is known of the ids up to date; returns what a plan has to say of it, a sentence each. Sends nothing
    that changes a destination. Safe to repeat. `every`: all that are named are read. Memory is flat."""
    columns: dict[str, list[str]] = {}
    for name, reference in run.spec.references.items():
        if reference.to is not None:
            columns.setdefault(reference.to, []).append(name)
    if not columns or destination is None:
        return []
    await run.on_tables(references_table.prepare)
    notes = []
    for to, names in columns.items():
        if await run.on_tables(_gather, to, names, every):
            why = await _read(run, destination, to)
            if why is not None:
                notes.append(f"{', '.join(names)}: ids are taken from our snapshot of {to}, for {why}")
        await run.on_tables(SyncTables.drop_scratch, "named")
    return notes


async def _read(run: SyncRun, own: Destination, to: str) -> str | None:
    """Reads what was gathered. Returns why that is not possible."""
    other = await run.on_tables(lambda tables: syncs.read(tables.warehouse, to))
    if other is None:
        return "an earlier version made it, and nothing tells where its records stand"
    try:
        async with _connected(run, own, other) as there:
            if not isinstance(there, ReadsBack):
                return f"{other.destination} can't be read back"
            await there.describe(other.object)
            await _read_chunks(run, there, other)
    except (CallError, ConfigError) as e:
        if other.destination == run.spec.destination and isinstance(e, CallError):
            raise
        log.warning("ids not read back", extra={"sync": run.spec.name, "named": to, "error": type(e).__name__})
        return f"{other.destination} could not be read ({type(e).__name__})"
    return None


@asynccontextmanager
async def _connected(run: SyncRun, own: Destination, other: RememberedSync) -> AsyncIterator[Destination]:
    if other.destination == run.spec.destination:
        yield own
        return
    if run.ctx.connect is None:
        raise ConfigError(f"{other.destination}: no connection is at hand")
    async with run.ctx.connect(other.destination) as there:
        yield there


async def _read_chunks(run: SyncRun, there: Destination, other: RememberedSync) -> None:
    before, low = requests_of(there)[0], 0
    while ids := await run.on_tables(references_table.chosen, low):
        stands = await read_by_id(there, other.object, ids, [])
        ids_now = {id_: stands[id_].destination_id if id_ in stands else None for id_ in ids}
        moved = {id_: now for id_, now in ids_now.items() if now != id_}
        await run.on_tables(references_table.remember, other.sync, ids, moved)
        low += references_table.CHUNK_ROWS
    taken = requests_of(there)[0] - before
    log.info("ids read back", extra={"sync": run.spec.name, "named": other.sync, "requests": taken})


def _gather(tables: SyncTables, to: str, columns: Sequence[str], every: bool) -> bool:
    """The ids to be read, each once, into the scratch table `named`. Whether there are any. What is remembered of ids
    that the other sync has no more is forgotten."""
    other = relation_of(tables.warehouse, "snapshot", to)
    if not tables.warehouse.columns(other):
        return False
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            DELETE FROM {tables.references}
            WHERE target = {literal(to)}
                AND value NOT IN (SELECT destination_id FROM {table(other)} WHERE destination_id IS NOT NULL)
            """
        )
    fields = [f for f in tables.fields if f.name in columns]
    named = " UNION ".join(
        f"""
        SELECT {tables.source_key("m")} AS row_key, n.destination_id AS value
        FROM {tables.model} m
        JOIN {table(other)} n ON n.key = {tables.named_by(f, "m")}
        WHERE n.destination_id IS NOT NULL
        """
        for f in fields
    )
    gone = f"SELECT value FROM {tables.references} WHERE target = {literal(to)} AND destination_id IS NULL"
    to_be_sent = references_table.to_be_sent(tables)
    references_table.choose(
        tables,
        f"""
        SELECT DISTINCT v.value
        FROM ({named}) v
        WHERE {"TRUE" if every else f"(v.value IN ({gone}) OR v.row_key IN ({to_be_sent}))"}
        """,
    )
    return bool(references_table.chosen(tables, 0))
