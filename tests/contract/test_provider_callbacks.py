"""FullEnrich of the sandbox calls back over real HTTP: signed, twice, forged or never; and jobs fetched later."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.clock import SystemClock
from revetl.errors import ConfigError
from revetl.providers.base import Answer, Lookup
from revetl.providers.engine.declarative import DeclarativeProvider
from revetl.providers.grammar import ProviderSpec
from revetl.providers.registry import account_options, connect
from revetl.sandbox.faults import Fault
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.contract.test_provider_sandbox import KEY, SPECS, inputs, truth

__all__ = ["truth"]
PEOPLE = 30
NAME = "fullenrich.email"


@pytest.fixture
async def sandbox(truth: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(truth=truth, limited=False, job_s=0.2)) as running:
        yield running


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def spec(**poll: float) -> ProviderSpec:
    job = SPECS[NAME].job
    assert job is not None
    return SPECS[NAME].model_copy(update={"job": job.model_copy(update={"poll": job.poll.model_copy(update=poll)})})


def provider(sandbox: RunningSandbox, made: ProviderSpec, port: int | None = None) -> DeclarativeProvider:
    given: dict[str, Any] = {"api_key": KEY, "base_url": f"{sandbox.base_url}/providers/fullenrich"}
    if port is not None:
        given |= {"callback_url": f"http://127.0.0.1:{port}", "callback_port": port}
    options = account_options("fullenrich", given)
    return connect([NAME], {NAME: made}, lambda _: options, SystemClock())[NAME]


def lookups() -> list[Lookup]:
    return [Lookup(inputs(NAME, i), f"ref-{i}") for i in range(PEOPLE)]


def checked(sandbox: RunningSandbox, replies: Sequence[Any]) -> None:
    assert [type(r) for r in replies] == [Answer] * PEOPLE
    assert any(r.status == "hit" for r in replies)
    assert sum((r.charged_usd for r in replies), Decimal(0)) == sandbox.sandbox.bills["fullenrich"].charged_usd


@pytest.mark.parametrize("fault", [None, "callback_twice"])
async def test_the_callback_brings_the_result(sandbox: RunningSandbox, fault: str | None) -> None:
    if fault is not None:
        sandbox.sandbox.faults.active.append(Fault("POST /providers/fullenrich/*", fault))
    async with provider(sandbox, spec(), free_port()) as p:
        checked(sandbox, await p.ask_many(lookups()))
        assert p.requests == 1, "nobody polled"


@pytest.mark.parametrize("fault", ["callback_lost", "callback_forged"])
async def test_without_a_genuine_callback_the_result_is_polled_for(sandbox: RunningSandbox, fault: str) -> None:
    sandbox.sandbox.faults.active.append(Fault("POST /providers/fullenrich/*", fault))
    made = spec(every_s=0.1, longest_s=0.1)
    assert made.job is not None
    assert made.job.callback is not None
    callback = made.job.callback.model_copy(update={"wait_s": 0.6})
    made = made.model_copy(update={"job": made.job.model_copy(update={"callback": callback})})
    async with provider(sandbox, made, free_port()) as p:
        checked(sandbox, await p.ask_many(lookups()))
        assert p.requests >= 2


async def test_a_job_of_an_earlier_run_is_fetched_for_nothing(sandbox: RunningSandbox) -> None:
    told: list[str] = []

    class Died(Exception):
        pass

    async def die(request_id: str, taken: Sequence[Lookup]) -> None:
        told.append(request_id)
        raise Died

    async with provider(sandbox, spec(every_s=0.1, longest_s=0.1)) as p:
        with pytest.raises(Died):
            await p.ask_many(lookups(), die)
    async with provider(sandbox, spec(every_s=0.1, longest_s=0.1)) as p:
        later = [Lookup({}, lookup.ref) for lookup in reversed(lookups())]
        first = await p.resume(told[0], later)
        charged = sandbox.sandbox.bills["fullenrich"].charged_usd
        checked(sandbox, first)
        assert [r.values for r in await p.resume(told[0], later) if isinstance(r, Answer)] == [
            r.values for r in first if isinstance(r, Answer)
        ]
    assert sandbox.sandbox.bills["fullenrich"].charged_usd == charged > 0


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = account_options("fullenrich", {"api_key": KEY, "callback_url": "http://me", "callback_port": port})
        made = connect([NAME], SPECS, lambda _: options, SystemClock())[NAME]
        with pytest.raises(ConfigError, match=str(port)):
            await made.__aenter__()
