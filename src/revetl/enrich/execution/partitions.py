"""Records in parts, so that all providers work at the same time: while the second is asked for what the first did not
find in one part, the first is asked about the next.

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

JOINED = 5  # so many of them are one where the first provider is so quick
QUICK_S = 1.0  # that it has read a part in less: statements would be a good part of that


class Line(Generic[T]):
    """Parts on their way to a stage, in the order of their coming."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue()

    def put(self, part: T | None) -> None:
        """None: it was the last."""
        self._queue.put_nowait(part)

    async def get(self) -> T | None:
        return await self._queue.get()


class FirstLine(Line[Partition]):
    """All parts, for the first stage. As long as it comes back soon for the next, several neighbours are given as
    one."""

    def __init__(self, parts: Sequence[Partition], clock: Clock) -> None:
        super().__init__()
        self._left = deque(parts)
        self._clock = clock
        self._at_once = 1
        self._given_at: float | None = None

    async def get(self) -> Partition | None:
        now = self._clock.monotonic()
        if self._given_at is not None:
            quick = now - self._given_at < QUICK_S
            self._at_once = min(JOINED, 2 * self._at_once) if quick else max(1, self._at_once // 2)
        self._given_at = now
        if not self._left:
            return None
        first = self._left.popleft()
        more = [self._left.popleft() for _ in range(min(self._at_once - 1, len(self._left)))]
        return (
            first if not more else Partition(first.after, more[-1].upto, first.share + sum(part.share for part in more))
        )


async def in_step(
    stages: int, first: Line[T], work: Callable[[int, Line[T], Callable[[T], None]], Awaitable[None]]
) -> None:
    """`work(stage, line, hand_on)` of all stages at the same time: each takes the parts that come on its line until
    None, and hands each on once, in whatever order it is done with them. The first failure ends the others."""
    lines = [first, *(Line[T]() for _ in range(stages))]

    async def stage(number: int) -> None:
        await work(number, lines[number], lines[number + 1].put)
        lines[number + 1].put(None)

    async with asyncio.TaskGroup() as group:
        for number in range(stages):
            group.create_task(stage(number))


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of groups within groups, what went wrong first."""
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
