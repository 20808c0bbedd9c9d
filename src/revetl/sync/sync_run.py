"""What every step of one run of one sync is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from revetl.context import RunContext
from revetl.errors import WarehouseOutOfMemory
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.memory import repeated_when_short

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncRun:
    """`ctx` works through the sync's lease. `tables` are of the same warehouse."""

    ctx: RunContext
    tables: SyncTables

    @property
    def spec(self) -> SyncSpec:
        return self.tables.spec

    async def on_tables(
        self, function: Callable[Concatenate[SyncTables, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`function(tables, …)`, off the event loop: one at a time, as the warehouse wants it. Once more where a
        transaction of it ran out of memory and may take more now: so it must be safe to repeat after a rollback."""

        def held_to_little() -> T:
            with repeated_when_short():
                return function(self.tables, *args, **kwargs)

        while True:
            try:
                answer: T = await self.ctx.offload(held_to_little)
            except WarehouseOutOfMemory as e:
                if not e.repeatable:
                    raise
            else:
                return answer
