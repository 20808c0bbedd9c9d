"""Records of other objects that columns name by a field of theirs, found at the destination: (target, value, id) in
`references__<sync>`. From there `SyncTables.source` gives fields their ids, and links find their other side.

Looked up are, by each plan: what has no id yet, what a row that is about to be sent names, and in a full refresh all.
So an id is remembered only for rows that are not sent, and one that a person took to another record is seen before it
is written again.

What can fail here, and what then happens:
- the destination can't be searched, or has no such field → ConfigError; nothing was sent.
- it is away → its error leaves as it is and the run ends; what was found until then is kept.
- nobody has the value → nothing is remembered: the field or the link waits, and the next plan looks again.
- the value is of a person who was erased → it is not asked for, and is as one that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import Scalar, SyncSpec, looked_up_as
from revetl.privacy.suppressions import Suppressions, anybody_erased
from revetl.state.sync_tables import SyncTables, named_by
from revetl.sync.batching import ask_in_batches
from revetl.sync.references import references_table
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident


async def look_up(run: SyncRun, destination: Destination | None, *, every: bool = False) -> None:
    """Brings what is known of the named records up to date. Sends nothing that changes the destination. Safe to repeat.
    `every`: what is known already is looked up too. Memory is flat."""
    if not run.spec.looked_up:
        return
    await run.on_tables(references_table.prepare)
    if destination is None:
        return
    for (object_, match_on), columns in run.spec.looked_up.items():
        able = await _able(run.spec, destination, object_, match_on)
        await run.on_tables(_gather, looked_up_as(object_, match_on), columns, every)
        low = 0
        while chunk := await run.on_tables(references_table.chosen, low):
            values = await run.on_tables(_without_erased, chunk)
            found = await _ask(destination, able, (object_, match_on), values)
            await run.on_tables(references_table.remember, looked_up_as(object_, match_on), values, found)
            low += references_table.CHUNK_ROWS
        await run.on_tables(SyncTables.drop_scratch, "named")


async def _able(spec: SyncSpec, destination: Destination, object_: str, match_on: str) -> LooksUp:
    where = spec.where or f"sync {spec.name}"
    if not isinstance(destination, LooksUp):
        raise ConfigError(Problem(f"{where}: {spec.destination} can't be searched, so no {object_} can be found there"))
    fields = (await destination.describe(object_)).fields
    if match_on not in fields:
        message = f"{where}: {spec.destination} {object_} has no field {match_on!r} to look up by"
        raise ConfigError(Problem(message, hint=did_you_mean(match_on, [*fields])))
    return destination


async def _ask(
    destination: Destination, able: LooksUp, target: tuple[str, str], values: Sequence[str]
) -> dict[str, str]:
    """Value → id, of those that were found."""
    object_, match_on = target
    limits = destination.limits(object_)

    async def ask(batch: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
        return await able.look_up(object_, match_on, batch, [])

    found: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches(values, limits.lookup_rows, limits, ask):
        found.update(answer)
    forms = ((value, destination.normalise(object_, match_on, value)) for value in values)
    return {value: found[form].destination_id for value, form in forms if form in found}


def _gather(tables: SyncTables, target: str, columns: Sequence[str], every: bool) -> None:
    """The values to be looked up, each once, into the scratch table `named`."""
    named = " UNION ".join(
        f"""
        SELECT {tables.source_key("m")} AS row_key, {named_by(f"m.{ident(column)}")} AS value
        FROM {tables.model} m
        """
        for column in columns
    )
    known = f"LEFT JOIN ({tables.looked_up(target)}) i ON i.key = v.value"
    sought = "TRUE" if every else f"(i.destination_id IS NULL OR v.row_key IN ({references_table.to_be_sent(tables)}))"
    references_table.choose(
        tables,
        f"""
        SELECT DISTINCT v.value
        FROM ({named}) v
        {known}
        WHERE v.value IS NOT NULL AND {sought}
        """,
    )


def _without_erased(tables: SyncTables, values: Sequence[str]) -> list[str]:
    """Without those that are the key of a person who was erased, or name her address or profile: nobody asks for her,
    and nothing of her is kept. ConfigError as `plan.suppressed.records`."""
    if not anybody_erased(tables.warehouse):
        return [*values]
    listed = Suppressions.load(tables.warehouse)
    return [value for value in values if not listed.is_erased(value, [value])]
