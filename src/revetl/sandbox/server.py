"""The sandbox as one server: HubSpot at the root, providers under /providers/, what a test needs under /_sandbox/.

Everything answers over real HTTP from state in this process. With a `data_dir` the portal outlives it.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from revetl.clock import Clock, SystemClock
from revetl.sandbox.admin import Admin
from revetl.sandbox.faults import Faults
from revetl.sandbox.hubspot.app import HubSpotApp
from revetl.sandbox.hubspot.limits import LimitSettings, RateLimits
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.providers.billing import Bill
from revetl.sandbox.providers.population import Population
from revetl.sandbox.providers.registry import VENDORS
from revetl.sandbox.providers.truth import Truth
from revetl.sandbox.providers.vendor import Context, Vendor
from revetl.sandbox.snapshot import Snapshot

HOST = "127.0.0.1"
DEFAULT_PORT = 8765
# A snapshot is written once writes have paused this long, or at the latest after so long.
_SETTLE_S = 1.0
_SAVE_AT_LEAST_EVERY_S = 30.0
# 2,000 associations or 100 rich records are well below.
_BODY_MAX_BYTES = 32 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`truth` is the directory with people.parquet and companies.parquet (None: providers know nobody). `population`
    and `seed` decide which vendor knows what. `provider_limits`: whether the providers throttle. `job_s`: how long
    their jobs take."""

    limits: LimitSettings = field(default_factory=LimitSettings)
    search_lag_s: float = 0.0
    data_dir: Path | None = None
    truth: Path | None = None
    seed: int = 0
    provider_limits: bool = True
    population: Population = field(default_factory=Population)
    job_s: float = 2.0


@dataclass(slots=True)
class Sandbox:
    """The state behind one server. Public so that tests may look inside and set things up directly."""

    settings: SandboxSettings
    clock: Clock
    portal: Portal = field(init=False)
    hubspot: HubSpotApp = field(init=False)
    faults: Faults = field(init=False)
    vendors: tuple[Vendor, ...] = field(init=False)
    by_route: Counter[str] = field(init=False, default_factory=Counter)
    by_status: Counter[int] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.portal = self._fresh_portal()
        self.hubspot = HubSpotApp(self.portal, RateLimits(self.settings.limits, self.clock))
        self.faults = Faults(self.clock, self.settings.seed)
        settings = self.settings
        context = Context(
            Truth(settings.truth),
            self.clock,
            seed=settings.seed,
            limited=settings.provider_limits,
            job_s=settings.job_s,
            population=settings.population,
        )
        self.vendors = tuple(vendor(context) for vendor in VENDORS)

    @property
    def bills(self) -> dict[str, Bill]:
        """By vendor, with everything booked that is due by now."""
        for vendor in self.vendors:
            vendor.settle()
        return {vendor.name: vendor.bill for vendor in self.vendors}

    def _fresh_portal(self) -> Portal:
        return Portal(self.clock, search_lag_s=self.settings.search_lag_s)

    def reset(self, *, keep_records: bool = False) -> None:
        if not keep_records:
            version = self.portal.version
            self.portal = self.hubspot.portal = self._fresh_portal()
            self.portal.version = version + 1
        self.hubspot.limits = RateLimits(self.settings.limits, self.clock)
        self.hubspot.requests = self.hubspot.writes = self.hubspot.refused = 0
        self.portal.counts.clear()
        self.faults.clear()
        for vendor in self.vendors:
            vendor.reset()
        self.by_route.clear()
        self.by_status.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        """`calls`: with every call that a vendor took."""
        return {
            "requests": {
                "total": sum(self.by_route.values()),
                "by_route": dict(self.by_route),
                "by_status": {str(status): n for status, n in sorted(self.by_status.items())},
            },
            "hubspot": {
                "requests": self.hubspot.requests,
                "write_requests": self.hubspot.writes,
                "refused": self.hubspot.refused,
                "records": {name: len(store.records) for name, store in self.portal.stores.items()},
                "changes": dict(self.portal.counts),
            },
            "providers": {name: bill.as_json(calls=calls) for name, bill in self.bills.items()},
        }

    def invoice(self, vendor: str | None = None) -> list[dict[str, Any]]:
        """The lines of all vendors, or of one, as they were booked."""
        bills = [bill for name, bill in self.bills.items() if vendor in (None, name)]
        return [line.as_json(bill.vendor) for bill in bills for line in bill.lines]

    async def close(self, _: web.Application) -> None:
        for vendor in self.vendors:
            await vendor.close()

    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return await handler(request)
        self.by_route[_route(request)] += 1
        answer = await self.faults.run(request, handler)
        self.by_status[answer.status] += 1
        return answer


