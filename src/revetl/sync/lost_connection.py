"""Work on a sync's state that goes on after the connection to the warehouse was lost, while the lease is still ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from revetl.context import RunContext
from revetl.errors import WarehouseLost
from revetl.warehouse.reconnecting import until_back

T = TypeVar("T")

# In a row: then it is a statement of ours that ends the server's session.
MOST_LOSSES = 5


async def again(
    ctx: RunContext, work: Callable[[], Awaitable[T]], repeat: Callable[[], Awaitable[T]] | None = None
) -> T:
    """What `work` gives; where the connection is lost meanwhile, what `repeat` gives once it is back: by default the
    same work, which must then be safe to repeat from its start. Else `repeat` looks what of it took place.

    LeaseError where another run took the sync over meanwhile; WarehouseLost where the connection stays away for
    `ctx.reconnect_s`, or is lost again and again.
    """
    present = work
    for losses in range(MOST_LOSSES + 1):
        try:
            return await present()
        except WarehouseLost:
            if losses == MOST_LOSSES:
                raise
        await reconnected(ctx)
        present = repeat or work
    raise AssertionError("the last loss was raised")


async def reconnected(ctx: RunContext) -> None:
    """Waits until the connection is back, and renews the lease. Raises as `again`."""

    def renew() -> None:
        with ctx.warehouse.transaction():  # of a lease: it ends by renewing
            pass

    await until_back(lambda: ctx.offload(renew), ctx.clock, patience_s=ctx.reconnect_s, stop=ctx.stop)
