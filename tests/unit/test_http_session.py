from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import httpx
import pytest

from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Unavailable
from revetl.http import Policy, ResponseVerdict
from tests.support.vendor import Vendor
from tests.support.virtual_time import run_virtual


def serve(*answers: int | Exception) -> Vendor:
    """Answers in turn, the last one for ever."""
    turn: Iterator[int | Exception] = iter(answers)
    last = answers[-1]

    def answer(_: httpx.Request) -> httpx.Response:
        what = next(turn, last)
        if isinstance(what, Exception):
            raise what
        return httpx.Response(what, json={"status": what})

    return Vendor(answer)


def call(vendor: Vendor, *, idempotent: bool, **options: object) -> httpx.Response | CallError:
    async def main() -> httpx.Response | CallError:
        async with vendor.session(**options) as session:
            try:
                return await session.request("POST", "/x", json={"a": 1}, idempotent=idempotent)
            except CallError as e:
                return e

    return run_virtual(main())


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("trouble", [503, 423, 429, httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")])
def test_what_was_not_applied_is_always_repeated(trouble: int | Exception, idempotent: bool) -> None:
    vendor = serve(trouble, trouble, 200)
    result = call(vendor, idempotent=idempotent)
    assert isinstance(result, httpx.Response)
    assert result.extensions["attempts"] == 3


@pytest.mark.parametrize("trouble", [500, 502, 504, 408, 599, httpx.ReadError("cut"), httpx.ReadTimeout("slow")])
def test_what_may_have_been_applied_is_repeated_only_where_idempotent(trouble: int | Exception) -> None:
    vendor = serve(trouble, 200)
    assert isinstance(call(vendor, idempotent=False), Ambiguous)
    assert len(vendor.came) == 1
    vendor = serve(trouble, 200)
    assert isinstance(call(vendor, idempotent=True), httpx.Response)
    assert len(vendor.came) == 2


def test_a_doubt_is_not_forgotten_by_the_next_attempt() -> None:
    """The first attempt may have been applied; that the second certainly was not changes nothing."""
    vendor = serve(504, 503)
    assert isinstance(call(vendor, idempotent=True, policy=Policy(max_attempts=3)), Ambiguous)
    assert isinstance(call(serve(503), idempotent=True, policy=Policy(max_attempts=3)), Unavailable)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 451, 501])
def test_a_refusal_is_the_callers_to_read(status: int) -> None:
    vendor = serve(status)
    result = call(vendor, idempotent=True)
    assert isinstance(result, httpx.Response)
    assert result.status_code == status
    assert len(vendor.came) == 1


@pytest.mark.parametrize("status", [301, 307, 401, 402, 403])
def test_denied_stops_at_once(status: int) -> None:
    vendor = serve(status)
    result = call(vendor, idempotent=True)
    assert isinstance(result, Denied)
    assert result.status == status
    assert len(vendor.came) == 1


def test_a_connector_overrides_the_table() -> None:
    vendor = serve(500, 200)
    result = call(vendor, idempotent=False, verdicts={500: ResponseVerdict.UNAVAILABLE})
    assert isinstance(result, httpx.Response)


def test_an_attempt_has_a_time_limit() -> None:
    vendor = serve(200)
    vendor.latency_s = 100
    result = call(vendor, idempotent=False, policy=Policy(timeout_s=5))
    assert isinstance(result, Ambiguous)
    assert "in time" in str(result)


def test_a_request_has_a_deadline() -> None:
    vendor = serve(503)
    policy = Policy(deadline_s=10, max_attempts=1_000, first_backoff_s=2)
    assert isinstance(call(vendor, idempotent=True, policy=policy), Unavailable)
    assert vendor.came[-1] - vendor.came[0] <= 10


def test_a_time_to_come_back_that_is_past_the_deadline_ends_the_request_at_once() -> None:
    """A vendor that moves an account says so, and for how long: knocking for minutes hides it."""
    vendor = Vendor(lambda _: httpx.Response(503, headers={"retry-after": "7200"}))
    result = call(vendor, idempotent=True)
    assert isinstance(result, Unavailable)
    assert "answered 503" in str(result)
    assert "come back in 2 h" in str(result)
    assert len(vendor.came) == 1


