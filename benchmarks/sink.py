"""A server that takes every request and answers `{}`: the null destination that all contenders push to.

Run as `python -m benchmarks.sink PORT_FILE`; it counts requests and bytes at GET /stats.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web


async def serve(port_file: Path) -> None:
    counts = {"requests": 0, "bytes": 0}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        counts["requests"] += 1
        counts["bytes"] += len(body)
        return web.Response(text="{}", content_type="application/json")

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(counts)

    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/push", take)
    app.router.add_get("/stats", stats)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port_file.write_text(str(runner.addresses[0][1]))  # noqa: ASYNC240 - once, before the first request
    await asyncio.Event().wait()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Starts the sink in a process of its own and gives its base URL."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.sink", str(port_file)])
        try:
            deadline = time.monotonic() + 30
            while not port_file.exists() or not port_file.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the sink did not start")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text()}"
        finally:
            process.terminate()
            process.wait(10)


def requests_so_far(base_url: str) -> int:
    with urllib.request.urlopen(f"{base_url}/stats") as answer:
        return int(json.load(answer)["requests"])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
