"""What the endpoints of one account share: its limits, and the listener that its vendor calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from revetl.clock import Clock
from revetl.http import DEFAULT_LIMIT, Rate, RateLimiter, SharedLimit
from revetl.providers.engine.webhooks import WebhookReceiver
from revetl.providers.grammar import EndpointLimits, ProviderSpec
from revetl.providers.options import AccountOptions


class EndpointLimiter:
    """One limit of the account: how many at once, and every window of it. The shortest window is kept by the sessions
    themselves, behind their gate, where bursts are; the longer ones in front of it."""

    def __init__(self, limits: EndpointLimits, clock: Clock) -> None:
        rates = [Rate(w.calls, w.seconds) for w in sorted(limits.windows, key=lambda w: w.seconds)]
        self.shared_limits = {DEFAULT_LIMIT: SharedLimit(rates[0] if rates else None, clock, random.SystemRandom())}
        self._longer = [RateLimiter(rate, clock) for rate in reversed(rates[1:])]
        self._slots = asyncio.Semaphore(limits.concurrency)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """The right to one request, while the block lasts."""
        async with self._slots:
            for limiter in self._longer:
                await limiter.acquire()
            yield


class Account:
    """One account during one run: made for one event loop, entered by each of its providers."""

    def __init__(self, options: AccountOptions, clock: Clock) -> None:
        self.options = options
        self._clock = clock
        self._limiters: dict[str, EndpointLimiter] = {}
        self._users = 0
        self._stack = AsyncExitStack()
        self.receiver: WebhookReceiver | None = None

    def limiter(self, spec: ProviderSpec) -> EndpointLimiter:
        if spec.limiter not in self._limiters:
            self._limiters[spec.limiter] = EndpointLimiter(spec.limits, self._clock)
        return self._limiters[spec.limiter]

    async def __aenter__(self) -> Self:
        self._users += 1
        url, port = self.options.callback_url, self.options.callback_port
        if self._users == 1 and url is not None and port is not None:
            if self.options.api_key is None:  # refused with the spec: a signature under no key is anybody's
                raise ValueError("a callback is signed under the api_key")
            receiver = WebhookReceiver(url, port, self.options.api_key)
            self.receiver = await self._stack.enter_async_context(receiver)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._users -= 1
        if not self._users:
            await self._stack.aclose()
            self.receiver = None
