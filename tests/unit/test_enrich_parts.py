"""The parts that a run's records are taken in, and the order in which stages take them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.partition_queue import MAX_JOINED, FirstStageQueue, PartitionQueue, run_stages
from revetl.enrich.selection.partition import (
    MAX_PARTITIONS,
    MIN_RECORDS,
    Partition,
    partition_count,
    partitions_between,
)
from tests.support.virtual_time import run_virtual


def test_parts_are_everything_once_also_where_bounds_are_alike() -> None:
    for bounds in ([], ["k"], ["a", "b", "b", "c"]):
        parts = partitions_between(bounds)
        assert parts[0].after is None
        assert parts[-1].upto is None
        assert all(one.upto == next_.after for one, next_ in pairwise(parts))
        assert sum(part.share for part in parts) == pytest.approx(1)


def test_there_are_few_and_one_where_there_is_little_to_do() -> None:
    assert partition_count(0) == partition_count(2 * MIN_RECORDS - 1) == 1
    assert partition_count(10 * MIN_RECORDS) == 10
    assert partition_count(100_000) == partition_count(3_000_000) == MAX_PARTITIONS


def test_the_first_stage_gets_larger_parts_as_long_as_it_is_quick() -> None:
    clock = LoopClock()
    parts = partitions_between([f"{n:03}" for n in range(40)])

    async def go() -> list[Partition]:
        line, given = FirstStageQueue(parts, clock), []
        while (part := await line.get()) is not None:
            given.append(part)
            await clock.sleep(0.1 if len(given) < 5 else 10)
        return given

    given = run_virtual(go())
    assert [round(part.share * len(parts)) for part in given][:7] == [1, 2, 4, MAX_JOINED, MAX_JOINED, 2, 1]
    assert given[0].after is None
    assert given[-1].upto is None
    assert all(one.upto == next_.after for one, next_ in pairwise(given))


def line_of(parts: str) -> PartitionQueue[str]:
    line = PartitionQueue[str]()
    for part in [*parts, None]:
        line.put(part)
    return line


def test_stages_work_at_the_same_time_each_on_another_part() -> None:
    log: list[tuple[float, int, str]] = []

    async def go() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def work(stage: int, line: PartitionQueue[str], hand_on: Callable[[str], None]) -> None:
            while (part := await line.get()) is not None:
                log.append((round(loop.time() - began), stage, part))
                await asyncio.sleep(10)
                hand_on(part)

        await run_stages(3, line_of("ab"), work)
        return loop.time() - began

    assert round(run_virtual(go())) == 40
    assert log == [(0, 0, "a"), (10, 0, "b"), (10, 1, "a"), (20, 1, "b"), (20, 2, "a"), (30, 2, "b")]


def test_a_failure_ends_the_others() -> None:
    ended: list[int] = []

    async def work(stage: int, line: PartitionQueue[str], hand_on: Callable[[str], None]) -> None:
        while (part := await line.get()) is not None:
            if (stage, part) == (1, "a"):
                await asyncio.sleep(1)
                raise ZeroDivisionError
            try:
                await asyncio.sleep(1 if part == "a" else 100)
                hand_on(part)
            finally:
                ended.append(stage)

    with pytest.raises(ExceptionGroup) as failures:
        run_virtual(run_stages(2, line_of("ab"), work))
    assert isinstance(failures.value.exceptions[0], ZeroDivisionError)
    assert ended == [0, 0]
