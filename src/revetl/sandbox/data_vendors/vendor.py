"""What data vendors have in common: a key, books, a throttle, and an answer in their own dialect."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from aiohttp import web
from pydantic import Field

from revetl.sandbox.data_vendors.billing import DEFAULT_CREDITS, Bill, Charge, FixedWindow
from revetl.sandbox.data_vendors.knowledge import Knowledge
from revetl.sandbox.data_vendors.truth import Truth, World
from revetl.sandbox.faults import FAULT
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.vendor import Handler, SandboxVendor, VendorContext, VendorOptions

# How a vendor says no, whatever the question.
REFUSALS = ("bad_key", "throttled", "out_of_credits", "unavailable")


class DataVendorOptions(VendorOptions):
    """`credits`: what is on every key at the start. `job_s`: how many seconds its jobs take (None: as the others')."""

    credits: Decimal = Field(default=DEFAULT_CREDITS, ge=0)
    job_s: float | None = Field(default=None, ge=0)


class VendorRefusal(Exception):
    """An answer that is an error in the vendor's dialect. `why` is how the books count it."""

    def __init__(self, status: int, body: Any, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.body = body
        self.why = why
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """An answer. `counted` is how the books count it (hit, miss, batch, submitted, …); `charges` is what it costs.

    `reference` names the call on the invoice where the vendor gives it a name, as with jobs.
    """

    body: Any
    counted: str
    charges: tuple[Charge, ...] = ()
    status: int = 200
    reference: str | None = None


# From the request and the API key in it.
Endpoint = Callable[[web.Request, str], Awaitable[VendorAnswer]]


def truth_of(settings: SandboxSettings) -> Truth:
    """The one truth that all data vendors of a sandbox answer from."""
    return Truth(settings.truth)


class DataVendor(SandboxVendor):
    """One data vendor, below /providers/<name>. A subclass names itself, adds its routes and answers; the books and
    the faults are kept here."""

    name: ClassVar[str]
    Options: ClassVar[type[VendorOptions]] = DataVendorOptions

    def __init_subclass__(cls) -> None:
        # A mount is a class's own, and this one follows from its name.
        super().__init_subclass__()
        if "mount" not in cls.__dict__ and "name" in cls.__dict__:
            cls.mount = f"/providers/{cls.name}"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        settings = context.settings
        self.clock = context.clock
        self.limited = settings.limited
        self.job_s = settings.job_s if options.job_s is None else options.job_s
        self.bill = Bill(self.name, context.clock, options.credits)
        self.knowledge = Knowledge(settings.population, settings.seed, self.name)
        self._truth = context.shared(truth_of)

    @property
    def world(self) -> World:
        return self._truth.world

    def fixed_window(self, calls: int, seconds: float) -> FixedWindow:
        """The vendor's throttle, open where the sandbox is not limited."""
        return FixedWindow(calls if self.limited else None, seconds, self.clock)

    def reset(self, *, keep_records: bool = False) -> None:
        """Forgets what was asked and charged. The truth is not the vendor's to forget."""
        self.bill.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        return self.bill.as_json(calls=calls)

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("X-API-Key", "")

    def refusal(self, kind: str) -> VendorRefusal:
        """One of `REFUSALS` in this vendor's words."""
        raise NotImplementedError

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        """Those that go with every answer; `charged` in credits."""
        return {}

    def refuse_bad_key(self, key: str) -> None:
        if not key or "bad" in key:
            raise self.refusal("bad_key")

    def take(self, key: str, *windows: FixedWindow) -> None:
        if not all(window.take(key) for window in windows):
            raise self.refusal("throttled")

    def afford(self, key: str, credits: Decimal) -> None:
        if self.bill.remaining(key) < credits:
            raise self.refusal("out_of_credits")

    def serve(self, answer: Endpoint) -> Handler:
        """Counts, asks `answer(request, key)`, charges. A fault that speaks the vendor's dialect is said first."""

        async def handle(request: web.Request) -> web.StreamResponse:
            key = await self.key_of(request)
            reference = self.bill.next_reference()
            charged = Decimal(0)
            try:
                fault = request.get(FAULT)
                if fault is not None and fault.kind in REFUSALS:
                    raise self.refusal(fault.kind)
                answered = await answer(request, key)
            except VendorRefusal as e:
                status, body, counted, more = e.status, e.body, e.why, e.headers
            else:
                reference = answered.reference or reference
                charged = self.bill.charge(key, reference, answered.charges)
                status, body, counted, more = answered.status, answered.body, answered.counted, {}
            self.bill.note(reference, key, f"{request.method} {request.path}", status, counted, charged)
            return respond(status, body, {**self.headers(key, charged), **more})

        return handle


def respond(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` None is an empty answer."""
    raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    return web.Response(status=status, body=raw, headers={"Content-Type": "application/json", **(headers or {})})


async def json_body(request: web.Request) -> Any:
    """What the body says, None where it is no JSON."""
    try:
        return json.loads(await request.read())
    except ValueError:
        return None
