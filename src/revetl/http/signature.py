"""Standard Webhooks signatures (standardwebhooks.com, version 1): who receives a request can see that it is ours, whole
and fresh. `webhook-id` is given with the request and stays the same over its repeats; the time is that of the attempt.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from revetl.http.auth import AuthContext

if TYPE_CHECKING:
    import httpx

ID_HEADER = "webhook-id"


class WebhookSignature:
    """A `RequestAuth`. `secret` is base64, with or without the prefix `whsec_`. ValueError where it is not."""

    def __init__(self, secret: str) -> None:
        self._key = b64decode(secret.removeprefix("whsec_"), validate=True)
        if not self._key:
            raise ValueError("the secret is empty")
        self._context: AuthContext | None = None

    def bind(self, context: AuthContext) -> None:
        self._context = context

    async def authorise(self, request: httpx.Request) -> Mapping[str, str]:
        """Nothing for a request without an id: a question is not signed."""
        id_ = request.headers.get(ID_HEADER)
        if id_ is None or self._context is None:
            return {}
        moment = str(int(self._context.clock.now().timestamp()))
        digest = hmac.digest(self._key, f"{id_}.{moment}.".encode() + request.content, sha256)
        return {"webhook-timestamp": moment, "webhook-signature": f"v1,{b64encode(digest).decode()}"}

    def refresh(self, request: httpx.Request) -> bool:
        return False
