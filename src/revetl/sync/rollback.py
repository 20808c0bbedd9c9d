"""Take back what one run of one sync wrote: read what stands there now, decide field by field, and send it as a run.

What can fail between the steps is in docs/design/undo.md. Nothing here is sent that was not read a moment ago, and no
value is restored over one that somebody else has put there since.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from revetl import __version__
from revetl.clock import Clock
from revetl.destinations.base import Destination, Match
from revetl.errors import GuardrailError, RevetlError
from revetl.model import RunRecord, RunStatus, Scalar, SyncSpec
from revetl.state import cells, plans, runs, snapshot, undo
from revetl.state.layout import Layout, resolve
from revetl.state.leases import Holder
from revetl.state.undo import Verdict
from revetl.sync import checkpoint
from revetl.sync.applying import Applier
from revetl.sync.leasing import leased
from revetl.sync.matching import Offload
from revetl.sync.readback import CHUNK_ROWS, Forms, Row, read_back, require_readable
from revetl.warehouse.base import Warehouse

Progress = Callable[[int, int], None]

# The destination's clock and ours may differ by this much before a record counts as older than the run.
_CLOCK_SKEW = timedelta(minutes=5)
_SAMPLES = 5

CREATED = "created by that run: --archive-created archives it"
CREATED_AND_EDITED = "created by that run and edited since: not archived"
ARCHIVED = "archived by that run: a person can restore it there; --recreate-archived makes it anew"
GONE = "not there any more: archived or deleted since"
NOT_CREATED = "the run got no answer, and it was not created"
NOT_KEPT = "the run did not keep what stood there"
EDITED = "every field that it changed was edited or written since"
NO_COLUMN = "its column has left the model"


@dataclass(frozen=True, slots=True)
class Choices:
    """What of the run is undone. No keys: all records."""

    keys: tuple[str, ...] = ()
    archive_created: bool = False
    recreate_archived: bool = False


@dataclass(slots=True)
class RollbackPlan:
    """What a rollback will do, in records; `fields`: field → verdict → records. `already`: stands as before the run, or
    is gone as asked.
    `left` records get nothing; fields that are left in records that get something are in `fields` and `reasons`:
    (why, whether the whole record is left, how many). `links` that the run made or removed are left: the next sync of a
    mended model puts them right. The lines stand in `rollback__<sync>`."""

    undone_run: str
    sync: str
    destination: str
    object: str
    restore: int = 0
    archive: int = 0
    recreate: int = 0
    already: int = 0
    left: int = 0
    links: int = 0
    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: list[tuple[str, bool, int]] = field(default_factory=list)
    samples: list[dict[str, Scalar]] = field(default_factory=list)
    requests: int = 0

    @property
    def changes(self) -> int:
        """Records that will be sent."""
        return self.restore + self.archive + self.recreate


async def decide(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination,
    undone: RunRecord,
    choices: Choices,
    *,
    offload: Offload,
    progress: Progress | None = None,
) -> None:
    """Fills `rollback__<sync>`. Reads from the destination, writes nothing to it. Safe to repeat."""
    spec = layout.spec
    await require_readable(destination, spec)
    await offload(undo.prepare, warehouse, layout)
    total = await offload(undo.count_written, warehouse, layout, undone.run_id, choices.keys)
    chunks = await offload(
        lambda: undo.written_by(warehouse, layout, undone.run_id, choices.keys, batch_rows=CHUNK_ROWS)
    )
    judge = _Judge(layout, Forms(destination, spec.object), undone, choices)
    names = [f.name for f in layout.fields]
    done = 0
    async for rows, stands in read_back(chunks, destination, spec.object, names, offload=offload):
        nameless = await _look_for(layout, destination, rows, stands)
        verdicts = [v for row in rows for v in judge.record(row, stands.get(row["destination_id"]), nameless)]
        await offload(undo.append, warehouse, layout, verdicts)
        done += len(rows)
        if progress:
            progress(done, total)


async def _look_for(
    layout: Layout, destination: Destination, rows: Sequence[Row], stands: Mapping[str, Match]
) -> dict[str, Match]:
    """Records that can only be asked for by their `match_on` value: creates that never got an id, and what the run
    archived. By the value in the destination's form."""
    match_on = layout.spec.match_on
    if match_on is None:
        return {}
    values = [
        v
        for row in rows
        if row["op"] == "delete" or row["destination_id"] is None
        if (v := _match_value(row, match_on))
    ]
    if not values:
        return {}
    size = destination.limits(layout.spec.object).batch_rows
    names = [f.name for f in layout.fields]
    found: dict[str, Match] = {}
    for i in range(0, len(values), size):
        found |= await destination.match(layout.spec.object, match_on, values[i : i + size], names)
    return found


