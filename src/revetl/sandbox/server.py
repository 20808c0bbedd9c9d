"""The sandbox as one server: the vendors of the registry, each at its mount, and what a test needs under /_sandbox/.

Everything answers over real HTTP from state in this process. With a `data_dir` the vendors' records outlive it.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from revetl.clock import Clock, SystemClock
from revetl.sandbox.admin import Admin
from revetl.sandbox.faults import Faults
from revetl.sandbox.registry import create_vendors
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.state_files import StateFile, keep_state
from revetl.sandbox.vendor import (
    ChargingVendor,
    Handler,
    PersistentVendor,
    Routes,
    SandboxVendor,
    VendorContext,
    mount_of,
)

if TYPE_CHECKING:
    from revetl.sandbox.data_vendors.billing import Bill

HOST = "127.0.0.1"
# 2,000 associations or 100 rich records are well below.
_BODY_MAX_BYTES = 32 * 1024 * 1024

V = TypeVar("V", bound=SandboxVendor)


class Sandbox:
    """The state behind one server. Public so that tests may look inside and set things up directly.

    ConfigError where the settings name a vendor or an option that is not there.
    """

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.faults = Faults(clock, settings.seed)
        self.vendors: dict[str, SandboxVendor] = create_vendors(VendorContext(settings, clock))
        self.by_route: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()

    def vendor(self, kind: type[V]) -> V:
        """The one vendor of a class, with its own type. LookupError where it is not served."""
        for vendor in self.vendors.values():
            if isinstance(vendor, kind):
                return vendor
        raise LookupError(f"this sandbox serves no {kind.__name__}")

    @property
    def bills(self) -> dict[str, Bill]:
        """Of the vendors that charge, with everything booked that is due by now."""
        for vendor in self.vendors.values():
            vendor.settle()
        return {name: vendor.bill for name, vendor in self.vendors.items() if isinstance(vendor, ChargingVendor)}

    def reset(self, *, keep_records: bool = False) -> None:
        for vendor in self.vendors.values():
            vendor.reset(keep_records=keep_records)
        self.faults.clear()
        self.by_route.clear()
        self.by_status.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        """`requests` of all, then each vendor under its name; those that charge together under `providers`. `calls`:
        with every call that a vendor took."""
        seen: dict[str, dict[str, Any]] = {}
        for name, vendor in self.vendors.items():
            vendor.settle()
            seen[name] = vendor.stats(calls=calls)
        charging = {name for name, vendor in self.vendors.items() if isinstance(vendor, ChargingVendor)}
        return {
            "requests": {
                "total": sum(self.by_route.values()),
                "by_route": dict(self.by_route),
                "by_status": {str(status): n for status, n in sorted(self.by_status.items())},
            },
            **{name: counts for name, counts in seen.items() if name not in charging},
            "providers": {name: counts for name, counts in seen.items() if name in charging},
        }

    def invoice(self, vendor: str | None = None) -> list[dict[str, Any]]:
        """The lines of all vendors, or of one, as they were booked."""
        bills = [bill for name, bill in self.bills.items() if vendor in (None, name)]
        return [line.as_json(bill.vendor) for bill in bills for line in bill.lines]

    async def close(self, _: web.Application) -> None:
        for vendor in self.vendors.values():
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
    for vendor in sandbox.vendors.values():
        vendor.add_routes(Routes(app.router, mount_of(vendor)))
    app.on_cleanup.append(sandbox.close)
    Admin(sandbox).add_routes(app)
    if sandbox.settings.data_dir is not None:
        app.cleanup_ctx.append(_keeping(sandbox, sandbox.settings.data_dir))
    return app


def _keeping(sandbox: Sandbox, data_dir: Path) -> Callable[[web.Application], AsyncIterator[None]]:
    persistent = {name: v for name, v in sandbox.vendors.items() if isinstance(v, PersistentVendor)}
    files = [StateFile(data_dir / f"{name}.json", vendor) for name, vendor in persistent.items()]

    async def keep(_: web.Application) -> AsyncIterator[None]:
        async with keep_state(files, sandbox.clock):
            yield

    return keep


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    base_url: str
    sandbox: Sandbox

    def vendor(self, kind: type[V]) -> V:
        """The one vendor of a class, with its own type. LookupError where it is not served."""
        return self.sandbox.vendor(kind)


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
    """Serves until SIGINT or SIGTERM, then writes the vendors' state. `ready` gets the base URL once it listens.
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
