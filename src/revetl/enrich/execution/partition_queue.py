"""Partitions on their way from stage to stage, so that all providers work at the same time: while the second is asked
for what the first did not find in one partition, the first is asked about the next.

Stage after stage over everything would leave every vendor but one idle: a run would take as long as all of them
together, in place of as long as the busiest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from revetl.clock import Clock
from revetl.enrich.selection.partition import Partition

T = TypeVar("T")

MAX_JOINED = 5  # neighbours that are given as one partition where the first provider is quick
QUICK_S = 1.0  # so quick that it has read a partition in less: the statements of each would be a good part of that


class PartitionQueue(Generic[T]):
    """Those that wait for one stage, in the order of their coming. None ends the queue."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue()

    def put(self, partition: T | None) -> None:
        self._queue.put_nowait(partition)

    async def get(self) -> T | None:
        return await self._queue.get()


class FirstStageQueue(PartitionQueue[Partition]):
    """All partitions, for the first stage. As long as it comes back soon for the next, several neighbours are given as
    one."""

    def __init__(self, partitions: Sequence[Partition], clock: Clock) -> None:
        super().__init__()
        self._left = deque(partitions)
        self._clock = clock
        self._at_once = 1
        self._given_at: float | None = None

    async def get(self) -> Partition | None:
        now = self._clock.monotonic()
        if self._given_at is not None:
            quick = now - self._given_at < QUICK_S
            self._at_once = min(MAX_JOINED, 2 * self._at_once) if quick else max(1, self._at_once // 2)
        self._given_at = now
        if not self._left:
            return None
        first = self._left.popleft()
        more = [self._left.popleft() for _ in range(min(self._at_once - 1, len(self._left)))]
        if not more:
            return first
        return Partition(first.after, more[-1].upto, first.share + sum(each.share for each in more))


async def run_stages(
    stages: int,
    first: PartitionQueue[T],
    work: Callable[[int, PartitionQueue[T], Callable[[T], None]], Awaitable[None]],
) -> None:
    """Calls `work(stage, queue, hand_on)` of all stages at the same time. Each takes the partitions that come on its
    queue until None, and hands each on once, in whatever order it is done with them. The first failure ends the
    others."""
    queues = [first, *(PartitionQueue[T]() for _ in range(stages))]

    async def stage(number: int) -> None:
        await work(number, queues[number], queues[number + 1].put)
        queues[number + 1].put(None)

    async with asyncio.TaskGroup() as group:
        for number in range(stages):
            group.create_task(stage(number))


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of groups within groups, what went wrong first."""
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