def _match_value(row: Row, match_on: str) -> Scalar:
    kept = cells.load(row["earlier"] if row["op"] == "delete" else row["written"])
    value: Scalar = kept.get(match_on)
    return value


class _Judge:
    """Decides on one record after the other; holds no records."""

    def __init__(self, layout: Layout, forms: Forms, undone: RunRecord, choices: Choices) -> None:
        self._layout, self._forms, self._undone, self._choices = layout, forms, undone, choices
        self._fields = {f.name: (i, f) for i, f in enumerate(layout.fields)}

    def record(self, row: Row, match: Match | None, by_value: Mapping[str, Match]) -> Iterator[Verdict]:
        """The rows of `rollback__<sync>` for one record: one for itself, one per field that the run changed."""
        changed = list(json.loads(row["changed_fields"] or "[]"))
        if row["op"] == "delete":
            yield from self._archived(row, match, by_value)
            return
        if match is None and row["destination_id"] is None:
            match = self._by_value(row, by_value)
        if row["op"] == "update" and not changed:
            return  # adopted as it stood: nothing was written
        if match is None:
            yield self._absent(row)
            return
        reason = _out_of_reach(row, match)
        if reason is not None:
            yield self._left(row, reason)
        elif row["op"] == "create":
            yield self._created(row, match, changed)
        else:
            yield from self._updated(row, match, changed)

    def _absent(self, row: Row) -> Verdict:
        if row["destination_id"] is None:
            return self._left(row, NOT_CREATED)
        if row["now_id"] not in (None, row["destination_id"]):
            return self._left(row, f"held under the id {row['now_id']} today")
        if row["op"] == "create" and self._choices.archive_created:
            # By an archive of ours that got no answer, or by a person: asked for either way, and not to be made again.
            return self._verdict(row, None, "gone", "is not there any more")
        return self._left(row, GONE)

    def _updated(self, row: Row, match: Match, changed: Sequence[str]) -> Iterator[Verdict]:
        earlier, written = cells.load(row["earlier"]), cells.load(row["written"])
        sent: list[str] = []
        stale = bool(row["in_doubt"])
        decided: list[Verdict] = []
        for name in changed:
            verdict = self._field(row, match, name, earlier, written)
            decided.append(verdict)
            if verdict.verdict == "restore":
                sent.append(name)
            elif verdict.verdict == "already":
                index = self._fields[name][0]
                stale = stale or self._forms.of(name, row[f"now__{index}"]) != self._forms.of(name, earlier.get(name))
        yield from decided
        found = {name: match.fields.get(name) for name in sent}
        if sent:
            overall, reason = "restore", None
        elif any(v.verdict == "already" for v in decided):
            # Nothing to send; the state here is put right only where it says something else.
            overall, reason = ("already", None) if stale else ("left", "stands as before the run")
        else:
            reasons = {v.reason for v in decided}
            overall, reason = "left", (reasons.pop() if len(reasons) == 1 else EDITED)
        yield self._verdict(
            row, match, overall, reason, changed_fields=json.dumps(sent, separators=(",", ":")),
            found=json.dumps(found, default=str) if sent else None,
        )  # fmt: skip

    def _field(
        self, row: Row, match: Match, name: str, earlier: Mapping[str, Any], written: Mapping[str, Any]
    ) -> Verdict:
        stood, wrote, stands = earlier.get(name), written.get(name), match.fields.get(name)
        told = {
            "field": name,
            "earlier": _said(stood),
            "written": _said(wrote),
            "stands": _said(stands),
        }

        def verdict(word: str, reason: str | None = None, **more: Any) -> Verdict:
            return self._verdict(row, match, word, reason, **{**told, **more})

        if name not in self._fields:
            return verdict("left", NO_COLUMN)
        if name not in earlier:
            return verdict("left", NOT_KEPT)
        index, column = self._fields[name]
        try:
            value, wrote_typed = cells.fit(column.type, stood), cells.fit(column.type, wrote)
        except ValueError as e:
            return verdict("left", f"the earlier value {e}, the type of the column")
        now, form = self._forms.of(name, stands), self._forms.of
        if now == form(name, value):
            return verdict("already", earlier=cells.text(value))
        if now == form(name, wrote_typed):
            return verdict("restore", earlier=cells.text(value))
        if now == form(name, row[f"now__{index}"]):
            return verdict("left", f"written since by run {row['now_run']}")
        return verdict("left", "edited there since")

    def _created(self, row: Row, match: Match, changed: Sequence[str]) -> Verdict:
        if not self._choices.archive_created:
            return self._left(row, CREATED, match)
        if match.created_at is not None and match.created_at < self._undone.started_at - _CLOCK_SKEW:
            return self._left(row, "stood there before that run began: not archived", match)
        written = cells.load(row["written"])
        for name, (_, column) in self._fields.items():
            try:
                wrote = cells.fit(column.type, written.get(name) if name in changed else None)
            except ValueError:
                wrote = repr(written.get(name))
            if self._forms.of(name, match.fields.get(name)) != self._forms.of(name, wrote):
                return self._left(row, CREATED_AND_EDITED, match)
        found = {name: value for name, value in match.fields.items() if name in self._fields}
        return self._verdict(row, match, "archive", changed_fields="[]", found=json.dumps(found, default=str))

    def _archived(self, row: Row, match: Match | None, by_value: Mapping[str, Match]) -> Iterator[Verdict]:
        if match is not None:
            yield self._left(row, f"stands there again as {match.destination_id}", match)
            return
        if not self._choices.recreate_archived:
            yield self._left(row, ARCHIVED)
            return
        again = self._by_value(row, by_value)
        if again is not None:
            yield self._left(row, f"stands there again as {again.destination_id}", again)
            return
        if row["known"]:
            yield self._left(row, "held by this sync again")
            return
        earlier = cells.load(row["earlier"])
        values: dict[str, str | None] = {}
        for name, (_, column) in self._fields.items():
            try:
                values[name] = cells.text(cells.fit(column.type, earlier.get(name)))
            except ValueError:
                values[name] = None
        sent = [name for name, value in values.items() if value is not None]
        if not sent or (self._layout.spec.match_on and not values.get(self._layout.spec.match_on)):
            yield self._left(row, NOT_KEPT)
            return
        for name in sent:
            yield self._verdict(row, None, "restore", field=name, earlier=values[name])
        yield self._verdict(row, None, "recreate", changed_fields=json.dumps(sent, separators=(",", ":")))

    def _by_value(self, row: Row, by_value: Mapping[str, Match]) -> Match | None:
        match_on = self._layout.spec.match_on
        value = None if match_on is None else _match_value(row, match_on)
        return None if match_on is None or value is None else by_value.get(self._forms.of(match_on, value))

    def _left(self, row: Row, reason: str, match: Match | None = None) -> Verdict:
        return self._verdict(row, match, "left", reason)

    def _verdict(self, row: Row, match: Match | None, verdict: str, reason: str | None = None, **more: Any) -> Verdict:
        id_ = None if verdict == "recreate" else match.destination_id if match else row["destination_id"]
        return Verdict(self._undone.run_id, row["key"], id_, more.pop("field", None), verdict, reason, **more)


