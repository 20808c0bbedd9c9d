"""Jobs that a vendor works on: when they are polled for, when that ends, and what is taken from a callback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.errors import Ambiguous, Denied, Unavailable
from revetl.providers.base import Answer, Lookup, Reply
from revetl.providers.engine.account import Account
from revetl.providers.engine.declarative import DeclarativeProvider
from revetl.providers.engine.webhooks import WebhookReceiver, genuine
from revetl.providers.grammar import CallbackSignature, JobCallback, ProviderSpec
from revetl.providers.options import AccountOptions
from tests.support.virtual_time import run_virtual

KEY = "very-secret-key"
JOB: dict[str, Any] = {
    "id": "/id",
    "poll": {
        "path": "/jobs/{job_id}",
        "every_s": 10,
        "backoff": 2,
        "longest_s": 60,
        "patience_s": 600,
        "status": [
            {"http": 200, "at": "/state", "equals": "done", "verdict": "hit"},
            {"http": 200, "at": "/state", "equals": "empty", "verdict": "miss"},
            {"http": 200, "at": "/state", "equals": "stopped", "verdict": "stopped"},
            {"http": 200, "at": "/state", "equals": "broke", "verdict": "out_of_credits"},
            {"http": 200, "at": "/state", "equals": "later", "verdict": "in_progress", "wait_s": 100},
            {"http": 400, "verdict": "in_progress"},
            {"http": 503, "verdict": "unavailable"},
        ],
    },
    "callback": {
        "at": "/hook",
        "id": "/id",
        "signature": {"header": "X-Sign", "algorithm": "hmac-sha1"},
        "wait_s": 300,
    },
}
SPEC = ProviderSpec.model_validate(
    {
        "name": "acme.jobs",
        "vendor": "acme",
        "base_url": "https://api.acme.example",
        "auth": {"type": "bearer"},
        "error_code": ["/code"],
        "entity": "person",
        "inputs": ["email"],
        "sufficient": [["email"]],
        "request": {"method": "POST", "path": "/jobs"},
        "batch": {
            "size": 10,
            "at": "/people",
            "item": {"email": "{email}", "tag": "{ref}"},
            "results": "/found",
            "match": {"at": "/tag"},
            "status": [{"at": "/title", "equals": None, "verdict": "miss"}, {"verdict": "hit"}],
        },
        "job": JOB,
        "status": [{"http": 202, "verdict": "hit"}, {"http": 402, "verdict": "out_of_credits"}],
        "outputs": {"job_title": {"at": "/title"}},
        "price": {"per_hit_usd": "0.10", "credits": {"at": "/credits", "usd": "0.10"}},
    }
)
RUNNING = (400, {})
CALLBACK = JobCallback.model_validate(JOB["callback"])


def done(*refs: str, state: str = "done", **more: Any) -> tuple[int, Any]:
    return 200, {"id": "j1", "state": state, "found": [{"tag": r, "title": f"title of {r}"} for r in refs], **more}


class Vendor(httpx.AsyncBaseTransport):
    """Takes every job as j1; `polls` are its answers in order, the last one again and again."""

    def __init__(self, *polls: tuple[int, Any] | Exception) -> None:
        self.polls = polls
        self.submitted: list[Any] = []
        self.polled_at: list[float] = []
        self.on_submit: Callable[[], None] = lambda: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.submitted.append(json.loads(request.content))
            self.on_submit()
            return httpx.Response(202, json={"id": "j1"})
        assert request.url.path == "/jobs/j1"
        self.polled_at.append(asyncio.get_running_loop().time())
        said = self.polls[min(len(self.polled_at), len(self.polls)) - 1]
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said[0], json=said[1])


def provider(vendor: Vendor, spec: ProviderSpec = SPEC, receiver: WebhookReceiver | None = None) -> DeclarativeProvider:
    account = Account(AccountOptions(api_key=KEY), LoopClock())
    made = DeclarativeProvider(spec, spec.base_url, account, LoopClock(), vendor)
    account.receiver = receiver
    return made


def ask(vendor: Vendor, *refs: str, receiver: WebhookReceiver | None = None) -> tuple[list[Reply], list[str], float]:
    """The replies, the jobs that were told of, and the seconds from submission to the end."""
    jobs: list[str] = []

    async def note(request_id: str, taken: Any) -> None:
        assert not vendor.polled_at, "polled before the id was durable"
        assert [lookup.ref for lookup in taken] == list(refs)
        jobs.append(request_id)

    async def main() -> tuple[list[Reply], float]:
        started = asyncio.get_running_loop().time()
        async with provider(vendor, receiver=receiver) as p:
            lookups = [Lookup({"email": f"{r}@x.example"}, r) for r in refs]
            replies = list(await p.ask_many(lookups, note))
        return replies, asyncio.get_running_loop().time() - started

    replies, seconds = run_virtual(main())
    return replies, jobs, seconds


def titles(replies: list[Reply]) -> list[str | None]:
    return [r.values[0].value if isinstance(r, Answer) and r.values else None for r in replies]


def test_a_job_takes_until_its_result_came_and_not_as_long_as_the_last_poll() -> None:
    [reply], _, seconds = ask(Vendor(RUNNING, RUNNING, done("a")), "a")
    assert isinstance(reply, Answer)
    assert reply.latency_ms == round(seconds * 1000) == (10 + 20 + 40) * 1000


def test_a_job_is_named_then_polled_for_with_growing_pauses() -> None:
    vendor = Vendor(RUNNING, RUNNING, RUNNING, RUNNING, RUNNING, done("b", "a", credits=2))
    replies, jobs, _ = ask(vendor, "a", "b")
    assert jobs == ["j1"]
    assert titles(replies) == ["title of a", "title of b"]
    pauses = [round(b - a) for a, b in zip(vendor.polled_at, vendor.polled_at[1:], strict=False)]
    assert pauses == [20, 40, 60, 60, 60]
    assert len(vendor.submitted) == 1


def test_the_row_may_say_how_long_this_pause_is() -> None:
    vendor = Vendor((200, {"state": "later"}), done("a"))
    ask(vendor, "a")
    assert round(vendor.polled_at[1] - vendor.polled_at[0]) == 100


@pytest.mark.parametrize("trouble", [httpx.ReadError("x"), httpx.ConnectError("x"), (503, {})])
def test_a_poll_that_fails_costs_nothing_but_time(trouble: Any) -> None:
    vendor = Vendor(trouble, trouble, trouble, trouble, trouble, trouble, trouble, trouble, done("a"))
    replies, _, _ = ask(vendor, "a")
    assert titles(replies) == ["title of a"]
    assert len(vendor.submitted) == 1


def test_patience_ends_and_a_later_run_fetches_the_result() -> None:
    vendor = Vendor(RUNNING)
    with pytest.raises(Ambiguous, match="a later run"):
        ask(vendor, "a", "b")
    assert vendor.polled_at[-1] - vendor.polled_at[0] <= 600

    later = Vendor(done("b", "a", "c"))

    async def main() -> tuple[list[Reply], float]:
        started = asyncio.get_running_loop().time()
        async with provider(later) as p:
            replies = list(await p.resume("j1", [Lookup({}, "b"), Lookup({}, "a")]))
        return replies, asyncio.get_running_loop().time() - started

    replies, seconds = run_virtual(main())
    assert titles(replies) == ["title of b", "title of a"]
    assert not later.submitted
    assert seconds < 1, "a job of long ago is polled for at once"


@pytest.mark.parametrize("poll", [(404, {"code": "unknown_job"}), (401, {}), (200, {"state": "odd"}), (200, [])])
def test_a_result_that_cannot_be_read_leaves_the_lookups_in_doubt(poll: tuple[int, Any]) -> None:
    with pytest.raises(Ambiguous) as caught:
        ask(Vendor(poll), "a")
    assert KEY not in str(caught.value)
    assert str(poll[0]) in str(caught.value)


@pytest.mark.parametrize(("state", "rest"), [("stopped", Unavailable), ("broke", Denied)])
def test_what_an_ended_job_found_is_taken_and_the_rest_was_not_charged(state: str, rest: type[Exception]) -> None:
    replies, _, _ = ask(Vendor(done("a", state=state, credits=1)), "a", "b")
    assert titles(replies) == ["title of a", None]
    assert isinstance(replies[1], rest)


def test_a_job_that_found_nothing_for_anybody() -> None:
    replies, _, _ = ask(Vendor((200, {"state": "empty"})), "a", "b")
    assert [r.status for r in replies if isinstance(r, Answer)] == ["miss", "miss"]


def test_a_job_without_a_name_may_have_been_charged() -> None:
    class Nameless(Vendor):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(202, json={"id": None})

    with pytest.raises(Ambiguous, match="not named"):
        ask(Nameless(), "a")


def test_a_refused_submission_is_no_job() -> None:
    class Broke(Vendor):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(402, json={})

    with pytest.raises(Denied):
        ask(Broke(), "a")


# ------------------------------------------------------------------------------------------------ callbacks


def sign(raw: bytes, key: str = KEY) -> dict[str, str]:
    return {"x-sign": hmac.new(key.encode(), raw, hashlib.sha1).hexdigest()}


def deliver(receiver: WebhookReceiver, body: Any, headers: Mapping[str, str] | None = None) -> int:
    raw = json.dumps(body).encode()
    return receiver.take("/callbacks/acme.jobs", sign(raw) if headers is None else headers, raw)


@pytest.fixture
def receiver() -> WebhookReceiver:
    made = WebhookReceiver("https://me.example/", 0, KEY)
    made.address("acme.jobs", CALLBACK)
    return made


def after(seconds: float, act: Callable[[], Any]) -> Callable[[], None]:
    return lambda: asyncio.get_running_loop().call_later(seconds, act) and None


def test_a_callback_ends_the_wait_without_a_poll(receiver: WebhookReceiver) -> None:
    vendor = Vendor(RUNNING)
    vendor.on_submit = after(42, lambda: deliver(receiver, done("a")[1]))
    replies, _, seconds = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]
    assert vendor.submitted[0]["hook"] == "https://me.example/callbacks/acme.jobs"
    assert vendor.polled_at == []
    assert seconds == pytest.approx(42, abs=0.1)


def test_a_callback_may_come_before_the_answer_to_the_submission(receiver: WebhookReceiver) -> None:
    vendor = Vendor(RUNNING)
    vendor.on_submit = lambda: deliver(receiver, done("a")[1]) and None
    replies, _, seconds = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]
    assert seconds < 1


def test_a_job_of_an_earlier_run_is_listened_for() -> None:
    receiver = WebhookReceiver("https://me.example", 0, KEY)
    vendor = Vendor(RUNNING)

    async def main() -> list[Reply]:
        async with provider(vendor, receiver=receiver) as p:
            resumed = asyncio.ensure_future(p.resume("j1", [Lookup({}, "a")]))
            await asyncio.sleep(5)
            assert deliver(receiver, done("a")[1]) == 200
            return list(await resumed)

    assert titles(run_virtual(main())) == ["title of a"]
    assert len(vendor.polled_at) == 1


def test_a_callback_that_never_comes_is_polled_for(receiver: WebhookReceiver) -> None:
    vendor = Vendor(RUNNING, done("a"))
    replies, _, seconds = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]
    assert seconds == pytest.approx(300 + 10, abs=1)


def test_a_delivery_of_something_unfinished_goes_on_waiting(receiver: WebhookReceiver) -> None:
    vendor = Vendor(RUNNING)
    vendor.on_submit = lambda: (
        asyncio.get_running_loop().call_later(5, lambda: deliver(receiver, {"id": "j1", "state": "later"}))
        and asyncio.get_running_loop().call_later(20, lambda: deliver(receiver, done("a")[1]))
        and None
    )
    replies, _, seconds = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]
    assert seconds == pytest.approx(20, abs=0.1)


def test_a_delivery_that_says_nothing_is_no_reason_to_give_up(receiver: WebhookReceiver) -> None:
    vendor = Vendor(done("a"))
    vendor.on_submit = after(5, lambda: deliver(receiver, {"id": "j1", "state": "of another kind"}))
    replies, _, _ = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]


def test_a_second_and_a_late_delivery_do_nothing_and_are_answered_200(receiver: WebhookReceiver) -> None:
    vendor = Vendor(RUNNING)
    answered: list[int] = []

    def twice() -> None:
        answered.extend(deliver(receiver, done("a")[1]) for _ in range(2))

    vendor.on_submit = after(5, twice)
    replies, _, _ = ask(vendor, "a", receiver=receiver)
    assert titles(replies) == ["title of a"]
    assert answered == [200, 200]
    assert deliver(receiver, done("a")[1]) == 200
    assert deliver(receiver, {"id": "of nobody", "state": "done"}) == 200


def test_what_is_not_signed_with_the_accounts_key_is_not_believed(
    receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    vendor = Vendor(RUNNING, done("a"))
    body = done("a")[1] | {"found": [{"tag": "a", "title": "forged"}]}
    answered: list[int] = []

    def forge() -> None:
        raw = json.dumps(body).encode()
        for headers in ({}, {"x-sign": ""}, sign(raw, "another key"), sign(raw + b" ")):
            answered.append(deliver(receiver, body, headers))

    vendor.on_submit = after(5, forge)
    replies, _, _ = ask(vendor, "a", receiver=receiver)
    assert answered == [401] * 4
    assert len([r for r in caplog.records if "was refused" in r.message]) == 4
    assert KEY not in caplog.text
    assert titles(replies) == ["title of a"]


@pytest.mark.parametrize(
    ("path", "raw", "status"),
    [
        ("/callbacks/other.jobs", b"{}", 404),
        ("/", b"{}", 404),
        ("/callbacks/acme.jobs", b"not json", 400),
        ("/callbacks/acme.jobs", b'{"state": "done"}', 400),
        ("/callbacks/acme.jobs", b'{"id": 7}', 400),
        ("/callbacks/acme.jobs", b"\xff\xfe", 400),
    ],
)
def test_a_delivery_that_is_none(receiver: WebhookReceiver, path: str, raw: bytes, status: int) -> None:
    assert receiver.take(path, sign(raw), raw) == status


def test_the_signature_is_of_the_raw_body_in_the_documented_form() -> None:
    raw = '{"name":"Ada Łovelace"}'.encode()
    signature = CallbackSignature(header="X-Sign", algorithm="hmac-sha1")
    assert genuine(signature, KEY, sign(raw), raw)
    assert genuine(signature, KEY, {"x-sign": sign(raw)["x-sign"].upper()}, raw)
    digest = hmac.new(KEY.encode(), raw, hashlib.sha256).hexdigest()
    prefixed = CallbackSignature(header="X-Sign", algorithm="hmac-sha256", prefix="sha256=")
    assert genuine(prefixed, KEY, {"x-sign": f"sha256={digest}"}, raw)
    assert not genuine(prefixed, KEY, {"x-sign": digest}, raw)
    # RFC 2202, case 2: the same function as everybody's.
    theirs = {"x-sign": "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"}
    assert genuine(signature, "Jefe", theirs, b"what do ya want for nothing?")


def test_deliveries_that_nobody_waits_for_are_forgotten_in_time(receiver: WebhookReceiver) -> None:
    for i in range(1_500):
        assert deliver(receiver, {"id": f"job {i}", "state": "done"}) == 200
    assert len(receiver._inboxes) <= 1_000
