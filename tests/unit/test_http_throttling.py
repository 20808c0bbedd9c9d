from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import httpx
import pytest

from revetl.errors import Throttled
from revetl.http import Policy, Rate, RateHeaders
from tests.support.vendor import Vendor, Window, push
from tests.support.virtual_time import run_virtual


def worst_window(times: list[float], per_s: float) -> int:
    """The most requests within any window, counted the slow way."""
    return max(sum(1 for other in times if t <= other < t + per_s) for t in times)


@pytest.mark.parametrize("concurrency", [1, 8, 40])
def test_never_more_than_declared_in_any_window(concurrency: int) -> None:
    vendor = Vendor(Window(30, 3.0))

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        async with vendor.session(rates={"default": Rate(30, 3.0)}) as session:
            await push(session, 200, concurrency)
        return asyncio.get_running_loop().time() - began

    seconds = run_virtual(main())
    assert worst_window(vendor.came, 3.0) <= 30
    assert 429 not in vendor.statuses
    assert seconds < 1.1 * (200 / 30 * 3.0) + 1  # and no slower than it must be


@pytest.mark.parametrize("seed", range(5))
def test_a_storm_of_429_wastes_two_percent_at_most(seed: int) -> None:
    """The vendor refuses everything for two minutes, in the middle of a push."""

    def storm(_: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        return httpx.Response(429 if 1_020 < now < 1_140 else 200, json={})

    vendor = Vendor(storm)

    async def main() -> None:
        async with vendor.session(seed=seed) as session:
            await push(session, 5_000)
            assert session.requests == len(vendor.came)
            assert session.retries == vendor.statuses.count(429)

    run_virtual(main())
    assert vendor.statuses.count(200) == 5_000
    assert vendor.statuses.count(429) > 0
    assert vendor.statuses.count(429) <= 0.02 * 5_000


@pytest.mark.parametrize("seed", range(3))
def test_a_tier_lower_than_declared_is_learnt(seed: int) -> None:
    vendor = Vendor(Window(100, 10.0))

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        async with vendor.session(seed=seed, rates={"default": Rate(190, 10.0)}) as session:
            await push(session, 3_000)
        return asyncio.get_running_loop().time() - began

    seconds = run_virtual(main())
    wasted = vendor.statuses.count(429)
    assert wasted <= 0.02 * 3_000
    assert seconds < 1.35 * 300


def test_one_probe_goes_while_the_gate_is_shut() -> None:
    vendor = Vendor(lambda _: httpx.Response(429), latency_s=0.5)

    async def main() -> None:
        async with vendor.session(policy=Policy(throttle_patience_s=100)) as session:
            results = await asyncio.gather(
                *(session.request("POST", "/x", idempotent=True) for _ in range(20)), return_exceptions=True
            )
            assert all(isinstance(r, Throttled) for r in results)

    run_virtual(main())
    first = [t for t in vendor.came if t < vendor.came[0] + 0.5]
    probes = vendor.came[len(first) :]
    assert len(first) == 20  # these had left before anybody knew
    assert 3 <= len(probes) <= 10
    assert all(later - sooner > 0.9 for sooner, later in pairwise(probes))


def test_who_waits_for_a_slot_does_not_run_into_a_gate_that_shut_meanwhile() -> None:
    vendor = Vendor(lambda _: httpx.Response(429 if asyncio.get_running_loop().time() < 1_100 else 200))

    async def main() -> None:
        async with vendor.session(rates={"default": Rate(5, 10.0)}) as session:
            await push(session, 40, concurrency=40)

    run_virtual(main())
    assert vendor.statuses.count(429) <= 5 + 9


def test_the_vendors_word_for_the_wait_is_kept() -> None:
    answers = iter([httpx.Response(429, headers={"retry-after": "17"}), httpx.Response(200)])
    vendor = Vendor(lambda _: next(answers))

    async def main() -> None:
        async with vendor.session() as session:
            await session.request("POST", "/x")

    run_virtual(main())
    assert 17 <= vendor.came[1] - vendor.came[0] <= 17 * 1.25 + 0.1


def test_no_use_in_waiting_leaves_at_once() -> None:
    vendor = Vendor(lambda _: httpx.Response(429))

    async def main() -> None:
        async with vendor.session(retry_after_s=lambda _: math.inf, error_code=lambda _: "DAILY") as session:
            with pytest.raises(Throttled) as caught:
                await session.request("POST", "/x")
            assert caught.value.code == "DAILY"

    run_virtual(main())
    assert len(vendor.came) == 1


def test_a_limit_of_its_own_has_its_own_pace() -> None:
    vendor = Vendor(lambda _: httpx.Response(200))

    async def main() -> None:
        async with vendor.session(rates={"default": Rate(1000, 1), "search": Rate(5, 1)}) as session:
            await asyncio.gather(push(session, 50, limit="search"), push(session, 50))

    run_virtual(main())
    assert vendor.came[-1] - vendor.came[0] > 9
    assert len([t for t in vendor.came if t < vendor.came[0] + 1]) == 55


def test_live_headers_lower_the_pace() -> None:
    window = Window(20, 10.0)

    def answer(request: httpx.Request) -> httpx.Response:
        response = window(request)
        response.headers["X-Max"] = "20"
        return response

    vendor = Vendor(answer)

    async def main() -> None:
        rate, names = {"default": Rate(190, 10.0)}, RateHeaders(limit="x-max", remaining="x-remaining")
        async with vendor.session(rates=rate, rate_headers=names) as session:
            await push(session, 200)

    run_virtual(main())
    assert 429 not in vendor.statuses


@pytest.mark.parametrize(("others", "most_s"), [(0, 53.0), (60, 90.0)])
def test_a_window_that_we_use_up_alone_holds_nothing_up(others: int, most_s: float) -> None:
    """Whoever keeps a rolling window full is told again and again that nothing is left of it. `others`: requests of
    somebody else that came before ours, of which our own count knows nothing."""
    window = Window(190, 10.0)

    def answer(request: httpx.Request) -> httpx.Response:
        response = window(request)
        response.headers["X-Remaining"] = str(190 - len(window._passed))
        return response

    vendor = Vendor(answer, latency_s=0.15)

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        window._passed.extend([began] * others)
        names = RateHeaders(limit="x-max", remaining="x-remaining")
        async with vendor.session(rates={"default": Rate(190, 10.0)}, rate_headers=names) as session:
            await push(session, 1_000, concurrency=8)
        return asyncio.get_running_loop().time() - began

    seconds = run_virtual(main())
    assert 50 <= seconds < most_s
    assert vendor.statuses.count(429) <= 0.02 * 1_000 * bool(others)


def test_waiting_is_given_up_cleanly_when_cancelled() -> None:
    state = {"status": 429}
    vendor = Vendor(lambda _: httpx.Response(state["status"]))

    async def main() -> None:
        async with vendor.session(rates={"default": Rate(2, 1)}) as session:
            tasks = [asyncio.create_task(session.request("POST", "/x")) for _ in range(9)]
            for pause in (0.3, 1.0, 2.6):
                await asyncio.sleep(pause)
                for task in tasks[:3]:
                    task.cancel()
                del tasks[:3]
            state["status"] = 200
            assert (await session.request("POST", "/x")).status_code == 200

    run_virtual(main())