def _route(request: web.Request) -> str:
    """`POST /crm/v3/objects/contacts/batch/upsert`: ids stay placeholders, object types are filled in."""
    resource = request.match_info.route.resource
    if resource is None:
        return f"{request.method} (unknown)"
    path = resource.canonical
    for name in ("type", "from", "to"):
        if name in request.match_info:
            path = path.replace(f"{{{name}}}", request.match_info[name])
    return f"{request.method} {path}"


SANDBOX: web.AppKey[Sandbox] = web.AppKey("sandbox", Sandbox)


def build_app(settings: SandboxSettings | None = None, clock: Clock | None = None) -> web.Application:
    """The application, not yet listening. `app[SANDBOX]` is the state behind it."""
    sandbox = Sandbox(settings or SandboxSettings(), clock or SystemClock())

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await sandbox.middleware(request, handler)

    app = web.Application(middlewares=[middleware], client_max_size=_BODY_MAX_BYTES)
    app[SANDBOX] = sandbox
    sandbox.hubspot.add_routes(app)
    for vendor in sandbox.vendors:
        vendor.add_routes(app)
    app.on_cleanup.append(sandbox.close)
    Admin(sandbox).add_routes(app)
    if sandbox.settings.data_dir is not None:
        app.cleanup_ctx.append(_keep(sandbox, sandbox.settings.data_dir))
    return app


def _keep(sandbox: Sandbox, data_dir: Path) -> Callable[[web.Application], AsyncIterator[None]]:
    async def keep(_: web.Application) -> AsyncIterator[None]:
        snapshot = Snapshot(data_dir, lambda: sandbox.portal)
        snapshot.load()
        saving = asyncio.create_task(_save_now_and_then(sandbox, snapshot))
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        if snapshot.stale:
            snapshot.save()

    return keep


async def _save_now_and_then(sandbox: Sandbox, snapshot: Snapshot) -> None:
    seen, saved_at = sandbox.portal.version, sandbox.clock.monotonic()
    while True:
        await sandbox.clock.sleep(_SETTLE_S)
        settled = sandbox.portal.version == seen
        seen = sandbox.portal.version
        if snapshot.stale and (settled or sandbox.clock.monotonic() - saved_at > _SAVE_AT_LEAST_EVERY_S):
            snapshot.save()
            saved_at = sandbox.clock.monotonic()


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    base_url: str
    sandbox: Sandbox

    @property
    def portal(self) -> Portal:
        return self.sandbox.portal


@asynccontextmanager
async def running_sandbox(
    port: int = 0, truth: Path | None = None, clock: Clock | None = None, settings: SandboxSettings | None = None
) -> AsyncIterator[RunningSandbox]:
    """Serves on loopback in the running loop until left; port 0 takes a free one. `settings` wins over `truth`."""
    app = build_app(settings or SandboxSettings(truth=truth), clock)
    # Nobody waits for idle connections at the end.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        bound = runner.addresses[0][1]
        yield RunningSandbox(f"http://{HOST}:{bound}", app[SANDBOX])
    finally:
        await runner.cleanup()


def serve(settings: SandboxSettings, port: int, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM, then writes the last snapshot. `ready` gets the base URL once it listens.
    OSError where the port is taken."""
    asyncio.run(_serve(settings, port, ready))


async def _serve(settings: SandboxSettings, port: int, ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_sandbox(port, settings=settings) as running:
        ready(running.base_url)
        await stop.wait()
