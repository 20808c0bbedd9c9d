"""Holding a sync's lease for as long as a run takes: taken before the first write of state, renewed by every
transaction and by a timer, given back at the end.

What can fail and what then happens: the process dies → the lease ends by itself, or at once where the next run sees
that the process is gone. The lease is lost (a machine slept past its end) → the next transaction rolls back and the run
ends; what it had sent since its last checkpoint is in doubt for the run that took over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock
from revetl.errors import RevetlError
from revetl.model import Relation, Scalar
from revetl.state import leases
from revetl.state.leases import Holder
from revetl.sync.plan.matching import Offload
from revetl.warehouse.base import Column, Kind, TypedResults, Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

LASTS = timedelta(minutes=5)
_POLL_S = 5.0


class Fenced(TypedResults):
    """A warehouse whose transactions stand only while the lease is ours: each ends by renewing it, and whoever wants to
    take it over then waits for the commit. At the end, so that runs of other syncs, whose leases lie in the same table,
    wait for it no longer than they must. Those with `ddl` are long, and on Snowflake not held together: they begin with
    it as well."""

    def __init__(self, inner: Warehouse, hold: Callable[[], None]) -> None:
        self._inner = inner
        self._hold = hold

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
                self._hold()
            yield
            self._hold()

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


class _Serial:
    """One statement at a time: the timer must not write while the run does."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self.turn = asyncio.Lock()

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        async with self.turn:
            return await self._offload(function, *args)


@dataclass(frozen=True, slots=True)
class Leased:
    """What the holder works with in place of the bare ones."""

    warehouse: Warehouse
    offload: Offload


@asynccontextmanager
async def leased(
    warehouse: Warehouse,
    sync: str,
    run_id: str,
    *,
    clock: Clock,
    offload: Offload = asyncio.to_thread,
    wait_s: float = 0.0,
    on_wait: Callable[[Holder], None] | None = None,
    lasts: timedelta = LASTS,
) -> AsyncIterator[Leased]:
    """Holds the lease of this sync. LeaseError where another run has it for longer than `wait_s`; `on_wait` is told
    once who that is. State may be written only through the `Leased` that it gives."""
    name = leases.name_of(sync)
    serial = _Serial(offload)
    await _take(warehouse, name, run_id, clock, serial, wait_s, on_wait, lasts)

    def hold() -> None:
        leases.hold(warehouse, name, run_id, until=clock.now() + lasts)

    fenced = Fenced(warehouse, hold)
    timer = asyncio.create_task(_renew(fenced, clock, serial, lasts / 3))
    try:
        yield Leased(fenced, serial)
    finally:
        # Before anything that may fail: whatever happens to the table, this process no longer holds it.
        leases.forget(run_id)
        async with serial.turn:  # never in the middle of its statement
            timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
        await serial(leases.release, warehouse, name, run_id)


async def _take(
    warehouse: Warehouse,
    name: str,
    run_id: str,
    clock: Clock,
    offload: Offload,
    wait_s: float,
    on_wait: Callable[[Holder], None] | None,
    lasts: timedelta,
) -> None:
    deadline = clock.monotonic() + wait_s
    told = False
    while True:
        holder = await offload(lambda: leases.take(warehouse, name, run_id, now=clock.now(), lasts=lasts))
        if holder is None:
            return
        left = deadline - clock.monotonic()
        if left <= 0:
            raise leases.busy(holder)
        if on_wait is not None and not told:
            on_wait(holder)
            told = True
        await clock.sleep(min(_POLL_S, left))


async def _renew(fenced: Fenced, clock: Clock, offload: Offload, every: timedelta) -> None:
    """An empty transaction renews. Once lost it is lost: the run hears of it from its own next transaction."""

    def renew() -> None:
        with fenced.transaction():
            pass

    try:
        while True:
            await clock.sleep(every.total_seconds())
            await offload(renew)
    except RevetlError:
        return
