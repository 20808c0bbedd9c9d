"""Random answers of hostile shapes at every endpoint that is read: each call ends as documented, with what it gives or
with an error of its kind, after no more requests than its answers can need. A failure is its seed."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.clock import LoopClock
from revetl.destinations.base import Pair
from revetl.destinations.hubspot import HubSpot, Options
from revetl.errors import Ambiguous, CallError, RevetlError
from revetl.json_documents import MOST_LEVELS, parse_json
from revetl.model import Change, Operation, Outcome
from revetl.providers.base import Answer, Lookup
from revetl.providers.engine.account import Account
from revetl.providers.engine.declarative import DeclarativeProvider
from revetl.providers.engine.webhooks import WebhookReceiver
from revetl.providers.grammar import ProviderSpec
from revetl.providers.grammar.load import load_providers
from revetl.providers.options import AccountOptions
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from tests.support.hostile import hostile, mutated
from tests.support.virtual_time import run_virtual

# How much is tried: CI tries a little each time, `REVETL_EXAMPLES=100000` a lot.
EXAMPLES = int(os.environ.get("REVETL_EXAMPLES", "25"))
MOST_REQUESTS = 20_000
seeds = st.integers(0, 2**32)


class HostileTransport(httpx.AsyncBaseTransport):
    """Changes answers of `inner` at random; `share` of them from the request after the first `spared`."""

    def __init__(self, inner: httpx.AsyncBaseTransport, rng: random.Random) -> None:
        self._inner = inner
        self._rng = rng
        self.share = 0.0
        self.came = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.came += 1
        assert self.came < MOST_REQUESTS, "asked without end"
        genuine = await self._inner.handle_async_request(request)
        await genuine.aread()
        return hostile(genuine, self._rng) if self._rng.random() < self.share else genuine


def changes(op: Operation, ids: list[str | None]) -> list[Change]:
    return [
        Change(n, f"k{n}", op, id_, {"email": f"p{n}@c.example", "firstname": f"P{n}"}, f"p{n}@c.example")
        for n, id_ in enumerate(ids)
    ]


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=seeds)
def test_every_call_to_hubspot_ends_as_documented(seed: int) -> None:
    rng = random.Random(seed)
    run_virtual(_calls(rng))


async def _ended(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except RevetlError as e:
        return e


async def _calls(rng: random.Random) -> None:
    clock = LoopClock()
    options = Options.model_validate({"token": "pat-token", "base_url": "http://127.0.0.1:1", "timeout_s": 5})
    settings_ = SandboxSettings(vendors={"hubspot": {"search_lag_s": 0}}, limited=False)
    async with sandbox_in_process(settings_, clock) as (inner, _):
        transport = HostileTransport(inner, rng)

        async def described_anew() -> Any:
            async with HubSpot("hub", options, clock, transport=transport, rng=rng) as other:
                return await other.describe("contacts")

        async with HubSpot("hub", options, clock, transport=transport, rng=rng) as hub:
            await hub.describe("contacts")
            await hub.describe("companies")
            made = await hub.write("contacts", "email", changes(Operation.CREATE, [None] * 4))
            to = [Change(9, "c9", Operation.CREATE, None, {"domain": "c.example"}, "c.example")]
            company = (await hub.write("companies", "domain", to))[0].destination_id
            known = [str(o.destination_id) for o in made]
            pairs = [Pair(n, id_, str(company)) for n, id_ in enumerate(known)]
            await hub.link("contacts", "companies", 279, pairs[:2])
            emails = [f"p{n}@c.example" for n in range(5)]
            calls: list[Callable[[], Awaitable[Any]]] = [
                hub.check,
                described_anew,
                lambda: hub.probe("contacts", "email"),
                lambda: hub.look_up("contacts", "email", emails, ["firstname"]),
                lambda: hub.look_up("contacts", "firstname", ["P1", "P2", "none"], ["email"]),
                lambda: hub.look_up("companies", "domain", ["c.example", "d.example"], ["name"]),
                lambda: hub.read_back("contacts", known, ["email", "createdate"]),
                lambda: hub.link_types("companies", "contacts"),
                lambda: hub.links_of("contacts", "companies", known),
                lambda: hub.link("contacts", "companies", 279, pairs),
                lambda: hub.unlink("contacts", "companies", 279, pairs[:1]),
                lambda: hub.write("contacts", "email", changes(Operation.CREATE, [None] * 6)),
                lambda: hub.write("contacts", "email", changes(Operation.UPDATE, list(known))),
                lambda: hub.write("companies", "domain", to),
                lambda: hub.write("contacts", "email", changes(Operation.DELETE, [known[3]])),
            ]
            transport.share = rng.choice((0.3, 1.0))
            for call in rng.sample(calls, 6):
                said = await _ended(call())
                for outcome in said if isinstance(said, list) else ():
                    if isinstance(outcome, Outcome):
                        assert len(outcome.message or "") < 2_000
                if isinstance(said, RevetlError):
                    assert len(str(said)) < 2_000
                    assert "\x1b" not in str(said)


@settings(max_examples=4, deadline=None)
@given(seed=seeds, moves=st.booleans(), read=st.sampled_from(["search", "links"]))
def test_pages_without_end_are_a_lost_answer(seed: int, moves: bool, read: str) -> None:
    class Endless(httpx.AsyncBaseTransport):
        came = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.came += 1
            assert self.came < 3_000
            paging = {"next": {"after": str(self.came if moves else 1)}}
            if request.method == "GET":
                return httpx.Response(200, json={"results": [{"name": n, "type": "string"} for n in ("city", "email")]})
            if read == "search":
                return httpx.Response(200, json={"total": 7, "results": [], "paging": paging})
            return httpx.Response(200, json={"results": [{"from": {"id": "1"}, "to": [], "paging": paging}]})

    async def main() -> None:
        clock = LoopClock()
        options = Options.model_validate({"token": "pat-token", "base_url": "http://127.0.0.1:1"})
        async with HubSpot("hub", options, clock, transport=Endless(), rng=random.Random(seed)) as hub:
            if read == "search":
                said = await _ended(hub.look_up("contacts", "city", ["Rome"], []))
            else:
                said = await _ended(hub.links_of("contacts", "companies", ["1", "2"]))
        assert isinstance(said, Ambiguous)
        assert "without end" in str(said)

    run_virtual(main())


SPECS = load_providers(Path(__file__).parents[2] / "enrichment" / "providers")


def _answer_of(spec: ProviderSpec, lookups: list[Lookup], rng: random.Random) -> Any:
    """A document with something at every place that the endpoint's spec reads."""
    body: Any = {}
    places = [p for o in spec.outputs.values() for p in o.at] + [*spec.error_code]
    places += [r.at for r in (spec.confidence, spec.verification) if r is not None]
    if spec.price.credits is not None:
        places += [n.at for n in (spec.price.credits.charged, spec.price.credits.remaining) if n is not None and n.at]
    record: Any = {}
    batch = spec.batch
    for place in places:
        _put(record if batch is not None else body, place, rng.choice(("Berlin", 7, "1", ["a"], True)))
    for row in spec.status:
        if row.at is not None and rng.random() < 0.7:
            _put(body, row.at, row.equals[0] if isinstance(row.equals, list) else row.equals)
    if spec.job is not None:
        _put(body, spec.job.id, rng.choice(("job-1", 7)))
    if batch is not None:
        for at in batch.match.at if batch.match is not None else ():
            _put(record, at, rng.choice(("0", "1", lookups[0].ref)))
        records = [record, mutated(record, rng)]
        for at in batch.results:
            if at == "":
                return records
            _put(body, at, records)
    return body


