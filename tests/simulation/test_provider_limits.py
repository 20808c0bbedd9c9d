"""Every shipped provider at its vendor's documented limits, on virtual time: as fast as the vendor allows, with next to
no request refused, and both sides' books equal."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.providers.base import Answer, Lookup
from revetl.providers.grammar import load_providers
from revetl.providers.registry import create_provider
from revetl.sandbox.faults import Fault
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from tests.support.sandbox_world import COMPANIES, KEY, company, person, write_truth
from tests.support.virtual_time import run_virtual

SPECS = load_providers(Path(__file__).parents[2] / "enrichment" / "providers")
# One endpoint of a vendor and kind stands for those with the same limits.
SINGLE = sorted(
    {(s.vendor, s.kind, s.limits.windows): n for n, s in SPECS.items() if s.batch is None}.values(),
)
BATCHES = sorted(name for name, spec in SPECS.items() if spec.batch is not None)
PEOPLE = 1100
LATENCY_S = 0.2
# How the vendors' books count "too fast".
THROTTLED = ("throttled", "blocked", "rate_limit", "rate_limit_error", "rate_limited", "rate_limit_exceeded")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(tmp_path_factory.mktemp("limits") / "truth", PEOPLE)


def inputs(name: str, i: int) -> dict[str, str]:
    if SPECS[name].entity == "company":
        c = company(i % COMPANIES)
        return SPECS[name].relevant({"domain": c.domain, "name": c.name})
    p = person(i)
    everything = {"email": p.email, "first_name": p.first_name, "last_name": p.last_name}
    return SPECS[name].relevant({**everything, "company_domain": company(i % COMPANIES).domain})


def shortest_s(name: str, calls: int) -> float:
    """No client can be done earlier: in each window at most so many calls begin."""
    windows = [(calls - 1) // w.calls * w.seconds for w in SPECS[name].limits.windows]
    return max(windows, default=0.0)


@pytest.mark.parametrize("name", SINGLE)
def test_as_fast_as_the_vendor_allows(truth: Path, name: str) -> None:
    windows = SPECS[name].limits.windows
    # More than fit into the longest window; of ZeroBounce's 80,000 just some.
    most = max((w.calls for w in windows), default=0)
    calls = most + 60 if most + 60 <= PEOPLE else 200

    async def run() -> tuple[float, int, Decimal, Decimal]:
        clock = LoopClock()
        async with sandbox_in_process(SandboxSettings(truth=truth), clock, LATENCY_S) as (transport, sandbox):
            options = {"base_url": f"https://sandbox.example/providers/{SPECS[name].vendor}", "api_key": KEY}
            async with create_provider(SPECS[name], options, clock, transport) as provider:
                started = clock.monotonic()
                answers = await asyncio.gather(*(provider.ask(Lookup(inputs(name, i))) for i in range(calls)))
                took = clock.monotonic() - started
            bill = sandbox.bills[SPECS[name].vendor]
        refused = sum(call.counted in THROTTLED for call in bill.calls)
        return took, refused, sum((a.charged_usd for a in answers), Decimal(0)), bill.charged_usd

    took, refused, ours, theirs = run_virtual(run())
    assert ours == theirs
    assert refused <= calls * 0.02
    concurrency_s = calls * LATENCY_S / SPECS[name].limits.concurrency
    assert took <= 1.1 * max(shortest_s(name, calls), concurrency_s) + 2


@pytest.mark.parametrize("name", BATCHES)
def test_batches_and_jobs_within_the_limits(truth: Path, name: str) -> None:
    """Polls count against the limit too, and one batch too many shuts ZeroBounce's door for ten minutes."""

    async def run() -> tuple[float, int, Decimal, Decimal]:
        clock = LoopClock()
        settings = SandboxSettings(truth=truth, job_s=45)
        async with sandbox_in_process(settings, clock, LATENCY_S) as (transport, sandbox):
            options = {"base_url": f"https://sandbox.example/providers/{SPECS[name].vendor}", "api_key": KEY}
            async with create_provider(SPECS[name], options, clock, transport) as provider:
                # ZeroBounce takes thirty batches a minute: these are forty, however few addresses each.
                size = min(provider.batch_size, PEOPLE // 40)
                lookups = [Lookup(inputs(name, i), f"ref-{i}") for i in range(40 * size)]
                pieces = [lookups[i : i + size] for i in range(0, len(lookups), size)]
                started = clock.monotonic()
                replies = [r for some in await asyncio.gather(*map(provider.ask_many, pieces)) for r in some]
                took = clock.monotonic() - started
            bill = sandbox.bills[SPECS[name].vendor]
        assert all(isinstance(reply, Answer) for reply in replies)
        refused = sum(call.counted in THROTTLED for call in bill.calls)
        return (
            took,
            refused,
            sum((r.charged_usd for r in replies if isinstance(r, Answer)), Decimal(0)),
            bill.charged_usd,
        )

    took, refused, ours, theirs = run_virtual(run())
    assert ours == theirs
    assert refused <= 1
    assert took <= 300


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate"])
def test_a_cut_connection_is_cut_here_too(truth: Path, kind: str) -> None:
    async def run() -> int:
        clock = LoopClock()
        async with sandbox_in_process(SandboxSettings(truth=truth), clock) as (transport, sandbox):
            sandbox.faults.add(Fault("GET /providers/zerobounce/*", kind))
            async with httpx.AsyncClient(transport=transport, base_url="https://sandbox.example") as client:
                path, query = "/providers/zerobounce/v2/validate", {"api_key": KEY, "email": str(person(1).email)}
                with pytest.raises(httpx.ReadError):
                    await client.get(path, params=query)
                assert (await client.get(path, params=query)).status_code == 200
                assert (await client.get("/nowhere")).status_code == 404
            return int(sandbox.bills["zerobounce"].spent[KEY])

    assert run_virtual(run()) == (1 if kind == "reset_before" else 2)
