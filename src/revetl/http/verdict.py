"""What an answer means, as a table. A connector overrides single statuses; nothing else decides.

ok           done
throttled    asked too often: wait at the gate, then repeat
unavailable  certainly not applied: repeat
ambiguous    may have been applied: repeat only where the request is idempotent
denied       credentials, scope, money or a wrong address: nothing else will succeed
rejected     this request will never be taken as it stands: the caller reads the body
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite

import aiohttp
import httpx

from revetl.clock import Clock


class ResponseVerdict(Enum):
    OK = "ok"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    AMBIGUOUS = "ambiguous"
    DENIED = "denied"
    REJECTED = "rejected"


# Redirects are never followed: they would carry the credentials to an address nobody checked.
_BY_HUNDRED = {
    1: ResponseVerdict.AMBIGUOUS,
    2: ResponseVerdict.OK,
    3: ResponseVerdict.DENIED,
    4: ResponseVerdict.REJECTED,
    5: ResponseVerdict.AMBIGUOUS,
}
_BY_STATUS = {
    401: ResponseVerdict.DENIED,
    402: ResponseVerdict.DENIED,
    403: ResponseVerdict.DENIED,
    407: ResponseVerdict.DENIED,
    408: ResponseVerdict.AMBIGUOUS,
    423: ResponseVerdict.UNAVAILABLE,
    425: ResponseVerdict.UNAVAILABLE,
    429: ResponseVerdict.THROTTLED,
    501: ResponseVerdict.REJECTED,
    503: ResponseVerdict.UNAVAILABLE,
    521: ResponseVerdict.UNAVAILABLE,  # Cloudflare: the origin refused the connection
    523: ResponseVerdict.UNAVAILABLE,  # Cloudflare: the origin can't be reached
}


def verdict_table(overrides: Mapping[int, ResponseVerdict] | None = None) -> dict[int, ResponseVerdict]:
    """One verdict for every status from 100 to 599; a status outside of it is ambiguous."""
    table = {status: _BY_HUNDRED[status // 100] for status in range(100, 600)}
    return table | _BY_STATUS | dict(overrides or {})


def before_send(error: Exception) -> bool:
    """Whether the request certainly never left.

    The aiohttp transport reports a connection that was lost while waiting for the answer as `httpx.ConnectTimeout`,
    like one that never stood, so the cause is asked first.
    """
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(
            cause,
            aiohttp.ClientConnectorError
            | aiohttp.ClientHttpProxyError  # it refused to let us through
            | aiohttp.ConnectionTimeoutError
            | aiohttp.InvalidURL,
        )
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol)


def is_lasting(error: Exception) -> bool:
    """Whether the same will be said of the next attempt: a certificate that is not trusted, or a proxy that wants
    another password."""
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return cause.status in (401, 403, 407)
    return isinstance(cause, aiohttp.ClientConnectorCertificateError)


def retry_after_s(response: httpx.Response, clock: Clock) -> float | None:
    """`Retry-After` in seconds, from either of its forms (RFC 9110 10.2.3); None where absent or unreadable."""
    value: str | None = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - clock.now()).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if isfinite(seconds) else None
