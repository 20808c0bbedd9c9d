"""OAuth 2.0 access tokens (RFC 6749, RFC 7523): fetched when the first request needs one, shared by all requests of the
session, renewed before they expire and once where the vendor refuses one. They are kept in memory only.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

from revetl.errors import Ambiguous, ConfigError, Denied, Unavailable
from revetl.http.auth import AuthContext
from revetl.http.options import ResponseRules, SessionOptions
from revetl.http.urls import check_url
from revetl.http.verdict import ResponseVerdict
from revetl.json_documents import parse_json

if TYPE_CHECKING:
    import httpx

_MOST_BYTES = 1024 * 1024
_EARLY_S = 60.0  # before its end, so that what is on its way does not meet it; of short ones a fifth of their life
_UNSAID_S = 300.0  # where the vendor does not say how long a token lives
_ASSERTION_S = 300
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """How a token is asked for. `form`: what is posted beside the client's credentials, made anew each time (an
    assertion names the time). `client_auth`: where these go. `api_url_in`: the member of the answer that says at which
    address the token is taken."""

    token_url: str
    form: Callable[[float], Mapping[str, str]]
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_auth: Literal["basic", "body"] = "basic"
    scopes: tuple[str, ...] = ()
    api_url_in: str | None = None


class TokenAuth:
    """A `RequestAuth` that bears a token, and `MovesRequests`. `scopes_granted`: those that the vendor said the token
    has; None where it has not said. A refresh token that the vendor exchanges for another is kept for the next
    renewal."""

    def __init__(self, request: TokenRequest) -> None:
        self._request = request
        self._context: AuthContext | None = None
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._renew_at = 0.0
        self._refresh_token: str | None = None
        self._api_url: str | None = None
        self.scopes_granted: frozenset[str] | None = None

    def __repr__(self) -> str:
        return "TokenAuth()"

    @property
    def bearer(self) -> str | None:
        """The token that requests bear now; None before the first one."""
        return self._token

    @property
    def api_url(self) -> str | None:
        return self._api_url

    @property
    def scopes_missing(self) -> tuple[str, ...]:
        """Scopes that were asked for, and that the token does not have by the vendor's own word."""
        granted = self.scopes_granted
        return () if granted is None else tuple(s for s in self._request.scopes if s not in granted)

    def bind(self, context: AuthContext) -> None:
        self._context = context
        self._lock = asyncio.Lock()
        if self._request.client_secret:
            context.learn_secret(self._request.client_secret)

    async def authorise(self, request: httpx.Request) -> Mapping[str, str]:
        context = self._bound()
        async with self._lock:  # whoever comes while one is fetched waits for that one
            if self._token is None or context.clock.monotonic() >= self._renew_at:
                await self._fetch(context)
        return {"authorization": f"Bearer {self._token}"}

    def refresh(self, request: httpx.Request) -> bool:
        """A token that another request has renewed meanwhile is not thrown away."""
        if self._token is not None and request.headers.get("authorization") == f"Bearer {self._token}":
            self._token = None
        return True

    async def _fetch(self, context: AuthContext) -> None:
        try:
            answer = await self._ask(context)
        except Ambiguous as e:  # the request that wanted the token was not sent
            raise Unavailable(str(e), code=e.code, status=e.status) from None
        token, kind = answer.get("access_token"), str(answer.get("token_type") or "bearer").lower()
        if not isinstance(token, str) or not token or kind != "bearer":
            raise Denied(f"{context.name}: the token endpoint gave no bearer token", code="NO_TOKEN")
        context.learn_secret(token)
        if isinstance(renewed := answer.get("refresh_token"), str) and renewed:
            context.learn_secret(renewed)
            self._refresh_token = renewed
        lives_s = _seconds(answer.get("expires_in"))
        self._renew_at = context.clock.monotonic() + lives_s - min(_EARLY_S, lives_s / 5)
        scope = answer.get("scope")
        self.scopes_granted = frozenset(scope.replace(",", " ").split()) if isinstance(scope, str) else None
        self._api_url = self._address(context, answer)
        self._token = token

    def _address(self, context: AuthContext, answer: Mapping[str, Any]) -> str | None:
        """Denied for an address that no base_url could be: the token would leak through it."""
        name = self._request.api_url_in
        given = answer.get(name) if name is not None else None
        if given is None or given == "":
            return None
        try:
            checked = check_url(str(given), allow_insecure=context.allow_insecure, what=f"{name} of the token endpoint")
        except ConfigError as e:
            raise Denied(f"{context.name}: {e}", code="BAD_ADDRESS") from None
        same_scheme = urlsplit(checked).scheme == urlsplit(self._request.token_url).scheme
        if "?" in checked or not same_scheme:  # verified connections are opened by the scheme of the first address
            raise Denied(f"{context.name}: {name} of the token endpoint is no address of an API", code="BAD_ADDRESS")
        return checked

    async def _ask(self, context: AuthContext) -> Mapping[str, Any]:
        from revetl.http.session import Session

        wanted = self._request
        form = dict(wanted.form(context.clock.now().timestamp()))
        if wanted.scopes:
            form["scope"] = " ".join(wanted.scopes)
        if self._refresh_token is not None and "refresh_token" in form:
            form["refresh_token"] = self._refresh_token
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if wanted.client_id is not None:
            if wanted.client_auth == "basic":
                pair = f"{quote_plus(wanted.client_id)}:{quote_plus(wanted.client_secret or '')}"
                headers["authorization"] = "Basic " + b64encode(pair.encode()).decode()
            else:
                form |= {"client_id": wanted.client_id, "client_secret": wanted.client_secret or ""}
        url = urlsplit(wanted.token_url)
        options = SessionOptions(
            headers=headers,
            secrets=[s for s in (wanted.client_secret, form.get("refresh_token"), form.get("assertion")) if s],
            allow_insecure=context.allow_insecure,
            client_certificate=context.client_certificate,
        )
        rules = ResponseRules(
            verdicts=dict.fromkeys((400, 404, 405), ResponseVerdict.DENIED),
            error_code=lambda r: _text(_object(r).get("error")),
            readable=lambda r: bool(_object(r)),
            most_bytes=_MOST_BYTES,
        )
        async with Session(
            f"{context.name} token endpoint",
            f"{url.scheme}://{url.netloc}",
            options,
            rules,
            transport=_borrowed(context.transport),
            clock=context.clock,
        ) as session:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            response = await session.request("POST", path, content=urlencode(form).encode(), idempotent=True)
        if not response.is_success:
            raise Denied(f"{context.name}: the token endpoint answered {response.status_code}", code="NO_TOKEN")
        return _object(response)

    def _bound(self) -> AuthContext:
        if self._context is None:
            raise RuntimeError(f"{self!r} is used before its session is open")
        return self._context


