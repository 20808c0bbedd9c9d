"""A small server on loopback that takes what vendors deliver. It knows nothing of what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

from aiohttp import web

from revetl.errors import ConfigError

# A batch of a hundred enriched people is some hundred kilobytes.
LARGEST_BYTES = 16 * 1024 * 1024
LONGEST_S = 30.0  # of one body: what drips holds nobody else up

# So many bodies are read at once; who comes later waits. A vendor delivers a few in a minute.
_AT_ONCE = 8

# (path, headers by lower-case name, raw body) → the HTTP status of the answer
Take = Callable[[str, Mapping[str, str], bytes], int]


class Listener:
    """Hands every POST to `take`. An async context manager; bound to 127.0.0.1 alone: what the world may reach is the
    operator's proxy to decide. Port 0 is any free one; `port` says which."""

    def __init__(self, port: int, take: Take) -> None:
        self.port = port
        self._take = take
        self._reading = asyncio.Semaphore(_AT_ONCE)
        app = web.Application(client_max_size=LARGEST_BYTES)
        app.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        try:
            await site.start()
        except OSError as e:
            await self._runner.cleanup()
            hint = "Another run may be listening there."
            raise ConfigError(f"127.0.0.1:{self.port} can't be listened on: {e.strerror}", hint=hint) from None
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        async with self._reading:
            try:
                async with asyncio.timeout(LONGEST_S):
                    body = await request.read()
            except TimeoutError:
                return web.Response(status=408)
            headers = {name.lower(): value for name, value in request.headers.items()}
            return web.Response(status=self._take(request.path, headers, body))