def _out_of_reach(row: Row, match: Match) -> str | None:
    """Why the record is no longer ours to undo."""
    if row["destination_id"] is not None and match.destination_id != row["destination_id"]:
        return f"merged into record {match.destination_id} there"
    if row["holder"] is not None:
        return f"held by key {row['holder']} today"
    if not row["known"]:
        return "not held by this sync any more"
    if row["now_id"] is not None and row["now_id"] != match.destination_id:
        return f"held under the id {row['now_id']} today"
    return None


def _untold(_: str) -> None:
    return None


def _said(value: Any) -> str | None:
    """A value for people who read `rollback__<sync>`."""
    return None if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


@dataclass(slots=True)
class RollbackReport:
    """One rollback of one sync's run. `counts`: outcome status → records, `skipped` being those left alone."""

    run_id: str
    sync: str
    status: RunStatus
    plan: RollbackPlan
    counts: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0
    requests: int = 0
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    dry_run: bool = False


async def roll_back(
    warehouse: Warehouse,
    spec: SyncSpec,
    destination: Destination,
    undone: RunRecord,
    choices: Choices,
    *,
    clock: Clock,
    run_id: str,
    target: str,
    dry_run: bool = False,
    confirm: Callable[[RollbackPlan], bool] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    stop_event: asyncio.Event | None = None,
    offload: Offload = asyncio.to_thread,
    intent_rows: int | None = None,
) -> RollbackReport:
    """Undoes run `undone` of this sync. Safe to repeat, and to repeat after a crash at any point: what is restored
    already is seen to stand there.

    `confirm`: shown the plan before anything is sent; False ends the run as stopped. `progress`: given a word for what
    goes on, gives what is told of it. `wait_s` and `on_wait` are for a sync that another run holds. Raises as
    `run_sync`.
    """
    started_s = clock.monotonic()
    async with leased(
        warehouse, spec.name, run_id, clock=clock, offload=offload, wait_s=wait_s, on_wait=on_wait
    ) as held:
        warehouse, offload = held.warehouse, held.offload
        layout = await offload(_prepare, warehouse, spec)
        await offload(lambda: plans.recover(warehouse, layout, clock, present_run=run_id))
        told = progress or _untold
        work = _Work(warehouse, undo.unruled(layout), destination, clock, offload)
        if dry_run:
            plan = await work.plan(run_id, undone, choices, told("reading"))
            return RollbackReport(run_id, spec.name, "done", plan, requests=destination.requests, dry_run=True)
        run = RunRecord(run_id, undo.COMMAND, spec.name, target, clock.now(), __version__, undoes=undone.run_id)
        async with recorded(warehouse, run, destination, clock, offload):
            plan = await work.plan(run_id, undone, choices, told("reading"))
            if plan.changes and confirm is not None and not confirm(plan):
                raise GuardrailError(f"{spec.name}: not confirmed; nothing was sent")
            applier = await work.apply(run, plan, told("restoring"), stop_event, intent_rows)
            report = _report(run, plan, applier, stop_event)
            run.status, run.error = report.status, report.error
    report.requests, report.seconds = run.requests, clock.monotonic() - started_s
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    """The two halves of a rollback, over one lease."""

    warehouse: Warehouse
    layout: Layout
    destination: Destination
    clock: Clock
    offload: Offload

    async def plan(self, plan_id: str, undone: RunRecord, choices: Choices, progress: Progress | None) -> RollbackPlan:
        await decide(
            self.warehouse, self.layout, self.destination, undone, choices, offload=self.offload, progress=progress
        )
        await self.offload(undo.freeze, self.warehouse, self.layout, plan_id, undone.run_id)
        plan: RollbackPlan = await self.offload(_summarise, self.warehouse, self.layout, undone, choices)
        size = self.destination.limits(self.layout.spec.object).batch_rows
        plan.requests = sum(-(-n // size) for n in (plan.restore, plan.archive, plan.recreate))
        return plan

    async def apply(
        self,
        run: RunRecord,
        plan: RollbackPlan,
        progress: Progress | None,
        stop_event: asyncio.Event | None,
        intent_rows: int | None,
    ) -> Applier:
        """As the plan of a sync is applied."""
        warehouse, layout, offload = self.warehouse, self.layout, self.offload
        run.counts = await offload(checkpoint.settled_in_plan, warehouse, layout, run, self.clock)
        applier = Applier(
            warehouse,
            layout,
            self.destination,
            run,
            run.run_id,
            plan.changes,
            clock=self.clock,
            offload=offload,
            progress=progress,
            stop=stop_event,
            intent_rows=intent_rows,
        )
        if plan.changes:
            await offload(checkpoint.prepare, warehouse, layout)
            await offload(lambda: plans.begin(warehouse, layout, run.run_id, run.run_id, plan.changes, self.clock))
            await applier.apply()
            await offload(plans.finish, warehouse, layout, run.run_id)
        return applier


@asynccontextmanager
async def recorded(
    warehouse: Warehouse, run: RunRecord, destination: Destination, clock: Clock, offload: Offload
) -> AsyncIterator[None]:
    """The run's row in `runs`, from its start to whatever end it comes to."""
    await offload(runs.start_run, warehouse, run)
    try:
        yield
    except RevetlError as e:
        run.status, run.error = ("stopped" if isinstance(e, GuardrailError) else "failed"), str(e)
        raise
    except asyncio.CancelledError:
        run.status = "interrupted"
        raise
    except Exception as e:
        run.status, run.error = "failed", type(e).__name__
        raise
    finally:
        run.finished_at = clock.now()
        run.requests, run.retries = destination.requests, destination.retries
        await offload(runs.finish_run, warehouse, run)


def _prepare(warehouse: Warehouse, spec: SyncSpec) -> Layout:
    layout = resolve(warehouse, spec)
    snapshot.prepare(warehouse, layout)
    plans.prepare(warehouse)
    return layout


def _summarise(warehouse: Warehouse, layout: Layout, undone: RunRecord, choices: Choices) -> RollbackPlan:
    records = undo.records_touched(warehouse, layout)
    return RollbackPlan(
        undone.run_id,
        layout.spec.name,
        layout.spec.destination,
        layout.spec.object,
        **{word: records.get(word, 0) for word in ("restore", "archive", "recreate", "left")},
        already=records.get("already", 0) + records.get("gone", 0),
        links=undo.count_links(warehouse, layout, undone.run_id, choices.keys),
        fields=undo.fields_touched(warehouse, layout),
        reasons=undo.reasons(warehouse, layout),
        samples=undo.samples(warehouse, layout, per_verdict=_SAMPLES),
    )


def _report(run: RunRecord, plan: RollbackPlan, applier: Applier, stop_event: asyncio.Event | None) -> RollbackReport:
    counts, not_sent = dict(applier.counts), plan.changes - applier.sent
    report = RollbackReport(run.run_id, plan.sync, "done", plan, counts, not_sent)
    if counts.get("rejected") or counts.get("unknown"):
        report.status, report.exit_code = "partial", 1
    if stop_event is not None and stop_event.is_set() and not_sent:
        report.status, report.exit_code = "interrupted", 1
    if applier.error is not None:
        known = isinstance(applier.error, RevetlError)
        report.status = "failed"
        report.exit_code = applier.error.exit_code if isinstance(applier.error, RevetlError) else 1
        report.error = str(applier.error) if known else type(applier.error).__name__
    run.counts = counts
    return report
