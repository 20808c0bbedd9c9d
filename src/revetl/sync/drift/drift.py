"""Drift: the destination read back and compared three ways (what we last wrote, what we would write, what is there).

What each class means, and what accepting and reasserting do, is in docs/design/undo.md. Nothing is ever written to the
destination here: reasserting lets the next sync do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from revetl import __version__
from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.destinations.capabilities import requests_of
from revetl.errors import ConfigError, did_you_mean
from revetl.model import FieldPolicy, RunRecord, Scalar, SyncSpec
from revetl.state import snapshot
from revetl.state.leases import Holder
from revetl.state.sync_tables import Field, Layout, resolve
from revetl.sync import typed_text as cells
from revetl.sync.apply import intents
from revetl.sync.drift import drift_table as state
from revetl.sync.drift import links_drift, links_drift_table
from revetl.sync.drift.drift_table import Finding
from revetl.sync.leasing import leased
from revetl.sync.plan import policies
from revetl.sync.plan.matching import Offload
from revetl.sync.readback import CHUNK_ROWS, Forms, Row, read_back, require_readable
from revetl.sync.recording import recorded
from revetl.warehouse.base import Warehouse

Progress = Callable[[int, int], None]
Side = Literal["accept", "reassert"]

COMMAND = "drift"


@dataclass(frozen=True, slots=True)
class Settle:
    """What to do about drift. `fields` None: every field, and records that are missing or merged."""

    side: Side
    fields: tuple[str, ...] | None


@dataclass(slots=True)
class DriftReport:
    """What stands at the destination beside what we know and want. Counts are of records. `drifted`: with drift of any
    kind; `fields`: field → class → records; `records`: class → records with it. `settled` and `cells` are the records
    and fields that were accepted or reasserted, `delayed` the accepted ones whose other changes wait too, `unfit` the
    fields whose value there our column can't hold. `links` of ours were read back, `links_settled` of those that do not
    stand any more accepted or reasserted. The lines stand in `drift__<sync>`."""

    sync: str
    destination: str
    object: str
    read: int = 0
    drifted: int = 0
    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, Scalar]] = field(default_factory=list)
    side: Side | None = None
    settled: int = 0
    cells: int = 0
    delayed: int = 0
    unfit: int = 0
    links: int = 0
    links_settled: int = 0
    run_id: str | None = None
    requests: int = 0
    seconds: float = 0.0


async def look(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination,
    *,
    clock: Clock,
    run_id: str,
    target: str,
    settle: Settle | None = None,
    keys: Sequence[str] = (),
    per_class: int = 3,
    progress: Progress | None = None,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    offload: Offload = asyncio.to_thread,
) -> DriftReport:
    """Reads back all records that we hold (or only `keys`), in flat memory at the destination's own pace. With `settle`
    it is a run with a row in `runs`. Safe to repeat; broken off before its end it has changed nothing. ConfigError for
    unknown fields and what can't be read; CallError where the destination is away; LeaseError where a run is going on.
    """
    started_s = clock.monotonic()
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:
        warehouse, offload = held.warehouse, held.offload
        layout = await offload(_prepare, warehouse, spec)
        _check_fields(layout, settle)
        await offload(_check_keys, warehouse, layout, keys)
        await offload(lambda: intents.recover(warehouse, layout, clock, present_run=run_id))
        report = DriftReport(spec.name, spec.destination, spec.object)
        if settle is None:
            report.read = await _compare(warehouse, layout, destination, keys, progress, offload)
            report.links = await links_drift.compare(warehouse, layout, destination, keys, offload)
            await offload(_fill, warehouse, layout, report, per_class)
        else:
            run = RunRecord(run_id, COMMAND, spec.name, target, clock.now(), __version__)
            async with recorded(warehouse, run, destination, clock, offload):
                report.read = await _compare(warehouse, layout, destination, keys, progress, offload)
                report.links = await links_drift.compare(warehouse, layout, destination, keys, offload)
                await offload(_fill, warehouse, layout, report, per_class)
                await offload(_settle, warehouse, layout, settle, report, clock, run)
                run.status = "done"
    report.requests, report.seconds = requests_of(destination)[0], clock.monotonic() - started_s
    return report


def _prepare(warehouse: Warehouse, spec: SyncSpec) -> Layout:
    layout = resolve(warehouse, spec)
    snapshot.prepare(warehouse, layout)
    return layout


def _check_keys(warehouse: Warehouse, layout: Layout, keys: Sequence[str]) -> None:
    """A key that is mistyped would read as a record without drift."""
    strangers = state.unheld(warehouse, layout, keys)
    if strangers:
        first = strangers[0]
        hint = f"`revetl plan --select {layout.spec.name} --show {first}` tells why."
        raise ConfigError(f"{layout.spec.name} holds no record {first!r}", hint=hint)


def _check_fields(layout: Layout, settle: Settle | None) -> None:
    names = [f.name for f in layout.fields]
    for name in settle.fields if settle and settle.fields is not None else ():
        if name not in names:
            raise ConfigError(f"{layout.spec.name} has no field {name!r}", hint=did_you_mean(name, names))


async def _compare(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination,
    keys: Sequence[str],
    progress: Progress | None,
    offload: Offload,
) -> int:
    """Fills `drift__<sync>`; returns how many records were read."""
    spec = layout.spec
    await require_readable(destination, spec)
    described = (await destination.describe(spec.object)).fields
    await offload(state.prepare, warehouse, layout)
    total = await offload(state.count_known, warehouse, layout, keys)
    chunks = await offload(lambda: state.known(warehouse, layout, keys, batch_rows=CHUNK_ROWS))
    judge = _Judge(layout, Forms(destination, spec.object), described)
    done = 0
    names = [f.name for f in layout.fields if f.name in described]
    async for rows, stands in read_back(chunks, destination, spec.object, names, offload=offload):
        found = [finding for row in rows for finding in judge.record(row, stands.get(row["destination_id"]))]
        await offload(state.append, warehouse, layout, found)
        done += len(rows)
        if progress:
            progress(done, total)
    await offload(state.settle_merged, warehouse, layout)
    return done


class _Judge:
    """Compares one record after the other; holds no records."""

    def __init__(self, layout: Layout, forms: Forms, described: Mapping[str, DestinationField]) -> None:
        self._forms = forms
        self._described = described
        self._fields = [
            (i, f, layout.spec.rule(f.name).policy) for i, f in enumerate(layout.fields) if f.name in described
        ]

    def record(self, row: Row, match: RecordMatch | None) -> Iterator[Finding]:
        key, id_ = row["key"], row["destination_id"]
        if match is None:
            if not row["accepted"]:
                yield Finding(key, id_, None, None, None, None, state.MISSING)
            return
        if match.destination_id != id_:
            yield Finding(key, id_, None, None, None, match.destination_id, state.MERGED)
        for i, column, policy in self._fields:
            name = column.name
            last, theirs = row[f"last__{i}"], match.fields.get(name)
            wanted = last if row["waits"] else row[f"wanted__{i}"]
            if theirs == last and wanted == last:
                continue
            form = self._forms.of
            l_, w, t = form(name, last), form(name, wanted), form(name, theirs)
            if w != t and self._kept_by_rule(name, column, policy, wanted, t, w):
                wanted, w = theirs, t
            if l_ == w == t:
                continue
            class_ = state.PENDING if t == l_ else state.THEIRS if w == l_ else state.SAME if w == t else state.CONFLICT
            value = note = None
            try:
                value = cells.text(cells.fit(column.type, theirs))
            except ValueError as e:
                note = str(e)
            said = (cells.text(last), cells.text(wanted), cells.text(theirs))
            yield Finding(key, id_, name, *said, class_, note, value)

    def _kept_by_rule(
        self, name: str, column: Field, policy: FieldPolicy, wanted: Scalar, theirs: str, ours: str
    ) -> bool:
        """Whether the next sync would leave theirs standing though it is not ours."""
        if wanted is None and column.keep_null:
            return True
        return policy != "always" and not policies.allows(policy, self._described[name], theirs, ours)


def _fill(warehouse: Warehouse, layout: Layout, report: DriftReport, per_class: int) -> None:
    report.drifted = state.count_drifted(warehouse, layout)
    report.fields = state.fields_by_class(warehouse, layout)
    report.records = state.records_by_class(warehouse, layout)
    report.unfit = state.count_unfit(warehouse, layout)
    report.samples = state.samples(warehouse, layout, per_class=per_class)


def _settle(
    warehouse: Warehouse, layout: Layout, settle: Settle, report: DriftReport, clock: Clock, run: RunRecord
) -> None:
    accept = settle.side == "accept"
    report.side, report.run_id = settle.side, run.run_id
    report.delayed = state.count_delayed(warehouse, layout, settle.fields) if accept else 0
    with warehouse.transaction():
        report.settled, report.cells = state.resolve(
            warehouse, layout, settle.fields, accept=accept, now=intents.timestamp(clock), run_id=run.run_id
        )
        if settle.fields is None:
            report.links_settled = links_drift_table.settle(warehouse, layout, accept=accept)
    run.counts = {f"{settle.side}ed": report.settled}
    if report.links_settled:
        run.counts[f"links_{settle.side}ed"] = report.links_settled
