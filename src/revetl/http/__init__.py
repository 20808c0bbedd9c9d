"""The only code that talks to a network.

    async with Session("acme", "https://api.acme.example", SessionOptions(headers=…, secrets=[key])) as session:
        response = await session.request("POST", "/contacts", json=rows, idempotent=True)

Public is what `__all__` names; the modules below are how it is done. A name is loaded when it is first asked for: a
command that reads only a file or a declared rate does not wait for httpx and aiohttp.

What goes wrong is raised as a `revetl.errors.CallError`: `Denied`, `Throttled`, `Unavailable` or `Ambiguous`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revetl.http.attempt import SessionRequest
    from revetl.http.auth import RequestAuth
    from revetl.http.credentials import header_value
    from revetl.http.excerpt import one_word
    from revetl.http.listener import Listener
    from revetl.http.oauth import JwtAssertion, TokenAuth, TokenRequest
    from revetl.http.options import Policy, RateHeaders, ResponseRules, SessionOptions
    from revetl.http.pacing import DEFAULT_LIMIT, Rate, RateLimiter, SharedLimit
    from revetl.http.session import Session
    from revetl.http.signature import WebhookSignature
    from revetl.http.transport import Response, Transport, default_transport
    from revetl.http.verdict import ResponseVerdict, retry_after_s

_MODULES = {
    "DEFAULT_LIMIT": "pacing",
    "JwtAssertion": "oauth",
    "Listener": "listener",
    "Policy": "options",
    "Rate": "pacing",
    "RateHeaders": "options",
    "RateLimiter": "pacing",
    "RequestAuth": "auth",
    "Response": "transport",
    "ResponseRules": "options",
    "ResponseVerdict": "verdict",
    "Session": "session",
    "SessionOptions": "options",
    "SessionRequest": "attempt",
    "SharedLimit": "pacing",
    "TokenAuth": "oauth",
    "TokenRequest": "oauth",
    "Transport": "transport",
    "WebhookSignature": "signature",
    "default_transport": "transport",
    "header_value": "credentials",
    "one_word": "excerpt",
    "retry_after_s": "verdict",
}

__all__ = [
    "DEFAULT_LIMIT",
    "JwtAssertion",
    "Listener",
    "Policy",
    "Rate",
    "RateHeaders",
    "RateLimiter",
    "RequestAuth",
    "Response",
    "ResponseRules",
    "ResponseVerdict",
    "Session",
    "SessionOptions",
    "SessionRequest",
    "SharedLimit",
    "TokenAuth",
    "TokenRequest",
    "Transport",
    "WebhookSignature",
    "default_transport",
    "header_value",
    "one_word",
    "retry_after_s",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
