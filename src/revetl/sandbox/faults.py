"""Faults on demand: what a network and a vendor do on a bad day, the same each time for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from revetl.clock import Clock
from revetl.seeded_random import Seeded

KINDS = (
    *("status", "status_after", "reset_before", "reset_after", "truncate", "wrong_json", "delay", "delay_after"),
    "drip",
)
# What only the endpoint itself can do: a vendor's own words for no, and troubles of its jobs and callbacks.
VENDOR_KINDS = (
    "throttled",
    "out_of_credits",
    "bad_key",
    "unavailable",
    "never_done",
    "callback_twice",
    "callback_late",
    "callback_lost",
    "callback_forged",
)


class FaultError(ValueError):
    """A fault that was asked for makes no sense."""


@dataclass(slots=True)
class Fault:
    """`route` is a glob over `METHOD /path`.

    Kinds: `status` answers instead of the endpoint, `status_after` after it did its work; `reset_before` and
    `reset_after` drop the connection; `truncate` sends half of the answer; `wrong_json` sends a page instead of it;
    `delay` waits `delay_s` before the work, `delay_after` when it is done; `drip` then sends the answer piece by
    piece over `delay_s`. Of data vendors also, in their own words:
    `throttled`, `out_of_credits`, `bad_key`, `unavailable`; of the job that a request starts: `never_done`,
    `callback_twice`, `callback_late` (by `delay_s`), `callback_lost`, `callback_forged` (signed with another key).
    `skip` matching requests pass unharmed, then `times` are hit (None: all), each with `probability`.
    """

    route: str
    kind: str
    times: int | None = 1
    probability: float = 1.0
    skip: int = 0
    status: int = 503
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hits: int = 0

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Fault:
        allowed = set(cls.__dataclass_fields__) - {"hits"}
        unknown = set(document) - allowed
        if unknown:
            raise FaultError(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(allowed))}")
        if document.get("kind") not in (*KINDS, *VENDOR_KINDS):
            raise FaultError(f"kind must be one of {', '.join((*KINDS, *VENDOR_KINDS))}")
        if not document.get("route"):
            raise FaultError('route must be a glob such as "POST /crm/v3/objects/contacts/batch/*"')
        if document["kind"] in VENDOR_KINDS and "/providers/" not in document["route"]:
            raise FaultError(f"{document['kind']} is for data vendors: the route must name one below /providers/")
        return cls(**document)

    def strikes(self, route: str, draw: random.Random) -> bool:
        if self.times == 0 or not fnmatchcase(route, self.route):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.probability < 1 and draw.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        return True


# Where an endpoint finds the fault that it is to act out.
FAULT: web.RequestKey[Fault] = web.RequestKey("fault", Fault)

_DROPS = 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Faults:
    """The list of faults in force. The first that strikes is the one a request suffers."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._clock = clock
        self._seed = seed
        self.active: list[Fault] = []
        self._draw = Seeded(seed)

    def add(self, fault: Fault) -> None:
        self.active.append(fault)

    def clear(self) -> None:
        self.active.clear()
        self._draw.seed(self._seed)

    async def run(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.active:
            return await handler(request)
        route = f"{request.method} {request.path}"
        fault = next((f for f in self.active if f.strikes(route, self._draw)), None)
        if fault is None:
            return await handler(request)
        if fault.kind == "status":
            return _said(fault)
        if fault.kind == "reset_before":
            return _drop(request)
        if fault.kind == "delay":
            await self._clock.sleep(fault.delay_s)
            return await handler(request)
        if fault.kind in VENDOR_KINDS:
            request[FAULT] = fault
            return await handler(request)
        answer = await handler(request)
        if fault.kind == "delay_after":
            await self._clock.sleep(fault.delay_s)
            return answer
        if fault.kind == "status_after":
            return _said(fault)
        if fault.kind == "reset_after":
            return _drop(request)
        if fault.kind == "wrong_json":
            return web.Response(status=200, text="<html><body>Service temporarily unavailable</body></html>")
        if fault.kind == "drip":
            return await self._drip(request, answer, fault.delay_s)
        return await _truncate(request, answer)

    async def _drip(self, request: web.Request, answer: web.StreamResponse, lasts_s: float) -> web.StreamResponse:
        """Every piece comes in time, the whole does not."""
        whole = _content(answer)
        slow = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        slow.content_length = len(whole)
        await slow.prepare(request)
        size = -(-len(whole) // _DROPS)
        with suppress(ConnectionError):  # who asked has given up
            for start in range(0, len(whole), size):
                await self._clock.sleep(lasts_s / _DROPS)
                await slow.write(whole[start : start + size])
            await slow.write_eof()
        return slow


def _said(fault: Fault) -> web.Response:
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    body = {"status": "error", "message": "Injected fault"} if fault.body is None else fault.body
    return web.Response(
        status=fault.status, text=json.dumps(body), headers=fault.headers, content_type="application/json"
    )


def _drop(request: web.Request) -> web.Response:
    """Cuts the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _content(answer: web.StreamResponse) -> bytes:
    return answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b"{}"


async def _truncate(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """Says the whole length, sends half of it and cuts the connection."""
    whole = _content(answer)
    partial = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    partial.content_length = len(whole)
    await partial.prepare(request)
    await partial.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return partial
