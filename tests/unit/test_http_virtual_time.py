from __future__ import annotations

import asyncio
import time

import pytest

from revetl.clock import LoopClock
from tests.support.virtual_time import VirtualDeadlock, run_virtual


def test_a_day_passes_in_no_time_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def waiter(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        await asyncio.gather(waiter("late", 86_400), waiter("soon", 1), waiter("middle", 3_600))

    began = time.perf_counter()
    run_virtual(main())
    assert time.perf_counter() - began < 1
    assert [name for name, _ in seen] == ["soon", "middle", "late"]
    assert seen[-1][1] - seen[0][1] == pytest.approx(86_399, abs=0.01)


def test_timeouts_fire() -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await asyncio.sleep(31)

    with pytest.raises(TimeoutError):
        run_virtual(main())


def test_the_loop_clock_follows() -> None:
    async def main() -> float:
        clock = LoopClock()
        before = clock.now()
        await clock.sleep(90)
        return (clock.now() - before).total_seconds()

    assert run_virtual(main()) == pytest.approx(90, abs=0.001)


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> str:
        timer = asyncio.create_task(asyncio.sleep(1_000))
        await asyncio.to_thread(time.sleep, 0.02)
        state = "still" if not timer.done() else "ran"
        timer.cancel()
        return state

    assert run_virtual(main()) == "still"


def test_a_deadlock_is_said() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualDeadlock):
        run_virtual(main())
