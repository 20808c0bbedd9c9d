"""Who asks: a token is looked for among those of the warehouse, which are read once in ten seconds.

So a token that was revoked is refused ten seconds later at the latest. Beside a run that has a DuckDB file nothing can
be read, and nothing can be revoked there either: what was read before holds until the file is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from revetl.accounts.roles import Principal
from revetl.accounts.tokens import AccessToken, TokenTable, digest_of
from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import WarehouseBusy
from revetl.service.problems import ServiceProblem
from revetl.service.rate_limits import RateLimit
from revetl.warehouse.base import Warehouse

FRESH_S = 10.0
_USED_EVERY_S = 300.0
_LONGEST = 200


class TokenBook:
    """`door` opens the warehouse for a moment."""

    def __init__(
        self,
        door: Callable[[], AbstractContextManager[Warehouse]],
        clock: Clock,
        *,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._door, self._clock, self._offload = door, clock, offload
        self._tokens: dict[str, AccessToken] | None = None
        self._read_at = 0.0
        self._used: set[str] = set()
        self._written: dict[str, float] = {}
        self._failures = RateLimit(clock, burst=10, per_s=1 / 6)
        self._reading = asyncio.Lock()

    async def find(self, token: str, address: str) -> AccessToken:
        """ServiceProblem where there is no such token, it is over, or too many wrong ones came from this address.
        WarehouseBusy and WarehouseError where nothing was ever read."""
        found = None
        if len(token) <= _LONGEST:
            found = (await self._fresh()).get(digest_of(token))
        if found is None or not found.holds(self._clock.now()):
            if (wait_s := self._failures.take(address)) is not None:
                raise ServiceProblem("too-many-requests", "Too many wrong tokens.", retry_after_s=wait_s)
            raise ServiceProblem("no-token", "No token that holds was given.")
        self._used.add(found.token_id)
        return found

    async def still(self, token_id: str) -> Principal | None:
        """Of a session: None once its token was revoked or is over."""
        now = self._clock.now()
        for token in (await self._fresh()).values():
            if token.token_id == token_id and token.holds(now):
                self._used.add(token_id)
                return token.principal
        return None

    async def _fresh(self) -> dict[str, AccessToken]:
        async with self._reading:
            if self._tokens is not None and self._clock.monotonic() - self._read_at < FRESH_S:
                return self._tokens
            try:
                self._tokens = await self._offload(self._read)
            except WarehouseBusy:
                if self._tokens is None:
                    raise
            else:
                self._read_at = self._clock.monotonic()
            return self._tokens

    def _read(self) -> dict[str, AccessToken]:
        now = self._clock.monotonic()
        with self._door() as warehouse:
            table = TokenTable(warehouse)
            due = [t for t in self._used if now - self._written.get(t, -_USED_EVERY_S) >= _USED_EVERY_S]
            if due:
                table.used(due, self._clock.now())
                self._written.update(dict.fromkeys(due, now))
            self._used.clear()
            return {token.digest: token for token in table.all()}
