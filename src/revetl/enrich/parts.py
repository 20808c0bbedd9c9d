"""Records in parts, so that all providers work at the same time: while the second is asked for what the first did not
find in one part, the first is asked about the next.

Stage after stage over everything would leave every vendor but one idle: a run would take as long as all of them
together, in place of as long as the busiest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from revetl.enrich.audit import sampled

T = TypeVar("T")

SMALLEST = 500
LARGEST = 50_000
MIDDLE = 12  # the largest part is a twelfth of the records
GROWS = 4 / 3


@dataclass(frozen=True, slots=True)
class Part:
    """The records whose key's hash lies between two shares (0 to 1) of all hashes."""

    low: float
    high: float

    def condition(self, key: str) -> str:
        """Over `key`, a SQL expression of text."""
        return f"({sampled(key, self.high, 'part')} AND NOT ({sampled(key, self.low, 'part')}))"

    @property
    def share(self) -> float:
        return self.high - self.low


def parts_of(records: int) -> list[Part]:
    """Small ones first, so that the last provider begins early, and small ones last, so that it has little left when
    the first ends. In between they are large, since each is some statements over the whole ledger. One where there is
    little to do."""
    if records < 2 * SMALLEST:
        return [Part(0.0, 1.0)]
    rising = [float(SMALLEST)]
    while rising[-1] * GROWS <= min(LARGEST, records / MIDDLE):
        rising.append(rising[-1] * GROWS)
    between = round((records - 2 * sum(rising)) / rising[-1])
    sizes = [*rising, *[rising[-1]] * between, *reversed(rising)]
    ends = [sum(sizes[: n + 1]) / sum(sizes) for n in range(len(sizes))]
    return [Part(low, high) for low, high in zip([0.0, *ends[:-1]], [*ends[:-1], 1.0], strict=True)]


async def in_step(stages: int, parts: Sequence[T], work: Callable[[int, T], Awaitable[None]]) -> None:
    """`work(stage, part)` for all of them: each part passes the stages in their order, each stage takes the parts in
    theirs, and all stages work at the same time. The first failure ends the others, and is raised when they have."""
    ready: list[asyncio.Queue[T]] = [asyncio.Queue() for _ in range(stages + 1)]
    for part in parts:
        ready[0].put_nowait(part)

    async def stage(number: int) -> None:
        for _ in parts:
            part = await ready[number].get()
            await work(number, part)
            ready[number + 1].put_nowait(part)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(stages):
                group.create_task(stage(number))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