def _put(body: Any, pointer: str, value: Any) -> None:
    *steps, last = pointer.split("/")[1:]
    for step in steps:
        following = body.get(step) if isinstance(body, dict) else None
        if not isinstance(following, dict):
            following = {}
        if not isinstance(body, dict):
            return
        body[step] = following
        body = following
    if isinstance(body, dict):
        body[last] = value


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=seeds, name=st.sampled_from(sorted(SPECS)))
def test_every_endpoint_of_a_provider_ends_as_documented(seed: int, name: str) -> None:
    rng = random.Random(seed)
    spec = SPECS[name]
    inputs = {n: "ada@c.example" if "email" in n else "ada" for n in spec.sufficient[0]}
    lookups = [Lookup(inputs, ref=f"r{n}") for n in range(2 if spec.batch is not None else 1)]

    class Vendor(httpx.AsyncBaseTransport):
        came = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.came += 1
            assert self.came < MOST_REQUESTS, "asked without end"
            return hostile(httpx.Response(200, content=json.dumps(_answer_of(spec, lookups, rng))), rng)

    async def main() -> None:
        account = Account(AccountOptions(api_key="a-secret-key"), LoopClock())
        provider = DeclarativeProvider(spec, "http://127.0.0.1:1", account, LoopClock(), Vendor())
        async with provider:
            try:
                replies = await provider.ask_many(lookups)
            except CallError as e:
                replies = [e]
        for reply in replies:
            assert isinstance(reply, Answer | CallError)
            if isinstance(reply, Answer):
                assert 0 <= reply.charged_usd < 10**12
                for value in reply.values:
                    value.value.encode()
                    assert value.confidence is None or 0 <= value.confidence <= 1
            else:
                assert len(str(reply)) < 2_000
                assert "\x1b" not in str(reply)

    run_virtual(main())


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=seeds)
def test_every_delivery_is_answered(seed: int) -> None:
    """Signed ones: who has the key may still send anything."""
    rng = random.Random(seed)
    callbacks = [s for s in SPECS.values() if s.job is not None and s.job.callback is not None]
    assert callbacks
    for spec in callbacks:
        assert spec.job is not None
        assert spec.job.callback is not None
        callback = spec.job.callback
        receiver = WebhookReceiver("https://us.example", 0, "a-secret-key")
        receiver.address(spec.name, callback)
        body: Any = {}
        _put(body, callback.id, "job-1")
        for _ in range(20):
            raw = hostile(httpx.Response(200, json=body), rng).content
            digest = hashlib.sha1 if callback.signature.algorithm == "hmac-sha1" else hashlib.sha256
            signed = callback.signature.prefix + hmac.new(b"a-secret-key", raw, digest).hexdigest()
            sign = rng.choice((signed, signed, signed, "\udcff", ""))
            assert receiver.take(f"/callbacks/{spec.name}", {callback.signature.header.lower(): sign}, raw) in (
                *(200, 400, 401),
            )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=EXAMPLES * 4, deadline=None)
@given(value=json_values)
def test_what_is_read_as_json_can_be_kept_anywhere(value: Any) -> None:
    read = parse_json(json.dumps(value))
    again = json.dumps(read, allow_nan=False, ensure_ascii=False)
    again.encode()
    assert "\x00" not in again
    assert parse_json(again) == read


@settings(max_examples=EXAMPLES * 4, deadline=None)
@given(raw=st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:\\ud8001e-n'), max_size=60).map(str.encode))
def test_whatever_is_no_json_is_a_value_error(raw: bytes) -> None:
    with suppress(ValueError):
        parse_json(raw)


@settings(max_examples=EXAMPLES, deadline=None)
@given(depth=st.integers(1, 900), key=st.booleans())
def test_what_is_read_is_no_deeper_than_the_bound(depth: int, key: bool) -> None:
    text = '{"a":' * depth + "1" + "}" * depth if key else "[" * depth + "]" * depth
    if depth <= MOST_LEVELS:
        assert parse_json(text) is not None
    else:
        with pytest.raises(ValueError, match="too deep"):
            parse_json(text)