def test_a_time_to_come_back_within_the_deadline_is_kept() -> None:
    answers = iter([httpx.Response(503, headers={"retry-after": "60"}), httpx.Response(200)])
    vendor = Vendor(lambda _: next(answers))
    assert isinstance(call(vendor, idempotent=True), httpx.Response)
    assert vendor.came[1] - vendor.came[0] >= 60


def test_an_open_circuit_says_what_opened_it() -> None:
    vendor = serve(503)

    async def main() -> list[object]:
        async with vendor.session() as session:
            requests = (session.request("POST", "/x", idempotent=True) for _ in range(40))
            return await asyncio.gather(*requests, return_exceptions=True)

    refused = [e for e in run_virtual(main()) if isinstance(e, CallError) and e.code == "CIRCUIT_OPEN"]
    assert refused
    assert all("answered 503" in str(e) for e in refused)


def test_a_host_that_is_down_is_said_soon_and_cheaply() -> None:
    vendor = serve(httpx.ConnectError("refused"))

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with vendor.session() as session:
            results = await asyncio.gather(
                *(session.request("POST", "/x", idempotent=True) for _ in range(50)), return_exceptions=True
            )
            assert all(isinstance(r, Unavailable) for r in results)
        return loop.time() - began

    assert run_virtual(main()) < 20
    assert len(vendor.came) < 80


def test_a_vendor_that_comes_back_is_waited_for_by_few() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        return httpx.Response(503 if 1_010 < now < 1_040 else 200)

    vendor = Vendor(answer)

    async def main() -> None:
        async with vendor.session() as session:

            async def worker() -> None:
                for _ in range(100):
                    await session.request("POST", "/x", idempotent=True)
                    await asyncio.sleep(0.5)

            await asyncio.gather(*(worker() for _ in range(8)))

    run_virtual(main())
    assert vendor.statuses.count(200) == 800
    assert 8 <= vendor.statuses.count(503) < 40


def test_retries_have_a_budget() -> None:
    """Every other request fails: without a budget that would be one retry each."""
    vendor = serve(200)
    count = iter(range(10**6))
    vendor.answer = lambda _: httpx.Response(200 if next(count) % 5 == 0 else 503)

    async def main() -> None:
        async with vendor.session(policy=Policy(retry_reserve=20)) as session:
            for _ in range(100):
                try:
                    await session.request("POST", "/x", idempotent=True)
                except Unavailable:
                    continue
            assert session.retries <= 20 + 0.2 * session.requests

    run_virtual(main())


def test_nothing_secret_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vendor = serve(503, 503, 401)
    secret = "s3cr3t-key-value"

    async def main() -> str:
        async with vendor.session(headers={"authorization": f"Bearer {secret}"}, secrets=[secret]) as session:
            with pytest.raises(Denied) as caught:
                await session.request("GET", "/people/jane@corp.example", params={"api_key": secret, "q": "jane"})
            return str(caught.value) + repr(session)

    said = run_virtual(main()) + caplog.text
    assert "answered 503" in said
    for word in (secret, "jane", "corp.example"):
        assert word not in said


@pytest.mark.parametrize(
    "url",
    [
        "ftp://vendor.example",
        "vendor.example",
        "http://vendor.example",
        "https://",
        "https://user:pw@vendor.example",
        "https://vendor.example/#x",
        "https://vendor.example:99999",
        "https://vendor.example/ x",
        "http://127.0.0.1.vendor.example",
        "http://localhost@vendor.example",
    ],
)
def test_addresses_that_would_leak_a_token(url: str) -> None:
    from revetl.http.urls import check_url

    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://vendor.example/api/", "http://127.0.0.1:8765", "http://[::1]:80", "http://localhost"]
)
def test_addresses_that_are_fine(url: str) -> None:
    from revetl.http.urls import check_url

    assert check_url(url) == url.rstrip("/")
    assert check_url("http://vendor.example", allow_insecure=True)
