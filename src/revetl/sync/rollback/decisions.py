"""What of a run is to be taken back: what stands now is read, and each record is decided by it (`judge`). Reads only:
the destination is away, or the process dies → nothing was sent, and the next rollback decides anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp, write_only
from revetl.errors import ConfigError
from revetl.model import RunRecord, Scalar, SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync import shared_records, typed_text, vacated_fields
from revetl.sync.batching import ask_in_batches
from revetl.sync.merged_records import find_foreign
from revetl.sync.readback import CHUNK_ROWS, KnownRow, NormalForms, read_back, read_by_id, require_readable
from revetl.sync.rollback import verdicts
from revetl.sync.rollback.judge import RollbackChoices, RollbackJudge, match_value
from revetl.sync.rollback.shared_verdicts import leave_shared
from revetl.sync.sync_run import SyncRun
from revetl.sync.vacated_fields import VacatedRecord


async def decide(run: SyncRun, destination: Destination, undone: RunRecord, choices: RollbackChoices) -> None:
    """Fills `rollback__<sync>`. Reads from the destination, writes nothing to it. Safe to repeat."""
    spec, tables = run.spec, run.tables
    await _refuse_events(destination, spec)
    unseen = write_only(destination)
    if not unseen:
        await require_readable(destination, spec)
    await run.on_tables(verdicts.prepare)
    total = await run.on_tables(verdicts.count_written, undone.run_id, choices.keys)
    chunks = await run.on_tables(verdicts.written_by, undone.run_id, choices.keys, batch_rows=CHUNK_ROWS)
    described = (await destination.describe(spec.object)).fields
    judge = RollbackJudge(tables, NormalForms(destination, tables), undone, choices, described)
    repeatable = destination.idempotent(spec.object, spec.match_on)
    names = [f.name for f in tables.fields]
    others = await run.on_tables(shared_records.others)
    vacatable = [name for name, there in described.items() if there.vacatable]
    vacated = await run.on_tables(vacated_fields.of_run, undone.run_id, vacatable)
    meter, done = run.ctx.progress("reading"), 0
    async for rows, stands in read_back(chunks, destination, spec.object, names, offload=run.ctx.offload):
        rows = [_with_vacated(row, vacated.get(row["key"])) for row in rows]
        if unseen:
            found = [v for row in rows for v in judge.unseen(row, repeatable)]
        else:
            by_value = await look_for(tables, destination, rows)
            foreign = await find_foreign(run, [*stands.values(), *by_value.values()])
            found = [v for row in rows for v in judge.record(row, stands.get(row["destination_id"]), by_value, foreign)]
        found = await run.on_tables(leave_shared, others, found, fields=False)
        await run.on_tables(verdicts.append, found)
        done += len(rows)
        if meter:
            meter(done, total)


def _with_vacated(row: KnownRow, record: VacatedRecord | None) -> KnownRow:
    """The row with what we emptied in the record, and with what stood before the run in place of such an emptiness."""
    if record is None:
        return {**row, "vacated": {}}
    earlier = (
        row["earlier"]
        if row["op"] != "update"
        else json.dumps({**typed_text.load(row["earlier"]), **record.before}, default=str)
    )
    return {**row, "earlier": earlier, "vacated": record.fields}


async def _refuse_events(destination: Destination, spec: SyncSpec) -> None:
    """ConfigError where what was sent are events. Learns the fields, which `normalise` leans on."""
    if (await destination.describe(spec.object)).kind == "events":
        message = f"{spec.where or spec.name}: {spec.destination} {spec.object} are events: they are only added"
        raise ConfigError(message, hint="What was sent can't be taken back from here.")


async def look_for(tables: SyncTables, destination: Destination, rows: Sequence[KnownRow]) -> dict[str, RecordMatch]:
    """Records that can only be asked for by their `match_on` value: creates that never got an id, and what the run
    archived. By the value in the destination's form."""
    match_on = tables.spec.match_on
    if match_on is None:
        return {}
    values = [
        v for row in rows if row["op"] == "delete" or row["destination_id"] is None if (v := match_value(row, match_on))
    ]
    if not values or not isinstance(destination, LooksUp):
        return {}
    able, object_, names = destination, tables.spec.object, [f.name for f in tables.fields]
    limits = destination.limits(object_)

    async def ask(batch: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
        return await able.look_up(object_, match_on, batch, names)

    found: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches(values, limits.lookup_rows, limits, ask):
        found |= answer
    # Only a read by id tells everywhere what was merged into a record.
    read = await read_by_id(destination, object_, list({match.destination_id for match in found.values()}), names)
    return {value: read.get(match.destination_id, match) for value, match in found.items()}
