"""The sandbox without a socket, so that a test may run hours of its limits and jobs on virtual time in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from revetl.clock import Clock
from revetl.sandbox.server import SANDBOX, Sandbox, build_app
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.vendor import Handler

_BODY_MAX_BYTES = 2**26


@asynccontextmanager
async def sandbox_in_process(
    settings: SandboxSettings, clock: Clock, latency_s: float = 0.0
) -> AsyncIterator[tuple[InProcess, Sandbox]]:
    """A transport that takes the network's place in a client, and the state behind it. An answer takes `latency_s` on
    the clock. Faults work; callbacks do not, since they go through real sockets."""
    app = build_app(settings, clock)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("the application has no server")
        handle: Any = runner.server.request_handler
        yield InProcess(handle, clock, latency_s), app[SANDBOX]
    finally:
        await runner.cleanup()


class InProcess(httpx.AsyncBaseTransport):
    """Hands an httpx request to an application's handler. A connection that a fault cuts is a `httpx.ReadError`."""

    def __init__(self, handle: Handler, clock: Clock, latency_s: float) -> None:
        self._handle = handle
        self._clock = clock
        self._latency_s = latency_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._clock.sleep(self._latency_s)
        wire = _Wire()
        try:
            answer: Any = await self._handle(_received(request, await request.aread(), wire))
        except web.HTTPException as e:
            answer = e
        if wire.cut:
            raise httpx.ReadError("the connection was cut", request=request)
        content = answer.body if isinstance(answer.body, bytes) else b""
        return httpx.Response(answer.status, headers=list(answer.headers.items()), content=content, request=request)


class _Wire(asyncio.Transport):
    """What a fault cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    def abort(self) -> None:
        self.cut = True

    def close(self) -> None:
        self.cut = True


class _Connection(BaseProtocol):
    """A connection as far as a request asks about it."""

    ssl_context = None
    peername = sockname = ("127.0.0.1", 0)


class _Nowhere(AbstractStreamWriter):
    """Takes what a handler streams: only half an answer is, whose connection is then cut."""

    async def write(self, chunk: object) -> None: ...

    async def write_eof(self, chunk: bytes = b"") -> None: ...

    async def drain(self) -> None: ...

    def enable_compression(self, *_: object, **__: object) -> None: ...

    def enable_chunking(self) -> None: ...

    async def write_headers(self, status_line: str, headers: object) -> None: ...


def _received(request: httpx.Request, body: bytes, wire: _Wire) -> web.Request:
    """The request as the server would have parsed it."""
    loop = asyncio.get_running_loop()
    connection: Any = _Connection(loop=loop)
    connection.transport = wire
    payload = StreamReader(connection, _BODY_MAX_BYTES, loop=loop)
    if body:
        payload.feed_data(body)
    payload.feed_eof()
    path = request.url.raw_path.decode()
    headers = CIMultiDictProxy(CIMultiDict(request.headers.multi_items()))
    raw = tuple(request.headers.raw)
    message = RawRequestMessage(
        request.method, path, HttpVersion11, headers, raw, False, None, False, False, URL(path, encoded=True)
    )
    task: Any = asyncio.current_task()
    return web.Request(message, payload, connection, _Nowhere(), task, loop, client_max_size=_BODY_MAX_BYTES)