@dataclass(frozen=True, slots=True)
class JwtAssertion:
    """A signed claim of who we are (RFC 7523), valid for `lives_s` seconds. `key`: a private key in PEM. `scope`: what
    is asked for, where the vendor reads it here (Google) and not beside the assertion."""

    issuer: str
    subject: str
    audience: str
    key: str = field(repr=False)
    algorithm: Literal["RS256", "ES256"] = "RS256"
    key_id: str | None = None
    lives_s: int = _ASSERTION_S
    scope: str | None = None

    def sign(self, now: float) -> str:
        """ConfigError where the key can't be read; the message holds nothing of it."""
        try:
            import jwt
        except ImportError:
            raise ConfigError("signing a JWT needs PyJWT", hint="pip install 'revetl[jwt]'") from None
        claims: dict[str, object] = {"iss": self.issuer, "sub": self.subject, "aud": self.audience}
        claims |= {"iat": int(now), "exp": int(now) + self.lives_s}
        if self.scope is not None:
            claims["scope"] = self.scope
        try:
            headers = {"kid": self.key_id} if self.key_id else None
            return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=headers)
        except Exception as e:  # noqa: BLE001 - whatever the library says may quote the key
            message = f"private_key signs no {self.algorithm}: {type(e).__name__}"
            raise ConfigError(message, hint="It is the whole PEM file, with its line breaks.") from None


def _borrowed(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncBaseTransport | None:
    """The same without its end: who lends it closes it."""
    if transport is None:
        return None
    import httpx

    lent = transport

    class Borrowed(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await lent.handle_async_request(request)

    return Borrowed()


def _object(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = parse_json(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        return _UNSAID_S
    return seconds if 0 < seconds < 10**9 else _UNSAID_S
