"""A plan that the destination is given as a whole, as a file: published once, then its outcomes are written.

What can fail here and what then happens:
- the process dies before the row in `publications` → nothing was sent, and the next run plans anew.
- it dies later, or the destination may have been given something → the publication stays open. The next run publishes
  the same rows under the run that they are of, which changes nothing that stands there, and writes the outcomes that
  are missing; only then it plans. Nothing is in doubt at any moment.
- the destination refuses, or is away, and certainly shows nothing → the publication is dropped: nothing was sent.
- the plan of an open publication is gone (its table was dropped), or the destination takes runs no more as a whole →
  it is dropped as well, and what differs is planned anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import PublishedRun, PublishesRuns
from revetl.errors import Ambiguous, CallError, JobRunning
from revetl.model import Operation, RunRecord, Status
from revetl.state import publications, runs, snapshot
from revetl.state.publications import FieldAsPublished, Publication
from revetl.state.sync_tables import SyncTables
from revetl.sync.apply import checkpoint, published_rows
from revetl.sync.apply.checkpoint import FrozenPlan, Queue
from revetl.sync.apply.plan_lines import ordinal_ranges
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class PublishedPlan:
    """What became of a plan that was published, as `Applied` says it: all of it stands, or nothing was sent."""

    counts: Counter[str]
    answered: Counter[tuple[Operation, Status]] = field(default_factory=Counter)
    not_applied: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    jobs_running: int = 0
    error: BaseException | None = None


async def publish_plan(
    run: SyncRun, destination: PublishesRuns, record: RunRecord, plan: FrozenPlan, *, stage: str
) -> PublishedPlan:
    """Publishes `plan__<sync>` as it stands frozen. The plan's row is there (`checkpoint.begin`)."""
    ctx, result = run.ctx, PublishedPlan(Counter(record.counts))
    if ctx.stop.is_set():
        return result
    publication = Publication(
        record.run_id,
        plan.plan_id,
        destination.contents(run.spec.object),
        tuple(FieldAsPublished(f.name, f.keep_null, f.name in run.tables.json_names) for f in run.tables.fields),
        record.started_at,
    )
    await again(ctx, lambda: run.on_tables(publications.begin, publication))
    try:
        await again(ctx, lambda: _publish(run, destination, publication))
    except Ambiguous as e:
        result.error = e
        return result
    except CallError as e:
        await again(ctx, lambda: run.on_tables(publications.end, publication, "dropped"))
        result.error = e
        return result
    by_operation = await again(ctx, lambda: _write_outcomes(run, publication, plan.queue))
    result.answered.update({(op, Status.OK): n for op, n in by_operation.items()})
    result.sent = sum(by_operation.values())
    result.counts[Status.OK] += result.sent
    if (meter := ctx.progress(stage)) is not None:
        meter(result.sent, plan.changes)
    return result


async def publish_earlier(run: SyncRun, destination: Destination | None) -> Counter[str]:
    """Publishes the runs of this sync that broke off, before a new plan takes the place of theirs; outcome status →
    records. JobRunning where nobody is to be asked. Raises as `PublishesRuns.publish`. Safe to repeat."""
    written = Counter[str]()
    for publication in await run.on_tables(publications.open_ones):
        if destination is None:
            raise JobRunning(
                f"{run.spec.name}: run {publication.run_id} has not been published to its end, and"
                f" {run.spec.destination} is not asked here: `revetl sync` publishes it"
            )
        if not isinstance(destination, PublishesRuns) or not await run.on_tables(published_rows.is_frozen, publication):
            await run.on_tables(publications.end, publication, "dropped")
            continue
        await _publish(run, destination, publication)
        by_operation = await _write_outcomes(run, publication, snapshot.queue_refused)
        await run.ctx.offload(runs.recount, run.ctx.warehouse, publication.run_id)
        written[Status.OK.value] += sum(by_operation.values())
    return written


async def _publish(run: SyncRun, destination: PublishesRuns, publication: Publication) -> None:
    frozen = await run.on_tables(published_rows.as_frozen, publication)

    async def feed(take: Callable[[pa.RecordBatch], None]) -> None:
        def feed_all() -> None:
            for batch in published_rows.rows(frozen, publication):
                take(batch)

        await run.ctx.offload(feed_all)

    published = PublishedRun(
        publication.run_id,
        run.spec.name,
        publication.begun_at,
        run.spec.key,
        frozenset(f.name for f in publication.fields if f.is_json),
        publication.contents,
    )
    await destination.publish(run.spec.object, published, feed)


async def _write_outcomes(run: SyncRun, publication: Publication, queue: Queue) -> dict[Operation, int]:
    """Those that are missing, in stretches that each are one transaction. Returns operation → records of the plan. Safe
    to repeat."""

    def write(tables: SyncTables) -> dict[Operation, int]:
        frozen = published_rows.as_frozen(tables, publication)
        kept = published_rows.still_there(tables, frozen)
        for found in publications.open_ones(tables):
            if found.run_id == publication.run_id and kept.fields:
                for ordinals in ordinal_ranges(frozen, published_rows.SENT, ()):
                    checkpoint.write_published(kept, found, queue, ordinals, run.ctx.clock.now())
        counts = tables.warehouse.counts(
            f"SELECT op, count(*) FROM {tables.plan} WHERE {published_rows.SENT} GROUP BY 1"
        )
        checkpoint.finish(tables, FrozenPlan(publication.plan_id, 0, queue))
        publications.end(tables, publication, "done")
        return {Operation(op): n for op, n in counts.items()}

    return await run.on_tables(write)
