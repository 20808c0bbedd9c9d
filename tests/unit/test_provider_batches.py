"""Many lookups in one request: whose record is whose, what it cost, what is repeated; and limits that are shared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.clock import LoopClock
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Unavailable
from revetl.providers.base import Answer, Lookup, Reply
from revetl.providers.engine.declarative import MOST_REFUSALS
from revetl.providers.engine.records import share
from revetl.providers.grammar import ProviderSpec
from revetl.providers.options import AccountOptions
from revetl.providers.registry import account_options, connect, create_provider
from tests.support.virtual_time import run_virtual

KEY = "very-secret-key"
BASE: dict[str, Any] = {
    "name": "acme.bulk",
    "vendor": "acme",
    "base_url": "https://api.acme.example",
    "auth": {"type": "body", "name": "key"},
    "entity": "person",
    "inputs": ["email"],
    "sufficient": [["email"]],
    "request": {"method": "POST", "path": "/v1/bulk", "json": {"mode": "fast"}},
    "batch": {
        "size": 100,
        "at": "/people",
        "item": {"email": "{email}", "tag": "{ref}"},
        "results": "/found",
        "match": {"at": "/tag"},
        "status": [
            {"at": "/title", "equals": None, "verdict": "miss"},
            {"verdict": "hit"},
        ],
    },
    "status": [
        {"http": 400, "verdict": "bad_input"},
        {"http": 402, "verdict": "out_of_credits"},
        {"http": 404, "verdict": "miss"},
        {"http": 200, "verdict": "hit"},
    ],
    "outputs": {"job_title": {"at": "/title"}},
    "price": {"per_hit_usd": "0.10", "credits": {"at": "/credits", "usd": "0.10"}},
}


class Vendor(httpx.AsyncBaseTransport):
    """`answer(people)` gives status and body for the people of one request."""

    def __init__(self, answer: Callable[[list[dict[str, str]]], tuple[int, Any] | Exception]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.asked_at: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        self.asked.append(body)
        self.asked_at.append(asyncio.get_running_loop().time())
        said = self.answer(body.get("people", []))
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said[0], json=said[1])


def found(people: list[dict[str, str]], **more: Any) -> tuple[int, Any]:
    return 200, {"found": [{"tag": p["tag"], "title": "Head"} for p in people], **more}


def spec(**changes: Any) -> ProviderSpec:
    return ProviderSpec.model_validate(BASE | changes)


def ask(vendor: Vendor, count: int, emails: list[str] | None = None, **changes: Any) -> list[Reply]:
    provider = create_provider(spec(**changes), {"api_key": KEY}, LoopClock(), vendor)
    lookups = [Lookup({"email": e}, f"r{i}") for i, e in enumerate(emails or [f"p{i}@x.example" for i in range(count)])]

    async def main() -> list[Reply]:
        async with provider:
            return list(await provider.ask_many(lookups))

    return run_virtual(main())


def test_one_request_carries_all_with_the_key_in_its_body() -> None:
    vendor = Vendor(found)
    replies = ask(vendor, 3)
    (body,) = vendor.asked
    assert body == {
        "mode": "fast",
        "key": KEY,
        "people": [{"email": f"p{i}@x.example", "tag": f"r{i}"} for i in range(3)],
    }
    assert [r.status for r in replies if isinstance(r, Answer)] == ["hit"] * 3
    assert KEY not in repr(replies)


@pytest.mark.parametrize(("key", "kept"), [("e", "Head of Sales"), ("Head of Sales", "***")])
def test_a_key_is_taken_out_of_answers_and_words_are_not(key: str, kept: str) -> None:
    vendor = Vendor(lambda people: (200, {"found": [{"tag": p["tag"], "title": "Head of Sales"} for p in people]}))
    provider = create_provider(spec(), {"api_key": key}, LoopClock(), vendor)

    async def main() -> Answer:
        async with provider:
            return await provider.ask(Lookup({"email": "a@x.example"}))

    assert run_virtual(main()).values[0].value == kept


def test_records_are_told_apart_by_their_name_in_whatever_order() -> None:
    def backwards(people: list[dict[str, str]]) -> tuple[int, Any]:
        return 200, {"found": [{"tag": p["tag"].upper(), "title": p["email"]} for p in reversed(people)]}

    vendor = Vendor(backwards)
    replies = ask(vendor, 4)
    assert [r.values[0].value for r in replies if isinstance(r, Answer)] == [f"p{i}@x.example" for i in range(4)]


@pytest.mark.parametrize(
    "records",
    [
        [{"tag": "r0", "title": "x"}],  # one is missing
        [{"tag": "r0", "title": "x"}, {"tag": "r1"}, {"tag": "r1", "title": "y"}],  # one stands twice
        [{"tag": "r0", "title": "x"}, {"title": "y"}],  # one has no name
    ],
)
def test_a_record_that_is_nobodys_may_have_been_charged(records: list[Any]) -> None:
    first, second = ask(Vendor(lambda _: (200, {"found": records})), 2)
    assert isinstance(first, Answer)
    assert isinstance(second, Ambiguous)


@pytest.mark.parametrize("body", [{}, {"found": None}, {"found": {}}, []])
def test_an_answer_without_records_leaves_all_in_doubt(body: Any) -> None:
    assert all(isinstance(r, Ambiguous) for r in ask(Vendor(lambda _: (200, body)), 2))


def test_a_list_of_another_length_leaves_all_in_doubt_where_only_places_tell() -> None:
    batch = BASE["batch"] | {"match": None}
    replies = ask(Vendor(lambda people: (200, {"found": [{"title": "x"}]})), 2, batch=batch)
    assert all(isinstance(r, Ambiguous) for r in replies)


def test_the_vendors_count_is_shared_out_to_the_last_millionth() -> None:
    replies = ask(Vendor(lambda people: found(people, credits=2)), 3)
    answers = [r for r in replies if isinstance(r, Answer)]
    assert sum(a.charged_usd for a in answers) == Decimal("0.20")
    assert sum(a.credits["charged"] for a in answers) == 2


def test_a_count_of_nothing_makes_hits_free() -> None:
    assert [r.charged_usd for r in ask(Vendor(lambda p: found(p, credits=0)), 2) if isinstance(r, Answer)] == [0, 0]


@given(
    st.decimals(min_value=0, max_value=1000, places=6),
    st.lists(st.decimals(min_value=0, max_value=10, places=3), min_size=1, max_size=30),
)
def test_shares_add_up_and_follow_the_weights(total: Decimal, weights: list[Decimal]) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    assert all(part >= 0 for part in parts)
    if any(weights):
        assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)
        exact = [total * w / sum(weights) for w in weights]
        assert all(abs(p - e) < Decimal("0.0001") for p, e in zip(parts, exact, strict=True))


def test_one_bad_lookup_does_not_condemn_the_others() -> None:
    vendor = Vendor(lambda people: (400, {}) if any(p["email"] == "bad" for p in people) else found(people))
    emails = [f"p{i}@x.example" for i in range(64)]
    emails[37] = "bad"
    replies = ask(vendor, 64, emails)
    said = [r.status for r in replies if isinstance(r, Answer)]
    assert said == ["error" if i == 37 else "hit" for i in range(64)]
    assert len(vendor.asked) == 1 + 2 * 6  # halved six times


def test_a_batch_with_somebody_erased_does_not_suppress_the_others() -> None:
    vendor = Vendor(lambda people: (451, {}) if any(p["email"] == "erased" for p in people) else found(people))
    status = [{"http": 451, "verdict": "suppressed"}, *BASE["status"]]
    replies = ask(vendor, 5, ["a@x.example", "b@x.example", "erased", "c@x.example", "d@x.example"], status=status)
    assert [r.status for r in replies if isinstance(r, Answer)] == ["hit", "hit", "suppressed", "hit", "hit"]


def test_what_was_charged_for_a_lost_record_is_not_put_on_the_others() -> None:
    first, second = ask(Vendor(lambda people: found(people[:1], credits=2)), 2)
    assert isinstance(first, Answer)
    assert first.charged_usd == Decimal("0.10")
    assert isinstance(second, Ambiguous)


def test_halving_ends_where_everything_is_refused() -> None:
    vendor = Vendor(lambda _: (400, {}))
    replies = ask(vendor, 100)
    assert len(vendor.asked) <= 2 * MOST_REFUSALS + 1
    assert all(isinstance(r, Unavailable) or (isinstance(r, Answer) and r.status == "error") for r in replies)
    assert any(isinstance(r, Unavailable) for r in replies)


def test_a_lost_answer_to_half_a_batch_is_that_halfs_alone() -> None:
    def answer(people: list[dict[str, str]]) -> tuple[int, Any] | Exception:
        if len(people) == 4:
            return 400, {}
        return httpx.ReadError("lost") if people[0]["tag"] == "r0" else found(people)

    assert [type(r).__name__ for r in ask(Vendor(answer), 4)] == ["Ambiguous", "Ambiguous", "Answer", "Answer"]


def test_what_is_said_of_the_whole_goes_for_all() -> None:
    assert [r.status for r in ask(Vendor(lambda _: (404, {})), 3) if isinstance(r, Answer)] == ["miss"] * 3
    with pytest.raises(Denied, match="out of credits"):
        ask(Vendor(lambda _: (402, {})), 3)


def test_a_batch_may_be_asked_one_by_one_and_a_single_in_batches() -> None:
    vendor = Vendor(found)
    provider = create_provider(spec(), {"api_key": KEY}, LoopClock(), vendor)
    single = spec(batch=None, auth={"type": "bearer"}, request={"path": "/v1", "query": {"email": "{email}"}})
    other = create_provider(single, {"api_key": KEY}, LoopClock(), Vendor(lambda _: (200, {"title": "Head"})))

    async def main() -> None:
        async with provider, other:
            assert (provider.batch_size, other.batch_size) == (100, 1)
            assert (await provider.ask(Lookup({"email": "a@x.example"}))).status == "hit"
            replies = await other.ask_many([Lookup({"email": "a@x.example"}), Lookup({"email": "b@x.example"})])
            assert [r.status for r in replies if isinstance(r, Answer)] == ["hit", "hit"]
            with pytest.raises(Ambiguous, match="no jobs"):
                await provider.resume("x", [])

    run_virtual(main())


@pytest.mark.parametrize("refs", [["a", "a"], [str(i) for i in range(101)]])
def test_a_batch_that_makes_no_sense_is_the_callers_mistake(refs: list[str]) -> None:
    provider = create_provider(spec(), {"api_key": KEY}, LoopClock(), Vendor(found))
    with pytest.raises(ValueError, match=r"acme\.bulk"):
        run_virtual(provider.ask_many([Lookup({"email": "a@x.example"}, ref) for ref in refs]))


# ------------------------------------------------------------------------------------------ what an account shares


def rate(vendor: Vendor, seconds: float) -> int:
    """The most requests in any window of so many seconds."""
    return max(sum(0 <= other - at < seconds for other in vendor.asked_at) for at in vendor.asked_at)


def two_endpoints(limiter: str) -> dict[str, ProviderSpec]:
    limits = {"windows": [{"calls": 5, "seconds": 1}], "concurrency": 50}
    names = ("acme.one", "acme.two")
    return {n: spec(name=n, limits=limits, limiter=limiter or n.removeprefix("acme.")) for n in names}


def ask_both(specs: dict[str, ProviderSpec], options: AccountOptions, calls: int = 20) -> Vendor:
    vendor = Vendor(found)

    async def main() -> None:
        providers = connect(specs, specs, lambda _: options, LoopClock(), vendor)
        async with providers["acme.one"], providers["acme.two"]:
            asks = [p.ask(Lookup({"email": "a@x.example"})) for p in providers.values() for _ in range(calls)]
            await asyncio.gather(*asks)

    run_virtual(main())
    return vendor


@pytest.mark.parametrize(("limiter", "most"), [("people", 5), ("", 10)])
def test_endpoints_that_share_a_limit_keep_it_together(limiter: str, most: int) -> None:
    assert rate(ask_both(two_endpoints(limiter), AccountOptions(api_key=KEY)), 1) == most


def test_the_connection_says_what_the_account_is_sold() -> None:
    options = account_options("acme", {"api_key": KEY, "limits": {"requests_per_second": 2, "requests_per_minute": 30}})
    vendor = ask_both(two_endpoints("people"), options)
    assert rate(vendor, 1) == 2
    assert rate(vendor, 60) == 30


def test_an_account_may_be_sold_more_than_the_file_says() -> None:
    options = account_options("acme", {"api_key": KEY, "limits": {"requests_per_second": 9}})
    assert rate(ask_both(two_endpoints("people"), options), 1) == 9


def test_an_endpoint_with_limits_of_its_own_counts_alone() -> None:
    limits = {"requests_per_second": 4, "endpoints": {"two": {"requests_per_second": 1, "concurrency": 3}}}
    options = account_options("acme", {"api_key": KEY, "limits": limits})
    specs = two_endpoints("people")
    assert rate(ask_both(specs, options, calls=8), 1) == 5
    provider = connect(["acme.two"], specs, lambda _: options, LoopClock(), Vendor(found))["acme.two"]
    assert provider.spec.limits.concurrency == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limits": {"requests_per_hour": 3}}, "'limits.requests_per_hour' is not known"),
        ({"limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
        ({"limits": {"endpoints": {"tow": {"concurrency": 1}}}}, "Did you mean 'two'?"),
        ({"callback_url": "https://x.example"}, "'callback_url' and 'callback_port' go together"),
        ({"callback_url": "x.example", "callback_port": 1}, "'callback_url' must start with http"),
    ],
)
def test_limits_that_cannot_be_are_a_config_error(options: dict[str, Any], says: str) -> None:
    specs = two_endpoints("people")
    with pytest.raises(ConfigError, match="acme") as caught:
        connect(specs, specs, lambda vendor: account_options(vendor, {"api_key": KEY, **options}), LoopClock())
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


def test_an_unknown_provider_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'acme\.one'"):
        connect(["acme.oen"], two_endpoints(""), lambda _: AccountOptions(api_key=KEY), LoopClock())


def test_a_throttle_at_one_endpoint_holds_the_other_too() -> None:
    status = [{"http": 429, "verdict": "slow_down", "wait_s": 7}, *BASE["status"]]
    specs = {name: spec(name=name, limiter="people", status=status) for name in ("acme.one", "acme.two")}
    refused = iter([True])
    vendor = Vendor(lambda people: (429, {}) if next(refused, False) else found(people))

    async def main() -> None:
        providers = connect(specs, specs, lambda _: AccountOptions(api_key=KEY), LoopClock(), vendor)
        one, two = providers.values()
        async with one, two:
            first = asyncio.ensure_future(one.ask(Lookup({"email": "a@x.example"})))
            await asyncio.sleep(1)
            await two.ask(Lookup({"email": "b@x.example"}))
            await first

    run_virtual(main())
    assert vendor.asked_at[1] - vendor.asked_at[0] >= 7


def test_errors_of_single_lookups_are_replies_not_raised() -> None:
    single = spec(batch=None, auth={"type": "bearer"}, request={"path": "/v1", "query": {"email": "{email}"}})
    provider = create_provider(single, {"api_key": KEY}, LoopClock(), Vendor(lambda _: httpx.ReadError("lost")))

    async def main() -> list[Reply]:
        async with provider:
            return list(await provider.ask_many([Lookup({"email": "a@x.example"})]))

    (reply,) = run_virtual(main())
    assert isinstance(reply, CallError)
