"""Apply a frozen plan: stream it (`plan_stream`), write it in batches, several in flight, and checkpoint what became of
it.

What can fail here and what then happens:
- one record is refused → its outcome is rejected; nobody else notices.
- an answer is lost → unknown; the snapshot row becomes in doubt and the next run looks for it.
- the vendor is away, the credentials are refused, a signal arrives → no new batch leaves, what is in flight is awaited,
  what was answered is checkpointed, the run ends; nothing is in doubt.
- the connection to the warehouse is lost → no batch leaves until it is back and the lease is still ours; then the
  checkpoint is looked for, and written where it did not take place, and the plan is read on.
- the process dies → records below the durable intent and without an outcome are in doubt, and no others.

A destination that takes a run as a whole is given it by `publishing` instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from revetl.context import Meter
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import NeedsRecords, PublishesRuns, RunsJobs, requests_of
from revetl.errors import Ambiguous
from revetl.model import EXISTED, Change, Operation, Outcome, RunRecord, Status
from revetl.state import destination_jobs
from revetl.state.destination_jobs import DestinationJob
from revetl.sync.apply import checkpoint, wave_reading
from revetl.sync.apply.batch_writer import BatchWriter, one_for_each
from revetl.sync.apply.checkpoint import FrozenPlan
from revetl.sync.apply.jobs import JobWriter
from revetl.sync.apply.plan_stream import PlanStream
from revetl.sync.apply.publishing import publish_plan
from revetl.sync.apply.state_connection import StateConnection
from revetl.sync.apply.waves import Waves
from revetl.sync.apply.writes_aside import WritesAside
from revetl.sync.batching import by_jobs
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun

log = logging.getLogger("revetl.sync")

_WriteCheckpoint = Callable[..., None]

_CHECKPOINT_S = 5.0
_CHECKPOINT_ROWS = 20_000
# A stretch of intent is what can be sent until the next checkpoint is due, so that a crash leaves in doubt what was in
# flight and little more. It starts with what is in flight at once, grows to the rate that the destination shows, and
# is bounded: outcomes wait in memory until they are durable.
_STRETCH_ROWS = 50_000
_STRETCH_GROWTH = 8


class Applied(Protocol):
    """What became of a plan. `counts`: outcome → records, with those that were decided when it was planned. `answered`:
    (operation, status) → records that were sent. `not_applied`: field → records of which another value stands than was
    sent. `error`: why it stopped early, None where it ran to the end or was told to stop. `jobs_running`: jobs that
    were left to be followed by the next run."""

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def answered(self) -> Counter[tuple[Operation, Status]]: ...

    @property
    def not_applied(self) -> Counter[str]: ...

    @property
    def sent(self) -> int: ...

    @property
    def error(self) -> BaseException | None: ...

    @property
    def jobs_running(self) -> int: ...


async def apply_plan(
    run: SyncRun, destination: Destination, record: RunRecord, plan: FrozenPlan, *, stage: str
) -> Applied:
    """Sends `plan__<sync>` as it stands frozen, and writes down what became of every line. `stage`: the word under
    which its progress is shown. A WarehouseError leaves as it is: what was not checkpointed is then in doubt for the
    next run."""
    ctx, now = run.ctx, run.ctx.clock.now
    record.counts = await again(ctx, lambda: run.on_tables(checkpoint.write_decided, plan, record, now()))
    if isinstance(destination, PublishesRuns) and plan.changes:
        await again(ctx, lambda: run.on_tables(checkpoint.begin, plan, record.run_id, now()))
        published = await publish_plan(run, destination, record, plan, stage=stage)
        if not isinstance(published.error, Ambiguous):  # else the next run publishes it
            await again(ctx, lambda: run.on_tables(checkpoint.finish, plan))
        record.counts = dict(published.counts)
        return published
    waves = await wave_reading.read(run, destination)
    applier = Applier(run, destination, record, plan, waves)
    if plan.changes or waves.vacated:
        await again(ctx, lambda: run.on_tables(checkpoint.begin, plan, record.run_id, now()))
        await applier.apply(run.ctx.progress(stage))
        await again(ctx, lambda: run.on_tables(checkpoint.finish, plan))
    return applier


class Applier:
    """Applies one plan once, and says what became of it as `Applied`."""

    def __init__(
        self, run: SyncRun, destination: Destination, record: RunRecord, plan: FrozenPlan, waves: Waves
    ) -> None:
        self._waves = waves
        self._run, self._destination, self._record, self._plan = run, destination, record, plan
        self._clock = run.ctx.clock
        self._meter: Meter | None = None
        self._limits = destination.limits(run.spec.object)
        if plan.erases:
            self._limits = replace(self._limits, delete_rows=self._limits.erase_rows)
        self._stretch = 0
        self._intent = 0
        self._started_s = self._clock.monotonic()
        self._done: list[Outcome] = []
        self._connection = StateConnection(run.ctx)
        self._last_checkpoint_s = self._clock.monotonic()
        self._ahead: asyncio.Task[None] | None = None  # a checkpoint under way while requests go on
        self._ended_jobs: list[DestinationJob] = []
        self.counts: Counter[str] = Counter(record.counts)
        self.not_applied: Counter[str] = Counter()
        self.answered: Counter[tuple[Operation, Status]] = Counter()
        self.sent = 0
        self._writer = self._make_writer()
        whole = isinstance(destination, NeedsRecords) and destination.needs_record(run.spec.object)
        self._stream = PlanStream(run, record, waves, self._limits, self._connection, records=whole, erases=plan.erases)
        self._aside = WritesAside(run, destination, waves)

    @property
    def error(self) -> BaseException | None:
        return self._writer.error

    @property
    def jobs_running(self) -> int:
        return self._writer.left_running if isinstance(self._writer, JobWriter) else 0

    def _make_writer(self) -> BatchWriter | JobWriter:
        run, destination = self._run, self._destination
        jobs = self._plan.by_jobs and by_jobs(destination, run.spec.object, self._plan.changes)
        if not (jobs and isinstance(destination, RunsJobs)):
            return BatchWriter(destination, run.spec, self._note, run.ctx.stop.is_set)
        self._limits = replace(
            self._limits, batch_rows=self._limits.job_rows, delete_rows=None, batch_bytes=self._limits.job_bytes
        )
        return JobWriter(
            run,
            destination,
            self._plan.plan_id,
            self._note,
            lambda: self._stopping,
            self._remember_job,
            self._ended_jobs,
        )

    async def _remember_job(self, job: DestinationJob) -> None:
        run, now = self._run, self._clock.now
        async with self._connection.one_at_a_time:
            await self._connection.again(
                lambda: run.on_tables(destination_jobs.remember, job, now()),
                lambda: run.on_tables(destination_jobs.remember_again, job, now()),
            )

    async def apply(self, meter: Meter | None) -> None:
        """Returns when nothing is in flight any more and every outcome is durable."""
        self._meter = meter
        await self._aside.empty()
        self._writer.error = self._aside.error
        batches: asyncio.Queue[list[Change] | None] = asyncio.Queue(maxsize=self._limits.concurrency)
        tasks = [asyncio.create_task(self._work(batches)) for _ in range(self._limits.concurrency)]
        tasks.append(asyncio.create_task(self._produce(batches)))
        try:
            # The first that fails ends all: a producer must not wait for workers that are gone.
            await asyncio.gather(*tasks)
            await self._caught_up()
        finally:
            for task in tasks:
                task.cancel()
            # A checkpoint is never cancelled half-way: its thread would go on writing behind our back.
            await asyncio.gather(*tasks, *([self._ahead] if self._ahead else []), return_exceptions=True)
        if not self._stopping:
            await self._aside.give_back()
        if ended := self._waves.ended():
            self._take_in(Operation.UPDATE, ended)
        await self._checkpoint(None)

    async def _produce(self, batches: asyncio.Queue[list[Change] | None]) -> None:
        leaving = False
        async with aclosing(self._stream.batches()) as plan:
            async for starts, batch in plan:
                if starts or (leaving and batch[0].op is not Operation.DELETE):
                    await batches.join()  # what leaves is gone before anybody takes its place, and so is what moves
                leaving = batch[0].op is Operation.DELETE
                if self._stopping:
                    break
                if held_back := self._waves.held_back(batch):
                    held = {outcome.ordinal for outcome in held_back}
                    self._note([change for change in batch if change.ordinal in held], held_back)
                    batch = [change for change in batch if change.ordinal not in held]
                    if not batch:
                        continue
                await self._reach(batch[-1].ordinal)  # batches keep the order of the plan
                await batches.put(batch)
        for _ in range(self._limits.concurrency):
            await batches.put(None)

    @property
    def _stopping(self) -> bool:
        return self._run.ctx.stop.is_set() or self.error is not None or self._connection.lost_for_good

    async def _work(self, batches: asyncio.Queue[list[Change] | None]) -> None:
        # After a stop the queue is still drained, so that the producer never waits for a worker that is gone.
        while (batch := await batches.get()) is not None:
            await self._connection.connected.wait()
            if not self._stopping:
                await self._writer.write(batch)
            batches.task_done()

    def _note(self, batch: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        self._take_in(batch[0].op, self._waves.note(one_for_each(batch, outcomes)))  # a batch is of one operation

    def _take_in(self, op: Operation, outcomes: Sequence[Outcome]) -> None:
        self._done += outcomes
        answered = Counter(o.status for o in outcomes)
        self.counts.update(answered)
        for status, n in answered.items():
            self.answered[op, status] += n
        if existed := sum(o.error_code == EXISTED and o.status is Status.OK for o in outcomes):
            self.answered[Operation.CREATE, Status.OK] -= existed
            self.answered[Operation.UPDATE, Status.OK] += existed
        self.not_applied.update(n for o in outcomes if o.stands and o.status is Status.ACCEPTED for n in o.stands)
        self.sent += len(outcomes)
        if outcomes and log.isEnabledFor(logging.DEBUG):  # all of them may be held until values are given back
            counted = Counter(str(o.status.value) for o in outcomes)
            named = {"run_id": self._record.run_id, "sync": self._run.spec.name, "op": op.value}
            log.debug("batch answered", extra={**named, "records": len(outcomes), **counted})
        if self._meter:
            self._meter(self.sent, self._plan.changes)

    async def _reach(self, ordinal: int) -> None:
        """Before this ordinal is sent the durable intent must be past it; and a checkpoint may be due.

        The next stretch of intent is written while the last half of this one is being sent, so that requests wait for
        the warehouse only where it is slower than the destination.
        """
        if self._ahead is not None and (self._ahead.done() or ordinal >= self._intent):
            await self._caught_up()
        if ordinal >= self._intent:
            await self._checkpoint(ordinal + self._next_stretch())
        elif self._ahead is None and ordinal >= self._intent - self._stretch // 2:
            self._ahead = asyncio.create_task(self._checkpoint(self._intent + self._next_stretch()))
        elif self._ahead is None and self._checkpoint_due:
            self._ahead = asyncio.create_task(self._checkpoint(None))

    @property
    def _checkpoint_due(self) -> bool:
        waited_s = self._clock.monotonic() - self._last_checkpoint_s
        return waited_s >= _CHECKPOINT_S or len(self._done) >= _CHECKPOINT_ROWS

    def _next_stretch(self) -> int:
        """Rows until the next checkpoint, at the rate so far."""
        in_flight = self._limits.batch_rows * self._limits.concurrency
        if self._plan.intent_rows is not None:
            self._stretch = max(self._plan.intent_rows, self._limits.batch_rows)
        else:
            rate = self.sent / max(self._clock.monotonic() - self._started_s, 1e-3)
            wanted = min(int(rate * _CHECKPOINT_S), _STRETCH_ROWS, self._stretch * _STRETCH_GROWTH)
            self._stretch = max(wanted, 2 * in_flight)
        return self._stretch

    async def _caught_up(self) -> None:
        """Waits for the checkpoint under way; its failure is raised here."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead

    async def _checkpoint(self, intent_until: int | None) -> None:
        async with self._connection.one_at_a_time:
            done, self._done = self._done, []
            ended, self._ended_jobs[:] = self._ended_jobs.copy(), []
            self._record.counts = dict(self.counts)
            self._record.requests, self._record.retries = requests_of(self._destination)

            def written_by(write: _WriteCheckpoint) -> Awaitable[None]:
                plan, record, now = self._plan, self._record, self._clock.now()
                return self._run.on_tables(write, plan, record, done, now, intent_until=intent_until, ended_jobs=ended)

            # The tables that it uses went with a lost connection: it makes them anew.
            write = checkpoint.write_again if self._connection.scratch_is_gone else checkpoint.write
            await self._connection.again(lambda: written_by(write), lambda: written_by(checkpoint.write_again))
            self._connection.scratch_is_gone = False
            if intent_until is not None:
                self._intent = intent_until
            self._last_checkpoint_s = self._clock.monotonic()
