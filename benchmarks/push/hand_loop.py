"""The floor: the same client, batches of 100, eight at once, and no bookkeeping at all."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import duckdb
import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.data import COLUMNS


async def push(database: str, url: str) -> int:
    cursor = duckdb.connect(database, read_only=True).execute("SELECT * FROM contacts")
    sent = 0
    async with httpx.AsyncClient(transport=AiohttpTransport()) as client:

        async def worker() -> None:
            nonlocal sent
            while rows := cursor.fetchmany(100):
                body = [
                    {"key": row[0], "op": "create", "fields": dict(zip(COLUMNS[1:], row[1:], strict=True))}
                    for row in rows
                ]
                answer = await client.post(
                    url, content=json.dumps(body, default=str), headers={"content-type": "application/json"}
                )
                answer.raise_for_status()
                sent += len(rows)

        await asyncio.gather(*(worker() for _ in range(8)))
    return sent


if __name__ == "__main__":
    started = time.perf_counter()
    n = asyncio.run(push(sys.argv[1], sys.argv[2]))
    print(json.dumps({"rows": n, "seconds": time.perf_counter() - started}))
