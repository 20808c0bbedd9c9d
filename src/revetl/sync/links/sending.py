"""Ties the records of a sync to those of others, after the records themselves. The table is in `state.links`, the
comparison in `state.link_plan`; here they are sent, chunk by chunk: intent, requests, outcomes.

What can fail and what then happens:
- one pair is refused → its outcome is rejected; nobody else notices.
- an answer is lost → unknown; the row stays in doubt and the next run sends it again.
- the vendor is away, the credentials are refused, a signal arrives → no more is sent; the chunk in flight is in doubt,
  the rest is found again by the next comparison.
- the process dies → what was intended is in doubt: sent again, or undone where the model has changed its mind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from revetl.clock import Clock
from revetl.destinations.base import Destination, Pair
from revetl.destinations.capabilities import Links
from revetl.errors import CallError, ConfigError, Problem, RevetlError
from revetl.model import Outcome, RunRecord, Status, SyncSpec
from revetl.state import runs
from revetl.state.sync_tables import Layout
from revetl.sync.apply import intents
from revetl.sync.batching import ask_in_batches
from revetl.sync.links import comparison, links_table
from revetl.sync.links.links_table import LinkCounts, LinkLine
from revetl.sync.plan.guardrails import Violation
from revetl.sync.plan.matching import Offload
from revetl.warehouse.base import Warehouse

_CHUNK = 20_000
_Tie = Callable[[str, str, int, Sequence[Pair]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class LinkReport:
    """Of one run, in links. `waiting` lack a record at the destination; `not_sent` because the run stopped."""

    linked: int = 0
    unlinked: int = 0
    rejected: int = 0
    unknown: int = 0
    waiting: int = 0
    not_sent: int = 0
    error: RevetlError | None = field(default=None, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not zero, for the run's row."""
        found = {
            "linked": self.linked,
            "unlinked": self.unlinked,
            "links_rejected": self.rejected,
            "links_unknown": self.unknown,
        }
        return {name: n for name, n in found.items() if n}


async def forecast(
    warehouse: Warehouse, layout: Layout, destination: Destination | None, *, full_refresh: bool, offload: Offload
) -> LinkCounts:
    """What the run would send, links of records that its plan creates or adopts included. Changes no state.
    ConfigError for a kind of link that the destination does not have."""

    def count() -> LinkCounts:
        links_table.prepare(warehouse, layout)
        counts = comparison.compare(warehouse, layout, full_refresh=full_refresh)
        coming = comparison.coming(warehouse, layout) if counts.waiting else 0
        return LinkCounts(counts.link + coming, counts.unlink, counts.waiting - coming, counts.known)

    counts: LinkCounts = await offload(count)
    if counts.link and destination is not None:
        await _check_types(layout, destination)
    return counts


def judge(layout: Layout, counts: LinkCounts) -> list[Violation]:
    """A model that lost a column of links would untie everything: the share of removals is guarded like deletes."""
    limit = layout.spec.guardrails.max_deleted_share
    if limit is None or not counts.known or counts.unlink / counts.known <= limit:
        return []
    share = counts.unlink / counts.known
    message = (
        f"{counts.unlink:,} of {counts.known:,} links ({share:.0%}) would be removed and"
        f" guardrails.max_deleted_share is {limit:.0%}"
    )
    return [Violation("deleted", message)]


async def send(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination,
    run: RunRecord,
    *,
    full_refresh: bool,
    clock: Clock,
    offload: Offload,
    stop: asyncio.Event | None,
    chunk_rows: int = _CHUNK,
) -> LinkReport:
    """Brings the links to what the model says. Safe to repeat, and to repeat after a crash at any point."""

    def compare() -> tuple[LinkCounts, int]:
        links_table.prepare(warehouse, layout)
        links_table.follow(warehouse, layout)
        counts = comparison.compare(warehouse, layout, full_refresh=full_refresh)
        links_table.prepare_results(warehouse, layout)
        return counts, links_table.forget(warehouse, layout)

    counts, start = await offload(compare)
    report = LinkReport(waiting=counts.waiting)
    total = counts.link + counts.unlink
    if counts.link:
        await _check_types(layout, destination)
    for low in range(start, start + total, chunk_rows):
        if (stop is not None and stop.is_set()) or report.error is not None:
            break
        high = min(low + chunk_rows, start + total)
        await offload(links_table.intend, warehouse, layout, low, high, run.run_id)
        chunk: list[LinkLine] = await offload(links_table.lines, warehouse, layout, low, high)
        done = await _send(layout, destination, chunk, report)
        _count(report, chunk, done)
        run.counts |= report.counts
        await offload(_checkpoint, warehouse, layout, run, done, clock)
    report.not_sent = total - report.linked - report.unlinked - report.rejected - report.unknown
    return report


