"""Apply a frozen plan: stream it, write it in batches, several in flight, and checkpoint what became of it.

What can fail here and what then happens:
- one record is refused → its outcome is rejected; nobody else notices.
- an answer is lost → unknown; the snapshot row becomes in doubt and the next run settles it.
- the vendor is away, the credentials are refused, a signal arrives → no new batch leaves, what is in flight is awaited,
  what is settled is checkpointed, the run ends; nothing is in doubt.
- the process dies → records below the durable intent and without an outcome are in doubt, and no others.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import TYPE_CHECKING

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.errors import Ambiguous, CallError, Rejected
from revetl.model import Change, Operation, Outcome, RunRecord, Status
from revetl.state.layout import Layout
from revetl.sync import checkpoint
from revetl.sync.matching import Offload
from revetl.warehouse.base import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int], None]

_CHUNK_ROWS = 5_000
# How far the durable intent runs ahead of what is sent: bounds both the records that a crash leaves in doubt and the
# number of checkpoints of a long run.
_INTENT_ROWS = 10_000
_CHECKPOINT_S = 5.0


class Applier:
    """Applies one plan once. `error` is why it stopped early, None where it ran to the end or was told to stop."""

    def __init__(
        self,
        warehouse: Warehouse,
        layout: Layout,
        destination: Destination,
        run: RunRecord,
        plan_id: str,
        total: int,
        *,
        clock: Clock,
        offload: Offload,
        progress: Progress | None = None,
        stop: asyncio.Event | None = None,
        intent_rows: int = _INTENT_ROWS,
    ) -> None:
        self._warehouse, self._layout, self._destination = warehouse, layout, destination
        self._run, self._plan_id, self._total = run, plan_id, total
        self._clock, self._offload, self._progress = clock, offload, progress
        self._stop = stop or asyncio.Event()
        self._limits = destination.limits(layout.spec.object)
        self._intent_rows = max(intent_rows, self._limits.batch_rows)
        self._intent = 0
        self._done: list[Outcome] = []
        self._database = asyncio.Lock()  # one statement at a time
        self._last_checkpoint_s = clock.monotonic()
        self._ahead: asyncio.Task[None] | None = None  # a checkpoint under way while requests go on
        self.counts: Counter[str] = Counter(run.counts)
        self.sent = 0
        self.error: BaseException | None = None

    async def apply(self) -> None:
        """Returns when nothing is in flight any more and everything settled is durable. A WarehouseError leaves as it
        is: what was not checkpointed is then in doubt for the next run."""
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
        await self._checkpoint(None)

    async def _produce(self, batches: asyncio.Queue[list[Change] | None]) -> None:
        async with aclosing(self._batches()) as plan:
            async for batch in plan:
                if self._stopping:
                    break
                await self._reach(max(change.ordinal for change in batch))
                await batches.put(batch)
        for _ in range(self._limits.concurrency):
            await batches.put(None)

    @property
    def _stopping(self) -> bool:
        return self._stop.is_set() or self.error is not None

    async def _work(self, batches: asyncio.Queue[list[Change] | None]) -> None:
        # After a stop the queue is still drained, so that the producer never waits for a worker that is gone.
        while (batch := await batches.get()) is not None:
            if not self._stopping:
                self._settle(batch, await self._write(batch))

    async def _write(self, batch: Sequence[Change]) -> list[Outcome]:
        """The outcomes of one batch; empty where certainly nothing of it was applied and the run has to stop."""
        spec = self._layout.spec
        try:
            return await self._destination.write(spec.object, spec.match_on, batch)
        except Rejected as e:
            return [_outcome(change, Status.REJECTED, e) for change in batch]
        except Ambiguous as e:
            return [_outcome(change, Status.UNKNOWN, e) for change in batch]
        except CallError as e:
            # Denied, Unavailable, Throttled past patience: the next batch would meet the same.
            self.error = self.error or e
            return []
        except Exception as e:  # noqa: BLE001 a connector's bug: what was sent is not known, and the run says why it stopped
            self.error = self.error or e
            return [_outcome(change, Status.UNKNOWN, e) for change in batch]

    def _settle(self, batch: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        """Exactly one outcome per change: the first that is given counts, a missing one is unknown, never ok."""
        if not outcomes:
            return
        given = {outcome.ordinal: outcome for outcome in reversed(outcomes)}
        for change in batch:
            outcome = given.get(change.ordinal) or Outcome(
                change.ordinal, Status.UNKNOWN, error_class="Unanswered", message="the connector gave no outcome"
            )
            self._done.append(outcome)
            self.counts[outcome.status.value] += 1
        self.sent += len(batch)
        if self._progress:
            self._progress(self.sent, self._total)

    async def _reach(self, ordinal: int) -> None:
        """Before this ordinal is sent the durable intent must be past it; and a checkpoint may be due.

        The next stretch of intent is written while the last half of this one is being sent, so that requests wait for
        the warehouse only where it is slower than the destination.
        """
        if self._ahead is not None and (self._ahead.done() or ordinal >= self._intent):
            await self._caught_up()
        if ordinal >= self._intent:
            await self._checkpoint(ordinal + self._intent_rows)
        elif self._ahead is None and ordinal >= self._intent - self._intent_rows // 2:
            self._ahead = asyncio.create_task(self._checkpoint(self._intent + self._intent_rows))
        elif self._ahead is None and self._clock.monotonic() - self._last_checkpoint_s >= _CHECKPOINT_S:
            self._ahead = asyncio.create_task(self._checkpoint(None))

    async def _caught_up(self) -> None:
        """Waits for the checkpoint under way; its failure is raised here."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead

    async def _checkpoint(self, intent_until: int | None) -> None:
        async with self._database:
            done, self._done = self._done, []
            self._run.counts = dict(self.counts)
            self._run.requests, self._run.retries = self._destination.requests, self._destination.retries

            def write() -> None:
                checkpoint.write(
                    self._warehouse,
                    self._layout,
                    self._run,
                    self._plan_id,
                    done,
                    intent_until=intent_until,
                    clock=self._clock,
                )

            await self._offload(write)
            if intent_until is not None:
                self._intent = intent_until
            self._last_checkpoint_s = self._clock.monotonic()

    async def _batches(self) -> AsyncGenerator[list[Change], None]:
        """Changes of one operation each, in the order of the plan as far as the operations allow."""
        waiting: dict[Operation, list[Change]] = {op: [] for op in Operation}
        size = self._limits.batch_rows
        chunks = await self._offload(self._stream)
        coming = asyncio.create_task(self._next(chunks))
        try:
            while (chunk := await coming) is not None:
                coming = asyncio.create_task(self._next(chunks))
                for change in read_changes(chunk, self._layout):
                    batch = waiting[change.op]
                    batch.append(change)
                    if len(batch) == size:
                        waiting[change.op] = []
                        yield batch
        finally:
            # Left early: the chunk under way is awaited, since its thread holds the cursor.
            await asyncio.gather(coming, return_exceptions=True)
        for batch in waiting.values():
            if batch:
                yield batch

    async def _next(self, chunks: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        async with self._database:
            chunk: pa.RecordBatch | None = await self._offload(next, chunks, None)
            return chunk

    def _stream(self) -> Iterator[pa.RecordBatch]:
        layout = self._layout
        after = "".join(f", {layout.q(f.after)}" for f in layout.fields)
        return self._warehouse.stream(
            f"SELECT ordinal, key, op, destination_id, in_doubt, changed_fields{after} FROM {layout.t(layout.plan)}"
            " WHERE settled IS NULL ORDER BY ordinal",
            batch_rows=_CHUNK_ROWS,
        )


def read_changes(chunk: pa.RecordBatch, layout: Layout) -> Iterator[Change]:
    """The lines of a plan as they are handed to a connector."""
    ordinals, keys, ops, ids, doubts, lists, *columns = (column.to_pylist() for column in chunk.columns)
    position = {f.name: i for i, f in enumerate(layout.fields)}
    match = columns[position[layout.spec.match_on]] if layout.spec.match_on else [None] * len(keys)

    @lru_cache(maxsize=4096)
    def columns_of(names: str) -> tuple[tuple[str, list[object]], ...]:
        return tuple((name, columns[position[name]]) for name in json.loads(names))

    operations = {op.value: op for op in Operation}
    for i, names in enumerate(lists):
        fields = {name: column[i] for name, column in columns_of(names)}
        yield Change(ordinals[i], keys[i], operations[ops[i]], ids[i], fields, match[i], doubts[i])  # type: ignore[arg-type]


def _outcome(change: Change, status: Status, error: BaseException) -> Outcome:
    code = error.code if isinstance(error, CallError) else None
    message = str(error) if isinstance(error, CallError) else "the connector failed while this record was in flight"
    return Outcome(change.ordinal, status, None, type(error).__name__, code, message)
