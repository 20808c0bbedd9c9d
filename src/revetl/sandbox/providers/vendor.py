"""What the vendors have in common: a key, books, a throttle, and an answer in their own dialect."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from aiohttp import web

from revetl.clock import Clock
from revetl.sandbox.faults import FAULT
from revetl.sandbox.providers.billing import Bill, Charge, FixedWindow
from revetl.sandbox.providers.knowledge import Knowledge
from revetl.sandbox.providers.population import Population
from revetl.sandbox.providers.truth import Truth, World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# How a vendor says no, whatever the question.
REFUSALS = ("bad_key", "throttled", "out_of_credits", "unavailable")


@dataclass(frozen=True, slots=True)
class Context:
    """What every vendor is built from. `limited`: whether it throttles. `job_s`: how long a job takes."""

    truth: Truth
    clock: Clock
    seed: int = 0
    limited: bool = True
    job_s: float = 2.0
    population: Population = field(default_factory=Population)

    def knowledge(self, vendor: str) -> Knowledge:
        return Knowledge(self.population, self.seed, vendor)

    def window(self, calls: int, seconds: float) -> FixedWindow:
        return FixedWindow(calls if self.limited else None, seconds, self.clock)


class Refusal(Exception):
    """An answer that is an error in the vendor's dialect. `why` is how the books count it."""

    def __init__(self, status: int, body: Any, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.body = body
        self.why = why
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. `counted` is how the books count it (hit, miss, batch, submitted, …); `charges` is what it costs.

    `reference` names the call on the invoice where the vendor gives it a name, as with jobs.
    """

    body: Any
    counted: str
    charges: tuple[Charge, ...] = ()
    status: int = 200
    reference: str | None = None


Answer = Callable[[web.Request, str], Awaitable[Found]]


class Vendor:
    """One vendor. A subclass names itself, adds its routes and answers; the books and the faults are kept here."""

    name: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context = context
        self.clock = context.clock
        self.bill = Bill(self.name, context.clock)
        self.knowledge = context.knowledge(self.name)

    @property
    def world(self) -> World:
        return self.context.truth.world

    def path(self, own: str) -> str:
        return f"/providers/{self.name}{own}"

    def add_routes(self, app: web.Application) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        """Forgets what was asked and charged."""
        self.bill.clear()

    def settle(self) -> None:
        """Books what is due by now. Before anybody reads the books."""

    async def close(self) -> None:
        """Ends what still runs in the background."""

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("X-API-Key", "")

    def refusal(self, kind: str) -> Refusal:
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

    def serve(self, answer: Answer) -> Handler:
        """Counts, asks `answer(request, key)`, charges. A fault that speaks the vendor's dialect is said first."""

        async def handle(request: web.Request) -> web.StreamResponse:
            key = await self.key_of(request)
            reference = self.bill.next_reference()
            charged = Decimal(0)
            try:
                fault = request.get(FAULT)
                if fault is not None and fault.kind in REFUSALS:
                    raise self.refusal(fault.kind)
                found = await answer(request, key)
            except Refusal as e:
                status, body, counted, more = e.status, e.body, e.why, e.headers
            else:
                reference = found.reference or reference
                charged = self.bill.charge(key, reference, found.charges)
                status, body, counted, more = found.status, found.body, found.counted, {}
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
