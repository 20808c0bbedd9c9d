"""A vendor in memory, on the event loop's time: what a session meets, without a socket."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import fields

import httpx

from revetl.clock import LoopClock
from revetl.http import Policy, ResponseRules, Session, SessionOptions

_RULES = [field.name for field in fields(ResponseRules)]

Answer = Callable[[httpx.Request], httpx.Response]


class Vendor:
    """Answers through `answer` after `latency_s`; keeps when each request came."""

    def __init__(self, answer: Answer, latency_s: float = 0.05) -> None:
        self.answer = answer
        self.latency_s = latency_s
        self.came: list[float] = []
        self.statuses: list[int] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.came.append(asyncio.get_running_loop().time())
        response = self.answer(request)
        self.statuses.append(response.status_code)
        await asyncio.sleep(self.latency_s)
        return response

    def session(self, *, seed: int = 0, policy: Policy | None = None, **settings: object) -> Session:
        """`settings` are fields of `SessionOptions` and of `ResponseRules`."""
        rules = {name: settings.pop(name) for name in _RULES if name in settings}
        return Session(
            "vendor",
            "https://vendor.example",
            SessionOptions(policy=policy or Policy(), **settings),
            ResponseRules(**rules),
            transport=httpx.MockTransport(self),
            clock=LoopClock(),
            rng=random.Random(seed),
        )


class Window:
    """A rolling limit as vendors keep it: `allowed` answers within `per_s`, then 429. Refusals are not counted."""

    def __init__(self, allowed: int, per_s: float) -> None:
        self.allowed = allowed
        self.per_s = per_s
        self._passed: deque[float] = deque()

    def __call__(self, _: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        while self._passed and now - self._passed[0] >= self.per_s:
            self._passed.popleft()
        if len(self._passed) >= self.allowed:
            return httpx.Response(429)
        self._passed.append(now)
        return httpx.Response(200, json={})


async def push(session: Session, requests: int, concurrency: int = 8, **options: object) -> None:
    """Sends `requests` POSTs from `concurrency` workers, as the sync engine does."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await session.request("POST", "/x", json={}, idempotent=True, **options)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
