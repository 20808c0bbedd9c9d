"""Who is let in, and how often: access tokens, and the requests of a day."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, urlsafe_b64decode
from collections import deque
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from revetl.clock import Clock
from revetl.sandbox.salesforce.errors import SalesforceRefusal
from revetl.sandbox.salesforce.options import SalesforceSandboxOptions

_DAY_S = 86_400.0
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_SHOWN_DAILY = 15_000  # where none are refused


class Access:
    """Any credential serves but one with `bad` in it. An assertion's signature is not checked, its claims are."""

    def __init__(self, options: SalesforceSandboxOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._tokens: dict[str, float] = {}
        self._asked: deque[float] = deque()
        self.tokens_given = 0

    def expire_tokens(self) -> None:
        """As an administrator who ends all sessions."""
        self._tokens.clear()

    async def token(self, request: web.Request) -> tuple[int, Any]:
        """`POST /services/oauth2/token` (docs): no `expires_in`; `issued_at` in milliseconds as text."""
        form = {k: str(v) for k, v in (await request.post()).items()}
        grant = form.get("grant_type")
        if grant == "client_credentials":
            problem = self._client_problem(request, form)
        elif grant == _JWT_BEARER:
            problem = self._assertion_problem(form.get("assertion", ""))
        else:
            problem = ("unsupported_grant_type", "grant type not supported")
        if problem is not None:
            return 400, {"error": problem[0], "error_description": problem[1]}
        token = "00DSb!" + secrets.token_hex(24)
        self._tokens[token] = self._clock.monotonic() + self._options.token_life_s
        self.tokens_given += 1
        return 200, {
            "access_token": token,
            "instance_url": f"{request.url.origin()}{request.path.removesuffix('/services/oauth2/token')}",
            "id": "https://login.salesforce.com/id/00DSb0000000001EAA/005Sb0000000001EAA",
            "token_type": "Bearer",
            "scope": "api",
            "issued_at": str(int(self._clock.now().timestamp() * 1000)),
            "signature": "c2FuZGJveA==",
        }

    def _client_problem(self, request: web.Request, form: dict[str, str]) -> tuple[str, str] | None:
        """In the body, or as HTTP Basic (docs)."""
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, packed = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            client, _, secret = map(unquote_plus, b64decode(packed).decode().partition(":"))
        if not client or "bad" in client:
            return "invalid_client_id", "client identifier invalid"
        if not secret or "bad" in secret:
            return "invalid_client", "invalid client credentials"
        return None

    def _assertion_problem(self, assertion: str) -> tuple[str, str] | None:
        try:
            head, body, _ = assertion.split(".")
            header, claims = (json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, body))
            expires = float(claims["exp"])  # a text of digits is taken too (tried)
        except (ValueError, KeyError, TypeError):
            return "invalid_grant", "invalid assertion"
        now = self._clock.now().timestamp()
        if header.get("alg") != "RS256":
            return "invalid_grant", "algorithm not supported"
        if claims.get("aud") not in _AUDIENCES:
            return "invalid_grant", "audience is invalid"
        if not now < expires <= now + 300:  # how far ahead it may lie is unconfirmed
            return "invalid_grant", "expired authorization code"
        if not claims.get("iss") or "bad" in claims["iss"]:
            return "invalid_client_id", "client identifier invalid"
        if not claims.get("sub") or "bad" in claims["sub"]:
            return "invalid_grant", "user hasn't approved this consumer"
        return None

    def let_in(self, request: web.Request) -> dict[str, str]:
        """Counts the request; the headers of its answer. 401 for a session that has ended, 403 past the day's
        requests (docs)."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ").removeprefix("OAuth ")
        if self._clock.monotonic() >= self._tokens.get(token, float("-inf")):
            raise SalesforceRefusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        now, asked = self._clock.monotonic(), self._asked
        while asked and asked[0] <= now - _DAY_S:
            asked.popleft()
        daily = self._options.daily
        if daily is not None and len(asked) >= daily:
            raise SalesforceRefusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        asked.append(now)
        return {"Sforce-Limit-Info": f"api-usage={len(asked)}/{daily or _SHOWN_DAILY}"}

    def limits(self) -> dict[str, Any]:
        """`GET limits` (docs)."""
        most = self._options.daily or _SHOWN_DAILY
        return {
            "DailyApiRequests": {"Max": most, "Remaining": max(0, most - len(self._asked))},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
        }
