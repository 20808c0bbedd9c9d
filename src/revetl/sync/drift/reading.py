"""Drift: the destination read back and compared three ways (what we last wrote, what we would write, what is there).

What each class means, and what accepting and reasserting do, is in docs/design/rollback.md. Nothing is ever written to
the destination here: reasserting lets the next sync do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from revetl.clock import naive
from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import requests_of
from revetl.errors import ConfigError, did_you_mean
from revetl.model import RunRecord, Scalar, SyncSpec
from revetl.state import snapshot
from revetl.state.sync_tables import SyncTables, resolve
from revetl.sync import vacated_fields
from revetl.sync.apply import recovery
from revetl.sync.drift import findings, left_out, links, resolution
from revetl.sync.drift.comparison import DriftComparison
from revetl.sync.drift.left_out import LeftOut
from revetl.sync.drift.resolution import DriftResolution, DriftSide
from revetl.sync.leasing import under_lease
from revetl.sync.lost_connection import again
from revetl.sync.readback import CHUNK_ROWS, NormalForms, read_back, require_readable
from revetl.sync.recording import recorded
from revetl.sync.sync_run import SyncRun


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """resolution  what to do about the drift that is found; None: it is only reported
    keys           only these records; none: all
    per_class      how many samples of each field and class the report has
    """

    resolution: DriftResolution | None = None
    keys: Sequence[str] = ()
    per_class: int = 3


@dataclass(slots=True)
class DriftReport:
    """What stands at the destination beside what we know and want. The lines stand in `drift__<sync>`."""

    sync: str
    destination: str
    object: str
    read: int = 0  # records
    drifted: int = 0  # records with drift of any kind
    fields: dict[str, dict[str, int]] = field(default_factory=dict)  # field → class → records
    records: dict[str, int] = field(default_factory=dict)  # class → records with it
    retried: dict[str, int] = field(default_factory=dict)  # of `pending`: why refused → records tried again
    samples: list[dict[str, Scalar]] = field(default_factory=list)
    side: DriftSide | None = None  # whose value holds, where that was decided
    resolved: int = 0  # records that were accepted or reasserted
    cells: int = 0  # fields of them
    delayed: int = 0  # accepted records whose other changes wait too
    unfit: int = 0  # fields whose value there our column can't hold
    left_out: list[LeftOut] = field(default_factory=list)  # records that the reassert left out
    links: int = 0  # links of ours that were read back
    links_resolved: int = 0  # that do not stand any more, accepted or reasserted
    run_id: str | None = None
    requests: int = 0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """For --json. Two names are those of the first version."""
        names = {"resolved": "settled", "links_resolved": "links_settled"}
        document = {names.get(name, name): getattr(self, name) for name in self.__dataclass_fields__}
        return document | {"left_out": [asdict(held) for held in self.left_out]}


async def find_drift(
    ctx: RunContext, spec: SyncSpec, destination: Destination, options: DriftOptions = DriftOptions()
) -> DriftReport:
    """Reads back all records that are known to stand there, in flat memory at the destination's own pace. With a
    resolution it is a run with a row in `runs`. Safe to repeat; broken off before its end it has changed nothing.
    ConfigError for unknown fields and what can't be read; CallError where the destination is away; LeaseError where a
    run is going on."""
    started_s = ctx.clock.monotonic()
    if not await again(ctx, lambda: ctx.offload(snapshot.stands, ctx.warehouse, spec.name)):
        if options.resolution is not None:
            _check_fields(await again(ctx, lambda: ctx.offload(resolve, ctx.warehouse, spec)), options.resolution)
        _refuse_unknown(spec.name, list(options.keys))
        return DriftReport(spec.name, spec.destination, spec.object)  # and no table is made for it
    async with under_lease(ctx, spec) as run:
        _check_fields(run.tables, options.resolution)
        await run.on_tables(_check_keys, options.keys)
        await again(run.ctx, lambda: recovery.heal(run, destination))
        if options.resolution is None:
            report = await again(run.ctx, lambda: _read(run, destination, options))
        else:
            async with recorded(run, destination) as record:
                report = await again(run.ctx, lambda: _read(run, destination, options))
                await run.on_tables(_resolve, options, report, record, naive(ctx.clock.now()))
                record.status = "done"
    report.requests, report.seconds = requests_of(destination)[0], ctx.clock.monotonic() - started_s
    return report


async def _read(run: SyncRun, destination: Destination, options: DriftOptions) -> DriftReport:
    report = DriftReport(run.spec.name, run.spec.destination, run.spec.object)
    report.read = await _compare(run, destination, options.keys)
    report.links = await links.compare(run, destination, options.keys)
    await run.on_tables(_fill, report, options.per_class)
    return report


def _check_keys(tables: SyncTables, keys: Sequence[str]) -> None:
    """A key that is mistyped would read as a record without drift."""
    _refuse_unknown(tables.spec.name, findings.not_known(tables, keys))


def _refuse_unknown(sync: str, strangers: Sequence[str]) -> None:
    if strangers:
        hint = f"`revetl plan --select {sync} --show {strangers[0]}` tells why."
        raise ConfigError(f"{sync} holds no record {strangers[0]!r}", hint=hint)


def _check_fields(tables: SyncTables, resolution_: DriftResolution | None) -> None:
    names = [f.name for f in tables.fields]
    for name in resolution_.fields if resolution_ and resolution_.fields is not None else ():
        if name not in names:
            raise ConfigError(f"{tables.spec.name} has no field {name!r}", hint=did_you_mean(name, names))


async def _compare(run: SyncRun, destination: Destination, keys: Sequence[str]) -> int:
    """Fills `drift__<sync>`; returns how many records were read."""
    spec = run.spec
    await require_readable(destination, spec)
    described = (await destination.describe(spec.object)).fields
    await run.on_tables(findings.prepare)
    total = await run.on_tables(findings.count_known, keys)
    chunks = await run.on_tables(findings.known_records, keys, batch_rows=CHUNK_ROWS)
    vacatable = [name for name, there in described.items() if there.vacatable]
    left_empty = await run.on_tables(vacated_fields.left_empty, vacatable)
    comparison = DriftComparison(run.tables, NormalForms(destination, run.tables), described, left_empty)
    meter, done = run.ctx.progress("reading"), 0
    names = [f.name for f in run.tables.fields if f.name in described]
    async for rows, stands in read_back(chunks, destination, spec.object, names, offload=run.ctx.offload):
        found = [finding for row in rows for finding in comparison.record(row, stands.get(row["destination_id"]))]
        await run.on_tables(findings.append, found)
        done += len(rows)
        if meter:
            meter(done, total)
    await run.on_tables(findings.leave_out_merged_twice)
    return done


def _fill(tables: SyncTables, report: DriftReport, per_class: int) -> None:
    report.drifted = findings.count_drifted(tables)
    report.fields = findings.fields_by_class(tables)
    report.records = findings.records_by_class(tables)
    report.retried = findings.retried_by_reason(tables)
    report.unfit = findings.count_unfit(tables)
    report.samples = findings.samples(tables, per_class=per_class)


def _resolve(tables: SyncTables, options: DriftOptions, report: DriftReport, record: RunRecord, now: datetime) -> None:
    chosen = options.resolution
    if chosen is None:
        return
    report.side, report.run_id = chosen.side, record.run_id
    report.delayed = findings.count_delayed(tables, chosen.fields) if chosen.accept else 0
    left_out.find(tables)
    if not chosen.accept:
        report.left_out = left_out.leave_out(tables, chosen.fields, most_keys=options.per_class)
    with tables.warehouse.transaction():
        report.resolved, report.cells = resolution.resolve(tables, chosen, now, record.run_id)
        if chosen.fields is None:
            report.links_resolved = resolution.resolve_links(tables, accept=chosen.accept)
    left_out.forget(tables)
    record.counts = {f"{chosen.side}ed": report.resolved}
    if report.left_out:
        record.counts["left_out"] = sum(held.records for held in report.left_out)
    if report.links_resolved:
        record.counts[f"links_{chosen.side}ed"] = report.links_resolved
