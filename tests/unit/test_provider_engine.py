"""The declarative provider against a vendor of a few lines: what is repeated, what is not, and what is never said."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Unavailable
from revetl.providers.base import Answer, Lookup
from revetl.providers.engine.account import Account
from revetl.providers.engine.declarative import THROTTLE_PATIENCE_S, DeclarativeProvider
from revetl.providers.grammar import ProviderSpec
from revetl.providers.options import AccountOptions
from revetl.providers.registry import create_provider
from tests.support.virtual_time import run_virtual

KEY = "very-secret-key"
EMAIL = "ada@analytical.example"
BASE: dict[str, Any] = {
    "name": "acme.person",
    "vendor": "acme",
    "base_url": "https://api.acme.example",
    "auth": {"type": "query", "name": "key"},
    "error_code": ["/code"],
    "entity": "person",
    "inputs": ["email"],
    "sufficient": [["email"]],
    "request": {"path": "/v1", "query": {"email": "{email}"}},
    "status": [
        {"http": 200, "at": "/state", "equals": "throttled", "verdict": "slow_down", "wait_s": 30},
        {"http": 200, "at": "/state", "equals": "working", "verdict": "in_progress", "then": "miss"},
        {"http": 200, "verdict": "hit"},
        {"http": 401, "verdict": "denied"},
        {"http": 420, "verdict": "slow_down", "wait_s": 7},
        {"http": 503, "verdict": "unavailable"},
    ],
    "outputs": {"job_title": {"at": "/title"}},
    "price": {"per_hit_usd": "0.1"},
}
HIT = {"title": "Head of Data"}


def spec(**changes: Any) -> ProviderSpec:
    return ProviderSpec.model_validate(BASE | changes)


class Vendor(httpx.AsyncBaseTransport):
    """`answer` is called with the number of the request, from 1. Notes when each came and how many are in flight."""

    def __init__(self, answer: Callable[[int], httpx.Response | Exception], takes_s: float = 0.0) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked: list[httpx.Request] = []
        self.asked_at: list[float] = []
        self.in_flight = self.most_in_flight = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.asked_at.append(asyncio.get_running_loop().time())
        number = len(self.asked)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.in_flight -= 1
        answer = self.answer(number)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ask(vendor: Vendor, times: int = 1, **changes: Any) -> tuple[list[Answer | BaseException], float]:
    """`times` different questions at once, what each gave or raised, and the seconds it took."""
    clock = LoopClock()
    provider = DeclarativeProvider(
        spec(**changes), BASE["base_url"], Account(AccountOptions(api_key=KEY), clock), clock, vendor
    )

    async def main() -> tuple[list[Answer | BaseException], float]:
        started = clock.monotonic()
        async with provider:
            lookups = [Lookup({"email": EMAIL if i == 0 else f"{i}@x.example"}) for i in range(times)]
            answers = await asyncio.gather(*map(provider.ask, lookups), return_exceptions=True)
        assert provider.requests == len(vendor.asked)
        return answers, clock.monotonic() - started

    return run_virtual(main())


def one(vendor: Vendor, **changes: Any) -> Answer | BaseException:
    return ask(vendor, **changes)[0][0]


@pytest.mark.parametrize(
    "lost",
    [httpx.ReadError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), httpx.WriteError("x")],
)
def test_a_lost_answer_is_never_asked_for_again(lost: Exception) -> None:
    vendor = Vendor(lambda _: lost)
    assert isinstance(one(vendor), Ambiguous)
    assert len(vendor.asked) == 1


def test_no_answer_in_time_is_a_lost_answer() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT), takes_s=60)
    answers, seconds = ask(vendor, timeout_s=5)
    assert isinstance(answers[0], Ambiguous)
    assert len(vendor.asked) == 1
    assert seconds == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("status", [200, 207, 302, 418, 500, 504])
def test_an_answer_that_the_spec_does_not_know_may_have_been_charged(status: int) -> None:
    vendor = Vendor(lambda _: httpx.Response(status, text="<html>"))
    found = one(vendor)
    assert isinstance(found, Ambiguous)
    assert len(vendor.asked) == 1


def test_a_connection_that_never_stood_is_tried_again() -> None:
    vendor = Vendor(lambda n: httpx.ConnectError("x") if n < 3 else httpx.Response(200, json=HIT))
    answer = one(vendor)
    assert isinstance(answer, Answer)
    assert answer.status == "hit"


def test_a_host_that_is_down_is_unavailable() -> None:
    assert isinstance(one(Vendor(lambda _: httpx.ConnectError("x"))), Unavailable)


def test_a_throttle_that_only_the_body_shows_is_waited_out() -> None:
    vendor = Vendor(lambda n: httpx.Response(200, json={"state": "throttled"} if n < 3 else HIT))
    (answer,), seconds = ask(vendor)
    assert isinstance(answer, Answer)
    assert (answer.status, seconds) == ("hit", pytest.approx(60, abs=1))


def test_the_rows_own_pause_holds_where_the_vendor_says_nothing() -> None:
    vendor = Vendor(lambda n: httpx.Response(420) if n == 1 else httpx.Response(200, json=HIT))
    (answer,), seconds = ask(vendor)
    assert isinstance(answer, Answer)
    assert 7 <= seconds < 10


@pytest.mark.parametrize("response", [httpx.Response(420), httpx.Response(200, json={"state": "throttled"})])
def test_a_throttle_without_end_is_given_up_uncharged(response: httpx.Response) -> None:
    vendor = Vendor(lambda _: httpx.Response(response.status_code, content=response.content))
    (found,), seconds = ask(vendor)
    assert isinstance(found, Unavailable)
    assert seconds <= THROTTLE_PATIENCE_S * 1.5


def test_work_in_progress_is_asked_for_as_often_as_the_row_says() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json={"state": "working"}))
    (answer,), seconds = ask(vendor)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.charged_usd, len(vendor.asked)) == ("miss", 0, 3)
    assert seconds == pytest.approx(10, abs=0.1)


def test_no_more_at_once_than_declared() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT), takes_s=1)
    answers, seconds = ask(vendor, times=10, limits={"concurrency": 3})
    assert all(isinstance(a, Answer) for a in answers)
    assert vendor.most_in_flight == 3
    assert seconds == pytest.approx(4, abs=0.1)


def test_no_faster_than_declared() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT))
    _, seconds = ask(vendor, times=31, limits={"windows": [{"calls": 10, "seconds": 60}]})
    assert seconds >= 180


def test_every_window_is_kept_at_once() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT))
    windows = [{"calls": 40, "seconds": 60}, {"calls": 5, "seconds": 1}]
    ask(vendor, times=100, limits={"windows": windows, "concurrency": 100})
    sent = vendor.asked_at
    for calls, seconds in ((5, 1), (40, 60)):
        assert all(later - earlier > seconds for earlier, later in zip(sent, sent[calls:], strict=False))
    # Bursts up to the short window's limit are allowed: the first 40 do not wait for the minute.
    assert sent[39] - sent[0] < 10


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"type": "bearer"}, ("authorization", f"Bearer {KEY}")),
        ({"type": "header", "name": "Authorization", "prefix": "Token "}, ("authorization", f"Token {KEY}")),
        ({"type": "basic"}, ("authorization", "Basic " + base64.b64encode(f"{KEY}:".encode()).decode())),
    ],
)
def test_the_key_goes_where_the_spec_says(auth: dict[str, str], header: tuple[str, str]) -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT))
    one(vendor, auth=auth)
    assert vendor.asked[0].headers[header[0]] == header[1]
    assert KEY not in str(vendor.asked[0].url)


@pytest.mark.parametrize("status", [200, 401, 420, 503, 500])
def test_neither_key_nor_customer_is_said(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"title": f"x {KEY}", "code": f"bad {KEY}", "message": EMAIL}
    found = one(Vendor(lambda _: httpx.Response(status, json=echo)))
    assert KEY not in caplog.text
    assert EMAIL not in caplog.text
    assert KEY not in repr(found)
    if isinstance(found, CallError):
        assert EMAIL not in str(found)
        assert KEY not in str(found.code)


def test_a_refused_key_stops_the_connector() -> None:
    found = one(Vendor(lambda _: httpx.Response(401, json={"code": "no_such_key"})))
    assert isinstance(found, Denied)
    assert (found.exit_code, found.status, found.code) == (4, 401, "no_such_key")


def test_asking_without_enough_is_the_callers_mistake() -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json=HIT))
    provider = DeclarativeProvider(
        spec(), BASE["base_url"], Account(AccountOptions(api_key=KEY), LoopClock()), LoopClock(), vendor
    )
    with pytest.raises(ValueError, match="can't be asked"):
        run_virtual(provider.ask(Lookup({"first_name": "Ada"})))
    assert not vendor.asked


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "'api_key' is missing"),
        ({"api_key": " "}, "'api_key' is missing"),
        ({"api_key": KEY, "apikey": "x"}, "Did you mean 'api_key'?"),
        ({"api_key": KEY, "base_url": "api.acme.example"}, "base_url"),
        ({"api_key": KEY, "base_url": "http://api.acme.example"}, "plain http"),
    ],
)
def test_a_connection_that_cannot_work_is_a_config_error(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match="acme") as caught:
        create_provider(spec(), options, LoopClock())
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
