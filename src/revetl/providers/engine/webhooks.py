"""Deliveries of finished jobs: taken only with a valid signature, and handed once to whoever waits for the job.

A vendor repeats what is not answered 2xx, so everything genuine is answered 200: also a second delivery, a late one,
and one for a job that nobody here submitted. None of those does anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Self

from revetl.http import Listener
from revetl.providers.engine.json_data import is_job_id, parsed, value_at
from revetl.providers.grammar import CallbackSignature, JobCallback

log = logging.getLogger("revetl.providers")

# Of jobs that nobody waits for: not yet, no longer, or never. The oldest are forgotten first.
KEPT = 1_000
KEPT_BYTES = 64 * 1024 * 1024
_MOST_OF_ONE_JOB = 8


def genuine(signature: CallbackSignature, api_key: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether `body` was signed with the account's key. `headers` by lower-case name; compared in constant time."""
    given = headers.get(signature.header.lower(), "")
    digest = hashlib.sha1 if signature.algorithm == "hmac-sha1" else hashlib.sha256
    expected = signature.prefix + hmac.new(api_key.encode(), body, digest).hexdigest()
    return hmac.compare_digest(given.strip().lower().encode(errors="replace"), expected.lower().encode())


# The bodies that were delivered for one job, as JSON data.
Inbox = asyncio.Queue[Any]


class WebhookReceiver:
    """Listens while a run lasts. An async context manager; one account's, used by one event loop.

    `public_url` is the address that the vendor is given; it leads to `port` of the loopback.
    """

    def __init__(self, public_url: str, port: int, api_key: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._api_key = api_key
        self._callbacks: dict[str, JobCallback] = {}
        self._inboxes: OrderedDict[tuple[str, str], Inbox] = OrderedDict()
        self._bytes: dict[tuple[str, str], int] = {}  # that were delivered for each job
        self._listener = Listener(port, self.take)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._listener.__aexit__(*exc)

    @property
    def port(self) -> int:
        return self._listener.port

    def address(self, provider: str, callback: JobCallback) -> str:
        """Where this provider's deliveries shall go. From here on they are taken."""
        self._callbacks[provider] = callback
        return f"{self._public_url}/callbacks/{provider}"

    def inbox(self, provider: str, job_id: str) -> Inbox:
        """Where this job's deliveries come in, those that came before anybody asked too."""
        return self._inboxes.setdefault((provider, job_id), asyncio.Queue(_MOST_OF_ONE_JOB))

    def close(self, provider: str, job_id: str) -> None:
        """Nobody waits for the job any more."""
        self._forget(provider, job_id)

    def take(self, path: str, headers: Mapping[str, str], raw: bytes) -> int:
        """The HTTP status with which a delivery is answered."""
        provider = path.rpartition("/callbacks/")[2]
        callback = self._callbacks.get(provider)
        if callback is None:
            return 404
        if not genuine(callback.signature, self._api_key, headers, raw):
            log.warning("%s: a delivery that its vendor did not sign was refused", provider)
            return 401
        body = parsed(raw, [self._api_key])
        job_id = value_at(body, callback.id)
        if not isinstance(job_id, str) or not is_job_id(job_id):
            return 400
        inbox = self.inbox(provider, job_id)
        if inbox.full():
            return 200  # the same again and again: what came first stands, and a poll will tell the rest
        inbox.put_nowait(body)
        self._bytes[provider, job_id] = self._bytes.get((provider, job_id), 0) + len(raw)
        while len(self._inboxes) > 1 and (len(self._inboxes) > KEPT or sum(self._bytes.values()) > KEPT_BYTES):
            self._forget(*next(iter(self._inboxes)))
        return 200

    def _forget(self, provider: str, job_id: str) -> None:
        self._inboxes.pop((provider, job_id), None)
        self._bytes.pop((provider, job_id), None)