async def _send(
    layout: Layout, destination: Destination, chunk: Sequence[LinkLine], report: LinkReport
) -> list[Outcome]:
    """One outcome per line that was sent; a missing answer is unknown, never ok."""
    able, done = _able(layout.spec, destination), list[Outcome]()
    limits, from_object = destination.limits(layout.spec.object), layout.spec.object
    for (op, object_, type_), group in groupby(chunk, key=lambda line: (line.op, line.object, line.type)):
        tie, rows = (able.link, limits.link_rows) if op == "link" else (able.unlink, limits.unlink_rows)

        async def send(
            pairs: Sequence[Pair], tie: _Tie = tie, object_: str = object_, type_: int = type_
        ) -> list[Outcome]:
            if report.error is not None:
                return []
            try:
                given = {o.ordinal: o for o in reversed(await tie(from_object, object_, type_, pairs))}
            except CallError as e:
                report.error = report.error or e
                return []
            return [given.get(p.ordinal) or _unanswered(p) for p in pairs]

        pairs = [Pair(line.ordinal, line.from_id, line.to_id) for line in group]
        for outcomes in await ask_in_batches(pairs, rows, limits, send):
            done += outcomes
        if report.error is not None:
            break
    return done


def _unanswered(pair: Pair) -> Outcome:
    return Outcome(pair.ordinal, Status.UNKNOWN, None, "Unanswered", None, "the connector gave no outcome")


async def links_by_id(
    destination: Destination, kind: tuple[str, str, int], ids: Sequence[str]
) -> dict[str, frozenset[str]]:
    """The records that each of `ids` is linked to by this (object, to_object, type), whoever made the link."""
    if not isinstance(destination, Links):
        return {}
    able, limits = destination, destination.limits(kind[0])

    async def ask(batch: Sequence[str]) -> Mapping[str, frozenset[str]]:
        return await able.links_of(*kind, batch)

    found: dict[str, frozenset[str]] = {}
    for answer in await ask_in_batches(ids, limits.link_read_rows, limits, ask):
        found |= answer
    return found


def _able(spec: SyncSpec, destination: Destination) -> Links:
    if not isinstance(destination, Links):
        message = f"{spec.where or f'sync {spec.name}'}: {spec.destination} can't link records to each other"
        raise ConfigError(Problem(message, hint="Leave `associate` out."))
    return destination


def _count(report: LinkReport, chunk: Sequence[LinkLine], done: Sequence[Outcome]) -> None:
    ops = {line.ordinal: line.op for line in chunk}
    seen = Counter((ops[o.ordinal] if o.status is Status.OK else o.status.value) for o in done)
    report.linked += seen["link"]
    report.unlinked += seen["unlink"]
    report.unknown += seen["unknown"]
    report.rejected += seen["rejected"] + seen["skipped"]


def _checkpoint(warehouse: Warehouse, layout: Layout, run: RunRecord, done: Sequence[Outcome], clock: Clock) -> None:
    with warehouse.transaction():
        if done:
            links_table.settle(warehouse, layout, done, intents.timestamp(clock), run.run_id)
        runs.finish_run(warehouse, run)


async def _check_types(layout: Layout, destination: Destination) -> None:
    spec, problems, able = layout.spec, [], _able(layout.spec, destination)
    for a in spec.associate:
        types = await able.link_types(spec.object, a.object)
        if a.type not in types:
            known = ", ".join(map(str, sorted(types))) or "none"
            said = f"{spec.where or f'sync {spec.name}'}: associate to {a.to}"
            message = f"{said}: {spec.destination} has no link of type {a.type} from {spec.object} to {a.object}"
            problems.append(Problem(message, hint=f"Types: {known}."))
    if problems:
        raise ConfigError(problems)
