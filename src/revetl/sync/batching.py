"""What is asked of a destination, cut to the sizes that it declares and kept to the concurrency that it allows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from revetl.destinations.base import Destination, Limits
from revetl.destinations.capabilities import PublishesRuns, RunsJobs
from revetl.model import Operation

T = TypeVar("T")
R = TypeVar("R")


def cut(items: Sequence[T], rows: int) -> list[Sequence[T]]:
    """Pieces of at most `rows`, in order; none where there are no items."""
    return [items[i : i + rows] for i in range(0, len(items), rows)]


def by_jobs(destination: Destination, object_: str, changes: int) -> bool:
    """Whether a plan of so many changes goes by jobs."""
    return isinstance(destination, RunsJobs) and changes >= destination.limits(object_).jobs_from


def write_rows(destination: Destination, object_: str, changes: int, op: Operation) -> int:
    """Changes of one operation that one call takes, in a plan of so many changes."""
    if isinstance(destination, PublishesRuns):
        return max(changes, 1)
    limits = destination.limits(object_)
    return limits.job_rows if by_jobs(destination, object_, changes) else limits.write_rows(op)


async def ask_in_batches(
    items: Sequence[T], rows: int, limits: Limits, ask: Callable[[Sequence[T]], Awaitable[R]]
) -> list[R]:
    """The answer to each batch, in order. The first that fails leaves as it is: for questions, which change nothing."""
    gate = asyncio.Semaphore(limits.concurrency)

    async def one(batch: Sequence[T]) -> R:
        async with gate:
            return await ask(batch)

    return await asyncio.gather(*map(one, cut(items, rows)))
