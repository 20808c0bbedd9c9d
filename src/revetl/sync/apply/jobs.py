"""Jobs at the destination: submitted, made durable, followed; and those of a run that never finished, taken over.

What can fail here and what then happens:
- the process dies between `submit` and the durable id → its records are in doubt, as after any lost answer.
- it dies later, a signal arrives, or the vendor is away → the job stays in `destination_jobs`, and the next run follows
  it to its end before it does anything else. Nothing of it is sent again.
- the model's columns have other types since, or the connector runs no jobs any more → its records are in doubt.
- the vendor does not know the job any more → its records are unknown, and are looked for.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from revetl.context import RunContext
from revetl.destinations.capabilities import RunsJobs
from revetl.errors import Ambiguous, CallError, JobInterrupted, JobRunning, Rejected
from revetl.model import Change, Outcome, Status
from revetl.state import destination_jobs
from revetl.state.destination_jobs import DestinationJob
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync.apply import checkpoint
from revetl.sync.apply.batch_writer import Note, failed, halve, one_for_each
from revetl.sync.apply.plan_lines import read_changes, stream_lines
from revetl.sync.sync_run import SyncRun

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_NOTE_S = 60.0


@dataclass(slots=True)
class JobWriter:
    """In place of a `BatchWriter` where batches go by jobs. `remember` makes a submitted job durable. `ended`: jobs
    whose outcomes were noted and are not written yet. `left_running`: how many a later run has to follow."""

    run: SyncRun
    destination: RunsJobs
    plan_id: str
    note: Note
    stopping: Callable[[], bool]
    remember: Callable[[DestinationJob], Awaitable[None]]
    ended: list[DestinationJob]
    left_running: int = 0
    error: BaseException | None = None

    async def write(self, batch: Sequence[Change]) -> bool:
        """Submits one batch and follows it until it ends, or the run is to stop. One that is refused when it is handed
        over is halved, and each half is a job of its own. Whether the batch was taken as a job."""
        spec, ctx = self.run.spec, self.run.ctx
        try:
            job_id = await self.destination.submit(spec.object, spec.created_through, batch)
        except Rejected as e:
            if len(batch) > 1:
                await halve(batch, self.write, self._is_to_stop)
            else:
                self.note(batch, failed(batch, Status.REJECTED, e))
            return False
        except Ambiguous as e:
            self.note(batch, failed(batch, Status.UNKNOWN, e))
            return False
        except CallError as e:
            self.error = self.error or e
            return False
        except Exception as e:  # noqa: BLE001 - a connector's bug: the job may have been handed over
            self.error = self.error or e
            self.note(batch, failed(batch, Status.UNKNOWN, e))
            return False
        if not isinstance(job_id, str) or not job_id:
            # Nobody could ask after it: its records are looked for, as after any lost answer.
            message = f"{spec.destination}: the connector gave a job id that is no text ({type(job_id).__name__})"
            self.error = self.error or Ambiguous(message)
            self.note(batch, failed(batch, Status.UNKNOWN, Ambiguous(message)))
            return False
        job = DestinationJob(ctx.run_id, self.plan_id, job_id, tuple(c.ordinal for c in batch))
        await self.remember(job)
        try:
            outcomes = await _follow(ctx, self.destination, spec.object, job_id, batch, self.stopping)
        except Exception as e:  # noqa: BLE001 - whatever it is, the job is there, and a later run asks again
            self.error = self.error or e
            outcomes = None
        if outcomes is None:
            self.left_running += 1
            return True
        self.note(batch, outcomes)
        self.ended.append(job)
        return True

    def _is_to_stop(self) -> bool:
        return self.error is not None or self.stopping()


async def _follow(
    ctx: RunContext,
    destination: RunsJobs,
    object_: str,
    job_id: str,
    changes: Sequence[Change],
    stopping: Callable[[], bool],
) -> list[Outcome] | None:
    """What became of each change, once the job has ended; None where the run is to stop before that. While it lasts
    `ctx.note` hears of it, at first and once a minute."""
    pause_s = _FIRST_PAUSE_S
    began_s, next_note_s = ctx.clock.monotonic(), 0.0
    while True:
        try:
            outcomes = await destination.follow(object_, job_id, changes)
        except Rejected as e:
            return failed(changes, Status.REJECTED, e)
        except Ambiguous as e:
            return failed(changes, Status.UNKNOWN, e)
        if outcomes is not None:
            return outcomes
        if stopping():
            return None
        if (waited_s := ctx.clock.monotonic() - began_s) >= next_note_s:
            since = f", for {waited_s / 60:.0f} min now" if next_note_s else ""
            ctx.note(f"Waiting for job {job_id} at the destination: {len(changes):,} record(s) of {object_}{since}.")
            next_note_s += _NOTE_S
        await _pause(ctx, pause_s)
        if stopping():
            return None
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _pause(ctx: RunContext, seconds: float) -> None:
    """Ends early where the run is told to stop."""
    waits = [asyncio.ensure_future(ctx.clock.sleep(seconds)), asyncio.ensure_future(ctx.stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def follow_earlier(run: SyncRun, destination: object) -> tuple[Counter[str], int]:
    """Follows the jobs of runs that never came to their end, and writes what became of their records, under the run
    that sent them. Before recovery, which would take those records for in doubt, and before a new plan takes the place
    of theirs. `destination` is None where nobody is to be asked. JobRunning where the run is told to stop before they
    end (JobInterrupted), or has no destination to ask. Returns outcome status → records, and how many records of jobs
    that were given up are in doubt now."""
    followed, doubtful = Counter[str](), 0
    for job in await run.on_tables(destination_jobs.to_follow):
        if destination is None:
            raise JobRunning(
                f"{run.spec.name}: job {job.job_id} of run {job.run_id} has not been followed to its end, and"
                f" {run.spec.destination} is not asked here: `revetl sync` follows it"
            )
        now = run.ctx.clock.now
        if not isinstance(destination, RunsJobs):
            # An option was switched off. Nobody can ask any more, so its records are looked for, as after a crash.
            await run.on_tables(checkpoint.give_up, job, now())
            doubtful += len(job.ordinals)
            continue
        planned = await run.on_tables(_as_planned, job)
        changes = await run.ctx.offload(_lines_of, planned, job)
        outcomes = await _follow(
            run.ctx, destination, run.spec.object, job.job_id, changes, lambda: run.ctx.stop.is_set()
        )
        if outcomes is None:
            raise JobInterrupted(f"{run.spec.name}: job {job.job_id} of run {job.run_id} still runs; nothing was sent")
        answered = list(one_for_each(changes, outcomes))
        if await run.on_tables(_still_fits, planned):
            present = await run.on_tables(_present, planned)
            await run.ctx.offload(checkpoint.write_followed, present, job, answered, now())
            followed.update(outcome.status.value for outcome in answered)
        else:
            await run.on_tables(checkpoint.give_up, job, now())
            doubtful += len(job.ordinals)
    return followed, doubtful


def _as_planned(tables: SyncTables, job: DestinationJob) -> SyncTables:
    """The tables with the columns of the plan that the job is of: the model may have lost, gained or changed some
    since. What the connector is handed is what it was handed first."""
    columns = {c.name: c.type for c in tables.warehouse.columns(tables.relation("plan"))}
    planned = {f.name: f for f in tables.fields if f.after in columns}
    for name in _fields_sent(tables, job) if columns else ():
        lost = SyncField(name, columns.get(SyncField(name, "", False).after, ""), keep_null=False)
        if lost.after in columns:
            planned.setdefault(name, lost)
    fields = tuple(replace(f, type=columns[f.after]) for f in planned.values())
    spec = tables.spec
    by, key = (name if name in planned else None for name in (spec.match_on, spec.key_property))
    return replace(tables, fields=fields, spec=replace(spec, match_on=by, key_property=key))


def _fields_sent(tables: SyncTables, job: DestinationJob) -> list[str]:
    lists = tables.warehouse.rows(
        f"""
        SELECT DISTINCT changed_fields
        FROM {tables.plan}
        WHERE plan_id = ? AND outcome IS NULL
        """,
        [job.plan_id],
    )
    return list(dict.fromkeys(name for (text,) in lists for name in json.loads(str(text or "[]"))))


def _still_fits(tables: SyncTables, planned: SyncTables) -> bool:
    """Whether the columns that plan and model share have the type that they had."""
    types = {f.name: f.type for f in planned.fields}
    return all(types.get(f.name, f.type) == f.type for f in tables.fields)


def _present(tables: SyncTables, planned: SyncTables) -> SyncTables:
    """The planned columns that the model still has: those that the snapshot holds."""
    names = {f.name for f in planned.fields}
    return replace(planned, fields=tuple(f for f in tables.fields if f.name in names))


def _lines_of(tables: SyncTables, job: DestinationJob) -> list[Change]:
    """The lines of the plan that the job holds."""
    wanted = set(job.ordinals)
    if not tables.fields:
        return []
    low, high = min(wanted), max(wanted)
    chunks = stream_lines(tables, f"plan_id = ? AND ordinal BETWEEN {int(low)} AND {int(high)}", [job.plan_id])
    changes = [change for chunk in chunks for change in read_changes(chunk, tables)]
    return [change for change in changes if change.ordinal in wanted]
