"""How a request shows whose it is, where a header that never changes is not enough: tokens that expire, signatures over
the body. What is set once (an API key, Basic, a bearer token) stands in `SessionOptions.headers` or `params`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import httpx

    from revetl.clock import Clock


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What the vendor knows this client by (mTLS): files in PEM. `key` None: it stands in the certificate's file."""

    certificate: Path
    key: Path | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthContext:
    """What a session lends to its auth. `learn_secret`: from then on no message of the session holds that text.
    `transport` None: the network's own."""

    name: str
    clock: Clock
    learn_secret: Callable[[str], None]
    transport: httpx.AsyncBaseTransport | None = None
    allow_insecure: bool = False
    client_certificate: ClientCertificate | None = None


class RequestAuth(Protocol):
    """Used by one session. Each attempt of a request is authorised anew, so that a repeat never bears what has expired
    while it waited."""

    def bind(self, context: AuthContext) -> None:
        """Called when the session opens, before anything else. Asks nothing."""
        ...

    async def authorise(self, request: httpx.Request) -> Mapping[str, str]:
        """The headers that this attempt bears. Raises Denied, Throttled or Unavailable, all of which say that the
        request was not sent."""
        ...

    def refresh(self, request: httpx.Request) -> bool:
        """The attempt `request` was answered with 401: whether the next one bears something else. Called once for a
        request."""
        ...


@runtime_checkable
class MovesRequests(Protocol):
    """A `RequestAuth` that is told, with its credentials, at which address they are taken."""

    @property
    def api_url(self) -> str | None:
        """In place of the session's base_url, and checked as one; None where that holds. Known once `authorise` has
        returned."""
        ...
