"""`ProviderExamples`: every file of an `enrichment/examples/` folder, played as a test.

An example is documentation and a test at once: what is sent, what comes back, what it means. The vendor is played by
the file's own answers, and time is virtual: nothing leaves the machine, and no wait takes long.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from revetl import errors
from revetl.clock import LoopClock
from revetl.documents import read_yaml
from revetl.providers.base import Answer, Lookup, ProvidedValue
from revetl.providers.grammar import ProviderSpec, load_providers
from revetl.providers.registry import create_provider
from revetl.testing.virtual_time import run_virtual

API_KEY = "key-for-examples"
_CASES = frozenset({"hit", "throttled", "error"})


class ProviderExamples:
    """Inherit it, and say where the folder with `providers/` and `examples/` is. `vendor`: only this one's.

    class TestProviders(ProviderExamples):
        enrichment = Path(__file__).parents[1] / "enrichment"
    """

    enrichment: ClassVar[Path]
    vendor: ClassVar[str] = "*"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        files = self._files()
        batches = [path for path in files if "lookups" in read_yaml(path).data]
        for argument, chosen in (("batch", batches), ("single", [path for path in files if path not in batches])):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, chosen, ids=lambda p: f"{p.parent.name}/{p.stem}")

    @classmethod
    def _files(cls) -> list[Path]:
        return sorted((cls.enrichment / "examples").glob(f"{cls.vendor}/*.yml"))

    def test_the_example_holds(self, single: Path) -> None:
        example = read_yaml(single).data
        outcome, vendor, seconds = _play(self.enrichment, example)

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

    def test_the_batch_holds(self, batch: Path) -> None:
        example = read_yaml(batch).data
        outcome, jobs, vendor, seconds = _play_batch(self.enrichment, example)

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

    def test_every_endpoint_shows_its_dialect(self) -> None:
        shown = defaultdict(set)
        for path in self._files():
            endpoint, case = path.stem.split(".", 1)
            shown[f"{path.parent.name}.{endpoint}"].add(case)
            assert read_yaml(path).data["provider"] == f"{path.parent.name}.{endpoint}"
        declared = {n for n, spec in _specs(self.enrichment).items() if self.vendor in ("*", spec.vendor)}
        for name in declared:
            assert shown[name] >= _CASES, name
        assert set(shown) == declared


class _Vendor(httpx.AsyncBaseTransport):
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


@cache
def _specs(enrichment: Path) -> dict[str, ProviderSpec]:
    return dict(load_providers(enrichment / "providers"))


def _play(enrichment: Path, example: dict[str, Any]) -> tuple[Answer | errors.CallError, _Vendor, float]:
    """What `ask` gave or raised, the vendor, and the seconds that passed."""
    vendor = _Vendor(example["exchanges"])
    clock = LoopClock()
    spec = _specs(enrichment)[example["provider"]]
    provider = create_provider(spec, {"api_key": API_KEY}, clock, transport=vendor)

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


def _play_batch(enrichment: Path, example: dict[str, Any]) -> tuple[Any, list[str], _Vendor, float]:
    """What `ask_many` gave by ref, or raised; the jobs that it told of, the vendor, and the seconds that passed."""
    vendor = _Vendor(example["exchanges"])
    clock = LoopClock()
    spec = _specs(enrichment)[example["provider"]]
    provider = create_provider(spec, {"api_key": API_KEY}, clock, transport=vendor)
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
