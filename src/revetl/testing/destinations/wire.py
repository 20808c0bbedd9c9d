"""Between a connector and its vendor: a transport that passes everything on, and spoils what it was told to spoil."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from revetl.testing.crashing import Fuse

Spoil = Callable[[httpx.Request, httpx.Response], httpx.Response]
"""Makes of an answer another one, or raises as a broken connection does. The vendor has done its work by then."""


@dataclass(slots=True)
class _Fault:
    """`times` None: for good. One of the two is set."""

    times: int | None
    instead: httpx.Response | None = None
    spoil: Spoil | None = None


class VendorWire(httpx.AsyncBaseTransport):
    """`is_write` says which requests change something: only these are spoilt. `changed`: answers that a fault has made
    different. `fuse` burns at either end of a write, or before a question that comes after one, as a process that dies
    there."""

    def __init__(self, inner: httpx.AsyncBaseTransport, is_write: Callable[[httpx.Request], bool]) -> None:
        self._inner = inner
        self._is_write = is_write
        self._fault: _Fault | None = None
        self.requests: list[httpx.Request] = []
        self.writes = 0
        self.changed = 0
        self.fuse = Fuse()

    def answer_instead(self, response: httpx.Response, times: int | None = None) -> None:
        """Writes do not reach the vendor; they get this answer."""
        self._fault = _Fault(times, instead=response)

    def spoil(self, spoil: Spoil, times: int | None = None) -> None:
        """Writes reach the vendor; what it answers is made another answer."""
        self._fault = _Fault(times, spoil=spoil)

    def mend(self) -> None:
        self._fault = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.fuse.dead:
            self.fuse.tick()
        await request.aread()
        self.requests.append(request)
        if not self._is_write(request):
            if self.writes:  # such as a question after a job
                self.fuse.tick()
            return await self._inner.handle_async_request(request)
        self.writes += 1
        self.fuse.tick()
        fault = self._fault
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._fault = None
        if fault is not None and fault.instead is not None:
            self.changed += 1
            return _copy(fault.instead)
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self.fuse.tick()
        if fault is None or fault.spoil is None:
            return response
        spoilt = fault.spoil(request, response)
        self.changed += spoilt is not response
        return spoilt

    async def aclose(self) -> None:
        """Nothing: a connector closes its own session, and the next one goes on over the same wire."""

    async def shut(self) -> None:
        await self._inner.aclose()


def lost(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """The vendor did it, and its answer never came."""
    raise httpx.ReadError("the connection was cut before the answer", request=request)


def shuffled(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Every list in the answer the other way round."""
    return _with_lists(response, lambda items: items[::-1])


def unanswered(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Every list in the answer empty: the vendor speaks of no record."""
    return _with_lists(response, lambda items: [])


def _with_lists(response: httpx.Response, change: Callable[[list[Any]], list[Any]]) -> httpx.Response:
    """The same answer where it is no JSON, or where it has no list that changes."""
    if not response.is_success:
        return response
    try:
        document = json.loads(response.content)
    except ValueError:
        return response

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return change([walk(item) for item in value])
        if isinstance(value, dict):
            return {name: walk(item) for name, item in value.items()}
        return value

    changed = walk(document)
    if changed == document:
        return response
    kept = {k: v for k, v in response.headers.items() if k not in ("content-length", "content-encoding")}
    return httpx.Response(response.status_code, headers=kept, content=json.dumps(changed).encode())


def _copy(response: httpx.Response) -> httpx.Response:
    """An answer is read once, and a vendor's word is given more than once."""
    return httpx.Response(response.status_code, headers=response.headers, content=response.content)
