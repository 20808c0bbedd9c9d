"""The page on a socket: uvicorn, inside the event loop of the service."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from revetl.errors import ConfigError

log = logging.getLogger("revetl.service")

_LONGEST_GOODBYE_S = 3


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's: they end runs in good order."""
        yield


@asynccontextmanager
async def page_server(app: ASGIApp, port: int) -> AsyncIterator[int]:
    """Serves while the block lasts, on 127.0.0.1 alone; gives the port. ConfigError where it is taken."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as e:
        hint = "--port names another one; --no-page serves none."
        raise ConfigError(f"127.0.0.1:{port} can't be listened on: {e.strerror}", hint=hint) from None
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,  # what is asked for may hold a key of a record
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=_LONGEST_GOODBYE_S,
    )
    server = _Server(config)
    with listening:
        bound: int = listening.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        log.info("the page is at", extra={"url": f"http://127.0.0.1:{bound}/"})
        try:
            yield bound
        finally:
            server.should_exit = True
            await task
