"""What the vendors have in common: a key, books, a throttle, and an answer in their own dialect."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.clock import Clock
from revetl.sandbox.providers.billing import Bill, FixedWindow
from revetl.sandbox.providers.truth import Belief, Truth

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Context:
    """What every vendor is built from. `limited`: whether it throttles."""

    truth: Truth
    clock: Clock
    seed: int
    limited: bool

    def belief(self, vendor: str) -> Belief:
        return Belief(self.seed, vendor)

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
    """An answer. `counted` is how the books count it (hit, miss); `credits` of `usd` in all are charged."""

    body: Any
    counted: str
    credits: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)
    status: int = 200


def respond(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    raw = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(status=status, body=raw, headers=headers, content_type="application/json")


def endpoint(
    bill: Bill,
    key_of: Callable[[web.Request], str],
    answer: Callable[[web.Request, str], Awaitable[Found]],
    headers: Callable[[str, Decimal], Mapping[str, str]] | None = None,
) -> Handler:
    """Counts, asks `answer(request, key)`, charges. `headers(key, credits charged)` go with every answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        key = key_of(request)
        bill.requests[key] += 1
        charged = Decimal(0)
        try:
            found = await answer(request, key)
        except Refusal as e:
            bill.answers[e.why] += 1
            status, body, more = e.status, e.body, e.headers
        else:
            charged = found.credits
            bill.charge(key, charged, found.usd)
            bill.answers[found.counted] += 1
            status, body, more = found.status, found.body, {}
        return respond(status, body, {**more, **(headers(key, charged) if headers else {})})

    return handle
