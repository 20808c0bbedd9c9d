"""A frozen plan as the batches that are sent: read a chunk at a time, and read on where the connection was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from typing import TYPE_CHECKING

from revetl.destinations.base import Limits
from revetl.model import Change, Operation, RunRecord
from revetl.sync.apply.batches import BatchCutter
from revetl.sync.apply.plan_lines import read_changes, stream_lines, with_metadata
from revetl.sync.apply.state_connection import StateConnection
from revetl.sync.apply.waves import Waves
from revetl.sync.sync_run import SyncRun

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNKS_AHEAD = 5


class PlanStream:
    """Of one plan, read once. `limits`: how large its batches are; `records`: whether changes bring their rows;
    `erases`: whether deletes erase for good."""

    def __init__(
        self,
        run: SyncRun,
        record: RunRecord,
        waves: Waves,
        limits: Limits,
        connection: StateConnection,
        *,
        records: bool = False,
        erases: bool = False,
    ) -> None:
        self._erases = erases
        self._lines = partial(stream_lines, records=records)
        self._run, self._record, self._waves = run, record, waves
        self._limits, self._connection = limits, connection
        self._chunks: Iterator[pa.RecordBatch] = iter(())
        self._read_until = -1  # the last ordinal that was read from the plan

    async def batches(self) -> AsyncGenerator[tuple[bool, list[Change]], None]:
        """Changes of one operation each, in the order of the plan as far as the operations allow, with whether they are
        the first of a wave."""
        cutter, starts = BatchCutter(self._limits), False
        self._chunks = await self._run.on_tables(self._lines)
        # A checkpoint takes the warehouse for longer than a chunk lasts, so several are fetched ahead.
        ready: asyncio.Queue[pa.RecordBatch | None] = asyncio.Queue(maxsize=_CHUNKS_AHEAD)
        left = False

        async def fetch() -> None:
            try:
                while not left and (chunk := await self._next()) is not None:
                    await ready.put(chunk)
            finally:
                await ready.put(None)

        fetching = asyncio.create_task(fetch())
        try:
            while (chunk := await ready.get()) is not None:
                changes = read_changes(chunk, self._run.tables)
                if self._erases:
                    changes = [c._replace(erase=True) if c.op is Operation.DELETE else c for c in changes]
                wide = cutter.may_be_wide(chunk)
                if metadata := self._run.spec.metadata:
                    changes = with_metadata(changes, metadata, self._record)
                for begins, of_wave in self._waves.split(changes):
                    if begins:
                        for batch in cutter.rest():
                            yield starts, batch
                            starts = False
                        starts = True
                    for op in dict.fromkeys(change.op for change in of_wave):
                        # What leaves goes first: it may hold a value that somebody else is about to be given.
                        leaving = () if op is Operation.DELETE else cutter.rest(Operation.DELETE)
                        of_op = [change for change in of_wave if change.op is op]
                        for batch in (*leaving, *cutter.full(op, of_op, wide=wide)):
                            yield starts, batch
                            starts = False
            await fetching
        finally:
            # Left early: the chunk under way is awaited, since its thread holds the cursor.
            left = True
            while not fetching.done():
                while not ready.empty():
                    ready.get_nowait()
                await asyncio.wait([fetching], timeout=0.01)
        for batch in cutter.rest():
            yield starts, batch
            starts = False

    async def _next(self) -> pa.RecordBatch | None:
        async with self._connection.one_at_a_time:
            chunk = await self._connection.again(self._next_chunk, self._reopened_chunk)
            if chunk is not None:
                self._read_until = chunk.column(0)[-1].as_py()
            return chunk

    async def _next_chunk(self) -> pa.RecordBatch | None:
        chunk: pa.RecordBatch | None = await self._run.ctx.offload(next, self._chunks, None)
        return chunk

    async def _reopened_chunk(self) -> pa.RecordBatch | None:
        """The result went with the connection; the plan stands frozen, so it is read on from where it broke off."""
        self._chunks = await self._run.on_tables(self._lines, "ordinal > ?", [self._read_until])
        return await self._next_chunk()
