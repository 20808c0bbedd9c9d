"""Holding a sync's lease for as long as a run takes: taken before the first write of state, renewed by every
transaction and by a heartbeat, given back at the end.

What can fail and what then happens: the process dies → the lease ends by itself, or at once where the next run sees
that the process is gone. The lease is lost (a machine slept past its end) → the next transaction rolls back and the run
ends; what it had sent since its last checkpoint is in doubt for the run that took over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from revetl.context import Offload, RunContext
from revetl.errors import RevetlError, WarehouseConflict, WarehouseLost
from revetl.model import Relation, Scalar, SyncSpec
from revetl.state import leases, snapshot
from revetl.state.leases import Holder
from revetl.state.sync_tables import resolve
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.base import Column, Kind, TypedResults, Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

LASTS = timedelta(minutes=5)
_POLL_S = 5.0
_CONFLICTS, _CONFLICT_PAUSE_S = 100, 0.05


class FencedWarehouse(TypedResults):
    """A warehouse whose transactions stand only while the lease is ours: each ends by renewing it, and whoever wants to
    take it over then waits for the commit. It is renewed at the end, so that runs of other syncs, whose leases lie in
    the same table, wait for it no longer than they must. A transaction with `ddl` is long, and on Snowflake every
    statement of it commits: it begins by renewing as well."""

    def __init__(self, inner: Warehouse, renew: Callable[[], None]) -> None:
        self._inner = inner
        self._renew = renew

    @property
    def dialect(self) -> str:
        return self._inner.dialect

    @property
    def repeatable_reads(self) -> bool:
        return self._inner.repeatable_reads

    @property
    def state_schema(self) -> str:
        return self._inner.state_schema

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._inner.execute(sql, params)

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        return self._inner.rows(sql, params)

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        return self._inner.stream(sql, params, batch_rows=batch_rows)

    def append(self, table: Relation, data: pa.Table) -> None:
        self._inner.append(table, data)

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        with self._inner.transaction(ddl=True) if ddl else self._inner.transaction():
            if ddl:
                self._renew()
            yield
            self._renew()

    def columns(self, relation: Relation) -> list[Column]:
        return self._inner.columns(relation)

    def tables(self, schema: str) -> dict[str, list[str]]:
        return self._inner.tables(schema)

    def kind(self, relation: Relation) -> Kind | None:
        return self._inner.kind(relation)

    def scratch(self, name: str) -> Relation:
        return self._inner.scratch(name)

    def lean(self, columns: int) -> AbstractContextManager[None] | None:
        return self._inner.lean(columns)

    def close(self) -> None:
        self._inner.close()


class _OneAtATime:
    """The heartbeat must not write while the run does."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self.lock = asyncio.Lock()

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        async with self.lock:
            return await self._offload(function, *args)


@asynccontextmanager
async def under_lease(ctx: RunContext, spec: SyncSpec) -> AsyncIterator[SyncRun]:
    """Holds the sync's lease, with its tables made or brought to the model's present columns. LeaseError as `leased`,
    ConfigError where the model is not what the sync says."""
    async with leased(ctx, spec.name) as ctx:

        async def prepared() -> SyncRun:
            run = SyncRun(ctx, await ctx.offload(resolve, ctx.warehouse, spec))
            await run.on_tables(snapshot.prepare)
            return run

        yield await again(ctx, prepared)


@asynccontextmanager
async def leased(ctx: RunContext, sync: str, *, lasts: timedelta = LASTS) -> AsyncIterator[RunContext]:
    """Holds the lease of this sync. LeaseError where another run has it for longer than `ctx.wait` says. State may be
    written only through the context that it gives."""
    async with _held(ctx, leases.name_of(sync), lasts) as held:
        yield held


@asynccontextmanager
async def leased_saga(ctx: RunContext, saga: str, *, lasts: timedelta = LASTS) -> AsyncIterator[RunContext]:
    """The same for a saga. Its syncs run through the context that it gives, each with a run id of its own: a process
    knows its leases by their runs."""
    async with _held(ctx, f"saga:{saga}", lasts) as held:
        yield held


@asynccontextmanager
async def _held(ctx: RunContext, name: str, lasts: timedelta) -> AsyncIterator[RunContext]:
    clock = ctx.clock
    offload = _OneAtATime(ctx.offload)
    await _take(ctx, name, offload, lasts)

    def renew() -> None:
        leases.hold(ctx.warehouse, name, ctx.run_id, until=clock.now() + lasts)

    fenced = FencedWarehouse(ctx.warehouse, renew)
    heartbeat = asyncio.create_task(_beat(fenced, ctx, offload, lasts / 3))
    try:
        yield ctx.under(fenced, offload)
    finally:
        # Before anything that may fail: whatever happens to the table, this process no longer holds it.
        leases.forget(ctx.run_id)
        async with offload.lock:  # never in the middle of its statement
            heartbeat.cancel()
        await asyncio.gather(heartbeat, return_exceptions=True)
        with suppress(WarehouseLost):  # then it ends by itself, and hides no failure of the run
            try:
                await offload(leases.release, ctx.warehouse, name, ctx.run_id)
            except WarehouseLost as e:
                if not e.in_doubt:
                    raise
                await offload(leases.release, ctx.warehouse, name, ctx.run_id)


async def _take(ctx: RunContext, name: str, offload: Offload, lasts: timedelta) -> None:
    clock = ctx.clock
    deadline = clock.monotonic() + ctx.wait.seconds
    said, conflicts = False, 0

    async def taking() -> Holder | None:
        found: Holder | None = await offload(
            lambda: leases.take(ctx.warehouse, name, ctx.run_id, now=clock.now(), lasts=lasts)
        )
        return found

    while True:
        try:
            # A run that has it already, by a COMMIT whose answer was lost, is given it once more.
            holder = await again(ctx, taking)
        except WarehouseConflict:
            # Another run takes it at this very moment, and its name can't be read yet: it can when it has committed.
            conflicts += 1
            if conflicts > _CONFLICTS:
                raise
            await clock.sleep(_CONFLICT_PAUSE_S)
            continue
        if holder is None:
            return
        left = deadline - clock.monotonic()
        if left <= 0:
            raise leases.busy(holder)
        if ctx.wait.on_wait is not None and not said:
            ctx.wait.on_wait(holder)
            said = True
        await clock.sleep(min(_POLL_S, left))


async def _beat(fenced: FencedWarehouse, ctx: RunContext, offload: Offload, every: timedelta) -> None:
    """An empty transaction renews. A lease that is lost is lost: the run hears of it from its own next transaction. A
    connection that is lost may come back before the lease ends."""

    def renew() -> None:
        with fenced.transaction():
            pass

    while True:
        await ctx.clock.sleep(every.total_seconds())
        try:
            await offload(renew)
        except WarehouseLost:
            continue
        except RevetlError:
            return
