"""Deliveries of finished jobs: believed only with their signature, handed once to whoever waits for the job.

A vendor repeats what is not answered 2xx, so everything genuine is answered 200: also a second delivery, a late one,
and one for a job that nobody here submitted. None of those does anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Self

from revetl.http.listener import Listener
from revetl.providers.reading import at
from revetl.providers.spec import Callback, Signature

# Deliveries that came before anybody waited, and jobs that are over: the oldest are forgotten first.
KEPT = 1_000


def genuine(signature: Signature, api_key: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether `body` was signed with the account's key. `headers` by lower-case name; compared in constant time."""
    given = headers.get(signature.header.lower(), "")
    digest = hashlib.sha1 if signature.algorithm == "hmac-sha1" else hashlib.sha256
    expected = signature.prefix + hmac.new(api_key.encode(), body, digest).hexdigest()
    return hmac.compare_digest(given.strip().lower().encode(), expected.lower().encode())


class Inbox:
    """The deliveries of one job, each once."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._bodies: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, raw: bytes, body: Any) -> None:
        digest = hashlib.sha256(raw).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            self._bodies.put_nowait(body)

    async def get(self) -> Any:
        """The next delivery's body as JSON data; waits for it."""
        return await self._bodies.get()


class WebhookReceiver:
    """Listens while a run lasts. An async context manager; one account's, used by one event loop.

    `public_url` is what the vendor is told; it leads to `port` of the loopback.
    """

    def __init__(self, public_url: str, port: int, api_key: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._api_key = api_key
        self._callbacks: dict[str, Callback] = {}
        self._inboxes: OrderedDict[tuple[str, str], Inbox] = OrderedDict()
        self._over: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._listener = Listener(port, self.take)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._listener.__aexit__(*exc)

    @property
    def port(self) -> int:
        return self._listener.port

    def address(self, provider: str, callback: Callback) -> str:
        """Where this provider's deliveries shall go. From here on they are taken."""
        self._callbacks[provider] = callback
        return f"{self._public_url}/callbacks/{provider}"

    def inbox(self, provider: str, job_id: str) -> Inbox:
        """Where this job's deliveries come in, those that came before anybody asked too."""
        return self._inboxes.setdefault((provider, job_id), Inbox())

    def close(self, provider: str, job_id: str) -> None:
        """Nobody waits for the job any more."""
        self._inboxes.pop((provider, job_id), None)
        self._over[provider, job_id] = None
        _trim(self._over)

    def take(self, path: str, headers: Mapping[str, str], raw: bytes) -> int:
        """The HTTP status with which a delivery is answered."""
        provider = path.rpartition("/callbacks/")[2]
        callback = self._callbacks.get(provider)
        if callback is None:
            return 404
        if not genuine(callback.signature, self._api_key, headers, raw):
            return 401
        try:
            body = json.loads(raw.replace(self._api_key.encode(), b"***"))
        except ValueError:
            return 400
        job_id = at(body, callback.id)
        if not isinstance(job_id, str) or not job_id:
            return 400
        if (provider, job_id) not in self._over:
            self.inbox(provider, job_id).put(raw, body)
            _trim(self._inboxes)
        return 200


def _trim(kept: OrderedDict[tuple[str, str], Any]) -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)
