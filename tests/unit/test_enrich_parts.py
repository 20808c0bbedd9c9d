"""The parts that a run's records are taken in, and the order in which stages take them."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from revetl.enrich.parts import LARGEST, SMALLEST, in_step, parts_of
from tests.support.virtual_time import run_virtual


@pytest.mark.parametrize("records", [0, 1, 999, 1000, 5000, 100_000, 3_000_000])
def test_parts_are_everything_once(records: int) -> None:
    parts = parts_of(records)
    assert parts[0].low == 0.0
    assert parts[-1].high == 1.0
    assert all(one.high == next_.low for one, next_ in pairwise(parts))
    assert all(part.share > 0 for part in parts)


def test_they_begin_and_end_small_and_are_few() -> None:
    assert len(parts_of(2 * SMALLEST - 1)) == 1
    for records in (100_000, 3_000_000):
        sizes = [part.share * records for part in parts_of(records)]
        assert sizes[0] == pytest.approx(SMALLEST, rel=0.1)
        assert sizes[-1] == pytest.approx(SMALLEST, rel=0.1)
        assert max(sizes) <= 1.1 * LARGEST
        assert len(sizes) < 100


def test_stages_work_at_the_same_time_each_on_another_part() -> None:
    log: list[tuple[float, int, str]] = []

    async def go() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def work(stage: int, part: str) -> None:
            log.append((round(loop.time() - began), stage, part))
            await asyncio.sleep(10)

        await in_step(3, ["a", "b"], work)
        return loop.time() - began

    assert round(run_virtual(go())) == 40
    assert log == [(0, 0, "a"), (10, 0, "b"), (10, 1, "a"), (20, 1, "b"), (20, 2, "a"), (30, 2, "b")]


def test_a_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    ended: list[int] = []

    async def work(stage: int, part: str) -> None:
        if (stage, part) == (1, "a"):
            await asyncio.sleep(1)
            raise ZeroDivisionError
        try:
            await asyncio.sleep(1 if part == "a" else 100)
        finally:
            ended.append(stage)

    with pytest.raises(ZeroDivisionError):
        run_virtual(in_step(2, ["a", "b"], work))
    assert ended == [0, 0]
