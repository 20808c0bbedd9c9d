"""Links the records of a sync to those of others, after the records themselves: chunk by chunk what stands there, the
intent, the requests, the outcomes. The table is in `links_table`, what is to be sent in `comparison`, whose a link is
in `reading`, where its records are in `today`; `link_plan` knows all of it beforehand.

What can fail and what then happens:
- one pair is refused → its outcome is rejected, and it waits (`refused`); nobody else notices.
- an answer is lost → unknown; the row stays in doubt and the next run sends it again.
- the vendor is away, the credentials are refused, a signal arrives → no more is sent; the chunk in flight is in doubt,
  the rest is found again by the next comparison.
- the process dies → what was intended is in doubt: sent again, or taken back where the model has changed its mind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby

from revetl.clock import naive
from revetl.destinations.base import Destination, Pair
from revetl.errors import CallError, Rejected
from revetl.model import Outcome, Relation, RunRecord, Status, SyncSpec
from revetl.state import runs
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import ask_in_batches
from revetl.sync.links import answers, comparison, following, links_table, refused, today
from revetl.sync.links.links_table import LinkCounts, LinkLine
from revetl.sync.links.reading import able_to_link, check_types, follow_moved, look
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun

_CHUNK = 20_000
_Write = Callable[[str, str, int, Sequence[Pair]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class LinkReport:
    """Of one run, in links. `matched` stood there already; `kept`: a person chose another; `waiting` lack a record at
    the destination; `came_back`: a saved plan would remove them, and the model names them again; `unresolved`: of those
    that wait, column → how many whose other record was looked for by a field; `refused` wait after this run, error
    code → how many; `not_sent` because the run stopped."""

    linked: int = 0
    matched: int = 0
    unlinked: int = 0
    kept: int = 0
    rejected: int = 0
    unknown: int = 0
    waiting: int = 0
    came_back: int = 0
    unresolved: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0
    error: BaseException | None = field(default=None, repr=False)

    @property
    def sent(self) -> int:
        return self.linked + self.matched + self.unlinked + self.kept + self.rejected + self.unknown

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not zero, for the run's row."""
        found = {
            "linked": self.linked,
            "links_matched": self.matched,
            "unlinked": self.unlinked,
            "links_kept": self.kept,
            "links_rejected": self.rejected,
            "links_unknown": self.unknown,
        }
        return {name: n for name, n in found.items() if n}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Lines that are sent: the first, how many, how many at once; and how many links wait beside them."""

    start: int
    total: int
    chunk_rows: int
    waiting: int = 0


async def send(
    run: SyncRun,
    destination: Destination,
    record: RunRecord,
    *,
    full_refresh: bool,
    model_now: Relation | None = None,
    chunk_rows: int = _CHUNK,
) -> LinkReport:
    """Brings the links to what the model says. `model_now`: the model, where the run reads them from a saved plan. Safe
    to repeat, and to repeat after a crash at any point; where the connection is lost it begins again by itself, and
    what was sent and not checkpointed is sent again."""
    written = LinkReport()
    return await again(run.ctx, lambda: _bring(run, destination, record, written, full_refresh, model_now, chunk_rows))


async def _bring(
    run: SyncRun,
    destination: Destination,
    record: RunRecord,
    written: LinkReport,
    full_refresh: bool,
    model_now: Relation | None,
    chunk_rows: int,
) -> LinkReport:
    """`written` counts what is checkpointed, also by an attempt that broke off."""
    await run.on_tables(_prepare)
    try:
        counts, start = await _compared(run, destination, full_refresh, model_now)
    except CallError as e:
        return replace(written, error=e)
    written.came_back = counts.came_back
    if counts.link:
        await check_types(run.spec, destination)
    total = counts.link + counts.unlink
    return await _send_lines(run, destination, record, written, _Stretch(start, total, chunk_rows, counts.waiting))


async def take_back(
    run: SyncRun, destination: Destination, record: RunRecord, undone_run: str, *, chunk_rows: int = _CHUNK
) -> LinkReport:
    """Removes the links that a run made, and no others: one that stood there before us stays. The next sync makes them
    again, as long as the model names them. Links that the run removed stay removed. Safe to repeat, and to repeat after
    a crash at any point."""
    written = LinkReport()

    async def removed() -> LinkReport:
        total = await run.on_tables(_made_by, undone_run)
        return await _send_lines(run, destination, record, written, _Stretch(0, total, chunk_rows))

    return await again(run.ctx, removed)


def _made_by(tables: SyncTables, undone_run: str) -> int:
    """Puts them into the scratch table of lines; returns how many there are."""
    links_table.prepare(tables)
    found = comparison.removals_of(tables, undone_run)
    answers.prepare_results(tables)
    return found


async def _send_lines(
    run: SyncRun,
    destination: Destination,
    record: RunRecord,
    written: LinkReport,
    stretch: _Stretch,
) -> LinkReport:
    start, total, chunk_rows = stretch.start, stretch.total, stretch.chunk_rows
    report = replace(written, waiting=stretch.waiting)
    before = report.sent
    for low in range(start, start + total, chunk_rows):
        if run.ctx.stop.is_set() or report.error is not None:
            break
        high = min(low + chunk_rows, start + total)
        chunk = await run.on_tables(links_table.lines, low, high)
        try:
            looked = await look(run.spec, destination, chunk)
        except Exception as e:  # noqa: BLE001 - away, denied, or a connector's bug: nothing of this chunk was sent
            report.error = e
            break
        await run.on_tables(answers.intend, low, high, record.run_id, looked.found)
        done = [_as_it_should_be(line) for line in chunk if line.ordinal in looked.done]
        done += [_kept(line) for line in chunk if line.ordinal in looked.kept]
        left = [c for c in chunk if c.ordinal not in looked.done | looked.kept]
        done += await _send(run.spec, destination, left, report)
        _count(report, chunk, done)
        record.counts |= report.counts
        await run.on_tables(_checkpoint, record, done, naive(run.ctx.clock.now()))
        written.linked, written.matched, written.unlinked = report.linked, report.matched, report.unlinked
        written.rejected, written.unknown, written.kept = report.rejected, report.unknown, report.kept
    report.not_sent = total - (report.sent - before)
    report.refused = await run.on_tables(refused.waiting)
    return report


def _prepare(tables: SyncTables) -> None:
    links_table.prepare(tables)
    following.follow(tables)


async def _compared(
    run: SyncRun, destination: Destination, full_refresh: bool, model_now: Relation | None
) -> tuple[LinkCounts, int]:
    """The counts, and the first line that has to be sent."""
    await follow_moved(run, destination)
    now = run.ctx.clock.now()
    counts = await run.on_tables(comparison.compare, now, full_refresh=full_refresh, model_now=model_now)
    if counts.changes and await today.learn(run, destination):
        await follow_moved(run, destination)
        counts = await run.on_tables(comparison.compare, now, full_refresh=full_refresh, model_now=model_now)
    return counts, await run.on_tables(_begin)


def _begin(tables: SyncTables) -> int:
    """The first line that has to be sent."""
    answers.prepare_results(tables)
    return links_table.forget(tables)


async def _send(
    spec: SyncSpec, destination: Destination, chunk: Sequence[LinkLine], report: LinkReport
) -> list[Outcome]:
    """One outcome per line that was sent; a missing answer is unknown, never ok."""
    able, done = able_to_link(spec, destination), list[Outcome]()
    limits, from_object = destination.limits(spec.object), spec.object
    for (op, object_, type_), group in groupby(chunk, key=lambda line: (line.op, line.object, line.type)):
        write, rows = (able.link, limits.link_rows) if op == "link" else (able.unlink, limits.unlink_rows)

        async def send(
            pairs: Sequence[Pair], write: _Write = write, object_: str = object_, type_: int = type_
        ) -> list[Outcome]:
            if report.error is not None:
                return []
            try:
                given = {o.ordinal: o for o in reversed(list(await write(from_object, object_, type_, pairs)))}
            except Rejected as e:
                # The call was refused whole, so nothing of it was made: halved until the culprit stands alone.
                if len(pairs) == 1:
                    return [_refused(pairs[0], e)]
                half = (len(pairs) + 1) // 2
                return await send(pairs[:half], write, object_, type_) + await send(pairs[half:], write, object_, type_)
            except Exception as e:  # noqa: BLE001 - away, lost, denied, or a connector's bug: what others answered is kept
                report.error = report.error or e
                return []
            return [given.get(p.ordinal) or _unanswered(p) for p in pairs]

        pairs = [Pair(line.ordinal, line.from_id, line.to_id, line.alone) for line in group]
        for outcomes in await ask_in_batches(pairs, rows, limits, send):
            done += outcomes
        if report.error is not None:
            break
    return done


def _as_it_should_be(line: LinkLine) -> Outcome:
    said = "stood there already" if line.op == "link" else "was removed already"
    return Outcome(line.ordinal, Status.OK, line.from_id, message=said, attempts=0)


def _kept(line: LinkLine) -> Outcome:
    said = "its record was merged or made again, and somebody chose another there, of which it has only one: kept"
    return Outcome(line.ordinal, Status.SKIPPED, line.from_id, message=said, attempts=0)


def _refused(pair: Pair, error: Rejected) -> Outcome:
    kind, in_row = type(error).__name__, error.in_row
    return Outcome(pair.ordinal, Status.REJECTED, None, kind, error.code, str(error), in_row=in_row)


def _unanswered(pair: Pair) -> Outcome:
    return Outcome(pair.ordinal, Status.UNKNOWN, None, "Unanswered", None, "the connector gave no outcome")


def _count(report: LinkReport, chunk: Sequence[LinkLine], done: Sequence[Outcome]) -> None:
    ops = {line.ordinal: line.op for line in chunk}
    kept = sum(1 for o in done if not o.attempts and o.status is Status.SKIPPED)
    matched = sum(1 for o in done if not o.attempts and o.status is Status.OK and ops[o.ordinal] == "link")
    seen = Counter((ops[o.ordinal] if o.status in (Status.OK, Status.ACCEPTED) else o.status.value) for o in done)
    report.matched += matched
    report.linked += seen["link"] - matched
    report.unlinked += seen["unlink"]
    report.unknown += seen["unknown"]
    report.kept += kept
    report.rejected += seen["rejected"] + seen["skipped"] - kept


def _checkpoint(tables: SyncTables, record: RunRecord, done: Sequence[Outcome], now: datetime) -> None:
    with tables.warehouse.transaction():
        if done:
            answers.write_answered(tables, done, now, record.run_id)
        runs.finish_run(tables.warehouse, record)
