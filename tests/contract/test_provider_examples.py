"""Every file of enrichment/examples/ is documentation and a test: what is sent, what comes back, what it means."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from revetl import errors
from revetl.clock import LoopClock
from revetl.documents import read_yaml
from revetl.providers.base import Answer, Lookup, ProvidedValue
from revetl.providers.grammar import load_providers
from revetl.providers.registry import create_provider
from tests.support.virtual_time import run_virtual

ENRICHMENT = Path(__file__).parents[2] / "enrichment"
SPECS = load_providers(ENRICHMENT / "providers")
FILES = sorted((ENRICHMENT / "examples").glob("*/*.yml"))
BATCHES = [path for path in FILES if "lookups" in read_yaml(path).data]
SINGLES = [path for path in FILES if path not in BATCHES]
API_KEY = "key-for-examples"


class Vendor(httpx.AsyncBaseTransport):
    """Answers the exchanges of one example in order, and the last one again where it is asked more often."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self.exchanges = exchanges
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.exchanges[min(len(self.asked), len(self.exchanges)) - 1]["response"]
        headers = answer.get("headers", {})
        if "body" in answer:
            return httpx.Response(answer["status"], headers=headers, json=answer["body"])
        return httpx.Response(answer["status"], headers=headers, text=answer.get("text", ""))


def play(example: dict[str, Any]) -> tuple[Answer | errors.CallError, Vendor, float]:
    """What `ask` gave or raised, the vendor, and the seconds that passed."""
    vendor = Vendor(example["exchanges"])
    clock = LoopClock()
    provider = create_provider(SPECS[example["provider"]], {"api_key": API_KEY}, clock, transport=vendor)

    async def ask() -> tuple[Answer | errors.CallError, float]:
        started = clock.monotonic()
        async with provider:
            try:
                outcome: Answer | errors.CallError = await provider.ask(Lookup(example["inputs"]))
            except errors.CallError as e:
                outcome = e
        return outcome, clock.monotonic() - started

    outcome, seconds = run_virtual(ask())
    return outcome, vendor, seconds


@pytest.mark.parametrize("path", SINGLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_example_holds(path: Path) -> None:
    example = read_yaml(path).data
    outcome, vendor, seconds = play(example)

    # What is certainly not processed may be repeated; nothing else may.
    if example.get("error", {}).get("type") != "Unavailable":
        assert len(vendor.asked) == len(example["exchanges"])
    if "error" in example:
        assert type(outcome).__name__ == example["error"]["type"], outcome
        assert example["error"]["says"] in str(outcome)
        assert API_KEY not in str(outcome)
        assert not any(value in str(outcome) for value in example["inputs"].values())
    else:
        assert isinstance(outcome, Answer), outcome
        assert _said(outcome) == _expected(example["answer"])
        assert API_KEY not in repr(outcome)
    assert seconds >= example.get("waited_s", 0)
    for exchange, request in zip(example["exchanges"], vendor.asked, strict=False):
        _check_request(exchange["request"], request)


def play_batch(example: dict[str, Any]) -> tuple[Any, list[str], Vendor, float]:
    """What `ask_many` gave by ref, or raised; the jobs that it told of, the vendor, and the seconds that passed."""
    vendor = Vendor(example["exchanges"])
    clock = LoopClock()
    provider = create_provider(SPECS[example["provider"]], {"api_key": API_KEY}, clock, transport=vendor)
    lookups = [Lookup(inputs, ref) for ref, inputs in example["lookups"].items()]
    jobs: list[str] = []

    async def note(request_id: str, taken: Sequence[Lookup]) -> None:
        jobs.append(request_id)
        assert all(lookup in lookups for lookup in taken)

    async def ask() -> tuple[Any, float]:
        started = clock.monotonic()
        async with provider:
            try:
                replies = await provider.ask_many(lookups, note)
                outcome: Any = {lookup.ref: reply for lookup, reply in zip(lookups, replies, strict=True)}
            except errors.CallError as e:
                outcome = e
        return outcome, clock.monotonic() - started

    outcome, seconds = run_virtual(ask())
    return outcome, jobs, vendor, seconds


@pytest.mark.parametrize("path", BATCHES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_batch_holds(path: Path) -> None:
    example = read_yaml(path).data
    outcome, jobs, vendor, seconds = play_batch(example)

    assert len(vendor.asked) == len(example["exchanges"])
    assert jobs == example.get("jobs", [])
    assert API_KEY not in repr(outcome)
    if "error" in example:
        assert type(outcome).__name__ == example["error"]["type"], outcome
        assert example["error"]["says"] in str(outcome)
    else:
        assert isinstance(outcome, dict), outcome
        said = {ref: _said(r) if isinstance(r, Answer) else type(r).__name__ for ref, r in outcome.items()}
        expected = example["answers"]
        assert said == {ref: a if isinstance(a, str) else _expected(a) for ref, a in expected.items()}
    assert seconds >= example.get("waited_s", 0)
    for exchange, request in zip(example["exchanges"], vendor.asked, strict=True):
        _check_request(exchange["request"], request)


def _said(answer: Answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "charged_usd": answer.charged_usd,
        "error_code": answer.error_code,
        "values": {v.field: v for v in answer.values},
    }


def _expected(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": answer["status"],
        "charged_usd": Decimal(str(answer["charged_usd"])),
        "error_code": answer.get("error_code"),
        "values": {field: ProvidedValue(field, **v) for field, v in answer.get("values", {}).items()},
    }


def _check_request(expected: dict[str, Any], request: httpx.Request) -> None:
    assert (request.method, request.url.path) == (expected["method"], expected["path"])
    if "query" in expected:
        assert dict(request.url.params) == {k: v.replace("{api_key}", API_KEY) for k, v in expected["query"].items()}
    if "json" in expected:
        assert json.loads(request.content.replace(API_KEY.encode(), b"{api_key}")) == expected["json"]
    for name, value in expected.get("headers", {}).items():
        assert request.headers[name] == value.replace("{api_key}", API_KEY)


def test_every_endpoint_shows_its_dialect() -> None:
    shown = defaultdict(set)
    for path in FILES:
        endpoint, case = path.stem.split(".", 1)
        shown[f"{path.parent.name}.{endpoint}"].add(case)
        assert read_yaml(path).data["provider"] == f"{path.parent.name}.{endpoint}"
    for name in SPECS:
        assert {"hit", "throttled", "error"} <= shown[name], name
    assert set(shown) == set(SPECS)
