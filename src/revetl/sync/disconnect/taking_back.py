"""What of a sync's records is to be taken back when its destination is left, decided as for a rollback: three texts for
each field, what stood before us, what we last sent, and what stands now. So nothing that a person has edited since is
touched. Reads only, but for `rollback__<sync>`.

The destination is away, or the process dies → nothing was sent, and the next disconnect decides anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from revetl import __version__
from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.destinations.capabilities import write_only
from revetl.errors import ConfigError
from revetl.model import Operation, RunRecord, Status
from revetl.sync import shared_records, typed_text
from revetl.sync.disconnect import inventory
from revetl.sync.disconnect.inventory import Inventory, OurRecord
from revetl.sync.merged_records import find_foreign
from revetl.sync.plan import key_property, multi_select
from revetl.sync.readback import KnownRow, NormalForms, read_by_id, require_readable
from revetl.sync.rollback import verdicts
from revetl.sync.rollback.decisions import look_for
from revetl.sync.rollback.judge import RollbackChoices, RollbackJudge
from revetl.sync.rollback.shared_verdicts import leave_shared
from revetl.sync.rollback.verdicts import RollbackVerdict
from revetl.sync.sync_run import SyncRun

_CLOCK_SKEW = timedelta(minutes=5)
_BEFORE_ALL = datetime(1971, 1, 1, tzinfo=UTC)
STOOD_BEFORE = "stood there before the run that created it began: not archived"


class Leaving(StrEnum):
    """What becomes of what stands there."""

    LEAVE = "leave"
    CLEAR = "clear"  # fields that we wrote get back what stood before us; links that we made are removed
    ARCHIVE = "archive"  # records that we created are archived, where the sync's own fields stand as sent


async def take_stock(run: SyncRun) -> Inventory:
    """Counts what stands there because of us. Asks the destination nothing."""
    found = Inventory()
    chunks = await run.on_tables(inventory.records)
    while (chunk := await run.ctx.offload(next, chunks, None)) is not None:
        for record in chunk:
            found.count(record)
    found.links = await run.on_tables(inventory.count_links)
    return found


async def decide(run: SyncRun, destination: Destination, way: Leaving, metadata: Sequence[str]) -> RunRecord:
    """Fills `rollback__<sync>`, and gives what stands for the run that is taken back: all runs of the sync.
    `metadata`: fields that tell of runs, which are cleared with the rest of a record. ConfigError for events, which
    can't be taken back, and for records that can't be read back. Safe to repeat."""
    spec = run.spec
    schema = await destination.describe(spec.object)
    if schema.kind == "events":
        message = f"{spec.name}: {spec.destination} {spec.object} are events: they are only added"
        raise ConfigError(message, hint="`--leave` leaves them there.")
    if not write_only(destination):
        await require_readable(destination, spec)
    await run.on_tables(verdicts.prepare)
    every = RunRecord(run.ctx.run_id, "disconnect", spec.name, run.ctx.target, _BEFORE_ALL, __version__)
    deciding = _Deciding(run, destination, every, way, schema.fields, metadata)
    meter, done = run.ctx.progress("reading"), 0
    others = await run.on_tables(shared_records.others)
    chunks = await run.on_tables(inventory.records, deciding.same, deciding.shared, deciding.vacatable)
    while (chunk := await run.ctx.offload(next, chunks, None)) is not None:
        found = await deciding.chunk(chunk)
        found = await run.on_tables(leave_shared, others, found, fields=True)
        await run.on_tables(verdicts.append, found)
        done += len(chunk)
        if meter:
            meter(done, done)
    return every


class _Deciding:
    """Chunk after chunk; holds no records."""

    def __init__(
        self,
        run: SyncRun,
        destination: Destination,
        every: RunRecord,
        way: Leaving,
        described: Mapping[str, DestinationField],
        metadata: Sequence[str],
    ) -> None:
        tables = run.tables
        self._run, self._tables, self._destination, self._way = run, tables, destination, way
        self._metadata, self._forms = metadata, NormalForms(destination, tables)
        choices = RollbackChoices(archive_created=True)
        self._judge = RollbackJudge(tables, self._forms, every, choices, described)
        self.shared = multi_select.names(tables.spec, described)
        self.vacatable = [name for name, there in described.items() if there.vacatable]
        self._repeatable = destination.idempotent(tables.spec.object, tables.spec.match_on)
        self._unseen = write_only(destination)
        self._every = every
        self._types = {f.name: f.type for f in tables.fields}
        self._found_by = [n for n in (tables.spec.match_on, tables.spec.key_property) if n is not None]

    def same(self, name: str, one: Any, other: Any) -> bool:
        """Whether two values that outcomes kept are one to the destination."""
        if name not in self._types:  # its column has left the model
            return inventory.same_text(name, one, other)
        return self._form(name, one) == self._form(name, other)

    def _form(self, name: str, kept: Any) -> str:
        try:
            return self._forms.of(name, typed_text.fit(self._types[name], kept))
        except ValueError:  # the column can't hold it: what people wrote there may be anything
            return str(kept)

    async def chunk(self, records: list[OurRecord]) -> list[RollbackVerdict]:
        spec, names = self._tables.spec, [f.name for f in self._tables.fields]
        rows = [(record, row) for record in records if (row := self._row(record)) is not None]
        if self._unseen:
            return [v for _, row in rows for v in self._judge.unseen(row, self._repeatable)]
        ids = list(dict.fromkeys(row["destination_id"] for _, row in rows if row["destination_id"] is not None))
        stands = await read_by_id(self._destination, spec.object, ids, names)
        by_value = await look_for(self._tables, self._destination, [row for _, row in rows])
        foreign = await find_foreign(self._run, [*stands.values(), *by_value.values()])
        keys_there = await self._keys_there(rows)
        found: list[RollbackVerdict] = []
        for record, row in rows:
            match = stands.get(row["destination_id"])
            found += self._of(record, row, match, by_value, foreign, keys_there)
        return found

    def _of(
        self,
        record: OurRecord,
        row: KnownRow,
        match: RecordMatch | None,
        by_value: Mapping[str, RecordMatch],
        foreign: Collection[str],
        keys_there: Collection[str],
    ) -> Iterator[RollbackVerdict]:
        since = record.created_since
        made_at = match.created_at if match is not None else None
        if self._way is Leaving.ARCHIVE and since is not None and made_at is not None and made_at < since - _CLOCK_SKEW:
            yield RollbackVerdict(self._every.run_id, row["key"], row["destination_id"], None, "left", STOOD_BEFORE)
            return
        row = self._with_what_it_is_found_by(record, row, match, keys_there)
        if match is not None:
            row = self._with_what_was_sent(record, row, match)
        for verdict in self._judge.record(row, match, by_value, foreign):
            yield self._with_metadata(verdict)

    def _with_what_it_is_found_by(
        self, record: OurRecord, row: KnownRow, match: RecordMatch | None, keys_there: Collection[str]
    ) -> KnownRow:
        """A record that we made keeps what it is found by; so where we emptied that, it gets it back: our key, unless
        another record has it (`keys_there`), and the `match_on` value that stood there."""
        if self._way is not Leaving.CLEAR or record.created_since is None or match is None:
            return row
        vacated = {n: record.vacated[n] for n in self._found_by if n in record.vacated and not match.fields.get(n)}
        if (name := self._tables.spec.key_property) in vacated and row["key"] not in keys_there:
            vacated[str(name)] = replace(vacated[str(name)], stood=row["key"])
        if not vacated:
            return row
        before = {**json.loads(row["earlier"]), **{n: field.stood for n, field in vacated.items()}}
        return {
            **row,
            "changed_fields": json.dumps([*before]),
            "earlier": json.dumps(before, default=str),
            "vacated": {**record.vacated, **vacated},
        }

    async def _keys_there(self, rows: Sequence[tuple[OurRecord, KnownRow]]) -> Collection[str]:
        """Those of our keys whose field we emptied and that some record has."""
        spec = self._tables.spec
        emptied = [row["key"] for record, row in rows if spec.key_property in record.vacated]
        return await key_property.find(spec, self._destination, emptied, []) or () if emptied else ()

    def _with_what_was_sent(self, record: OurRecord, row: KnownRow, match: RecordMatch) -> KnownRow:
        """The row with what outcomes say that we sent into this record. The snapshot holds more: what a policy kept for
        people, what a record held when it was found again, what was accepted of a drift."""
        written, now = json.loads(row["written"]), dict[str, Any]()
        for i, field in enumerate(self._tables.fields):
            name, sent = field.name, record.sent.get(field.name, [])
            if name in self.shared:  # what was sent holds the options of others; the snapshot does not
                written[name] = now[f"now__{i}"] = multi_select.ours_of(written[name], *sent)
                continue
            stands = self._forms.of(name, match.fields.get(name))
            if stands == "" and name in record.vacated:
                stands = self._form(name, record.vacated[name].stood)  # an emptiness of ours counts as what it emptied
            arrived = [value for value in sent if self._form(name, value) == stands]
            written[name] = (arrived or sent or [None])[-1]
            if (
                name in record.before
                and name != self._tables.spec.match_on
                and not arrived
                and name not in record.vacated
            ):
                now[f"now__{i}"] = None  # what stands there is no later write of ours either
        return {**row, **now, "written": json.dumps(written, default=str)}

    def _row(self, record: OurRecord) -> KnownRow | None:
        """What the judge is asked of this record; None: nothing of it is taken back."""
        now = {f.name: record.row[f"now__{i}"] for i, f in enumerate(self._tables.fields)}
        if self._way is Leaving.ARCHIVE:
            if record.created_since is None:
                return None
            op, before, changed = Operation.CREATE, dict[str, Any](), [*now]
        else:
            op, before = Operation.UPDATE, dict(record.before)
            if record.created_since is not None:
                # Without what it is found by, a record of ours would be one that nobody can find again.
                for name in self._found_by:
                    before.pop(name, None)
            changed = [*before]
            for name in self.shared.intersection(before):
                before[name] = multi_select.ours_of(before[name], now.get(name))  # others' options stay by themselves
        return {
            **record.row,
            "op": op.value,
            "status": Status.OK.value,
            "destination_id": record.row["now_id"] or record.row["destination_id"],
            "error_code": None,
            "known": True,
            "vacated": record.vacated,
            "changed_fields": json.dumps(changed),
            "earlier": json.dumps(before, default=str),
            "written": json.dumps({name: typed_text.text(value) for name, value in now.items()}),
        }

    def _with_metadata(self, verdict: RollbackVerdict) -> RollbackVerdict:
        """What tells of our runs goes with the rest."""
        if not self._metadata or verdict.field is not None or verdict.verdict != "restore":
            return verdict
        sent = {**json.loads(verdict.sent or "{}"), **dict.fromkeys(self._metadata)}
        return verdict._replace(sent=json.dumps(sent, separators=(",", ":")))
