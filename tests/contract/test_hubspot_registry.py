"""What the registry promises for every connector, and the plain HTTP sink."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from revetl.clock import LoopClock, SystemClock
from revetl.destinations import registry
from revetl.destinations.http_sink import HttpSink, Options
from revetl.documents import parse, read_yaml
from revetl.errors import ConfigError, Unavailable
from revetl.model import Change, Operation, Outcome, Status
from tests.support.virtual_time import run_virtual

MINIMAL = {"hubspot": {"token": "pat-secret-token"}, "http_sink": {"url": "http://127.0.0.1:1/push"}}


@pytest.mark.parametrize("type_", registry.types())
def test_every_connector_is_made_from_its_least_options(type_: str) -> None:
    destination = registry.create_destination(type_, "mine", MINIMAL[type_], SystemClock())
    assert destination.name == "mine"
    assert destination.limits("contacts").batch_rows >= 1
    assert (destination.requests, destination.retries) == (0, 0)
    assert "pat-secret" not in repr(destination)


@pytest.mark.parametrize("type_", registry.types())
def test_a_misspelt_option_is_said_with_its_line(type_: str, tmp_path: Path) -> None:
    path = tmp_path / "connections.yml"
    path.write_text("\n".join([*(f"{k}: {v!r}" for k, v in MINIMAL[type_].items()), "concurency: 3"]))
    with pytest.raises(ConfigError) as caught:
        parse(read_yaml(path), registry.options_model(type_))
    assert f"{path}:2" in str(caught.value)
    assert "'concurrency'" in str(caught.value)
    assert "pat-secret" not in str(caught.value)


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="hubspot"):
        registry.options_model("hubspt")


def test_the_registry_imports_no_vendor() -> None:
    heavy = "('httpx', 'pydantic', 'aiohttp')"
    code = f"import sys, revetl.destinations.registry; print([m for m in sys.modules if m in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def changes(n: int) -> list[Change]:
    values = {"n": 1, "d": Decimal("1.50"), "at": datetime(2026, 1, 2, tzinfo=UTC), "on": date(2026, 1, 2), "x": None}
    return [Change(i, f"k{i}", Operation.CREATE, None, values) for i in range(n)]


def send(
    status: int, batch: list[Change], url: str = "https://sink.example/push?site=7"
) -> tuple[list[Outcome], list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status)

    async def main() -> list[Outcome]:
        options = Options.model_validate({"url": url, "headers": {"X-Api-Key": "secret"}})
        async with HttpSink("sink", options, LoopClock(), httpx.MockTransport(answer)) as sink:
            known = (await sink.describe("anything")).fields
            assert "whatever" in known
            assert not known["whatever"].read_only
            return await sink.write("anything", None, batch)

    return run_virtual(main()), seen


def test_the_sink_posts_what_changed() -> None:
    outcomes, [request] = send(202, changes(3))
    assert [(o.ordinal, o.status, o.destination_id) for o in outcomes] == [(i, Status.OK, f"k{i}") for i in range(3)]
    assert str(request.url) == "https://sink.example/push?site=7"
    assert request.headers["x-api-key"] == "secret"
    fields = {"n": 1, "d": "1.50", "at": "2026-01-02T00:00:00+00:00", "on": "2026-01-02", "x": None}
    assert json.loads(request.content) == [{"key": f"k{i}", "op": "create", "fields": fields} for i in range(3)]


def test_the_sink_says_when_it_refuses_is_lost_or_away() -> None:
    assert {o.status for o in send(422, changes(2))[0]} == {Status.REJECTED}
    assert {o.status for o in send(504, changes(2))[0]} == {Status.UNKNOWN}
    with pytest.raises(Unavailable):
        send(503, changes(2))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://127.0.0.1:9/", "https://a.example/a/a", "https://a.example?x=1"]
)
def test_the_sinks_address_is_kept(url: str) -> None:
    _, [request] = send(200, changes(1), url)
    assert str(request.url).replace("/?", "?").rstrip("/") == url.rstrip("/")
