"""One endpoint's requests to its vendor: credentials, the account's limits, and the statuses that the HTTP session can
judge without a look into the body."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from revetl.clock import Clock
from revetl.errors import Throttled, Unavailable
from revetl.http import (
    Policy,
    Response,
    ResponseRules,
    ResponseVerdict,
    Session,
    SessionOptions,
    SessionRequest,
    TokenAuth,
    TokenRequest,
    Transport,
    retry_after_s,
)
from revetl.providers.engine.account import Account
from revetl.providers.engine.answers import VendorResponse
from revetl.providers.engine.json_data import parsed
from revetl.providers.engine.reading import error_code
from revetl.providers.engine.rendering import OutgoingRequest
from revetl.providers.grammar import Auth, HttpRow, ProviderSpec
from revetl.providers.options import AccountOptions

# After this long under one throttle the call gives up: nothing was charged, a later run asks again.
THROTTLE_PATIENCE_S = 300.0

# What the session deals with alone. Every other verdict is for whoever reads the answer, so to the session the exchange
# went well.
_SESSION_VERDICTS: Mapping[str, ResponseVerdict] = {
    "slow_down": ResponseVerdict.THROTTLED,
    "unavailable": ResponseVerdict.UNAVAILABLE,
    "ambiguous": ResponseVerdict.AMBIGUOUS,
}


class EndpointWire:
    """Sends requests whose statuses mean what `rows` says. `idempotent`: repeating is safe (a poll), so that a lost
    answer is asked for again; otherwise it is `Ambiguous` at once."""

    def __init__(
        self,
        spec: ProviderSpec,
        rows: Sequence[HttpRow],
        base_url: str,
        account: Account,
        clock: Clock,
        *,
        idempotent: bool = False,
        transport: Transport | None = None,
    ) -> None:
        self._spec = spec
        self._rows = rows
        self._secrets = account.options.secrets
        self._clock = clock
        self._limiter = account.limiter(spec)
        self._idempotent = idempotent
        placed = credentials(spec.auth, account.options.api_key or "")
        self._auth_query, self._auth_body = placed.query, placed.body
        token = token_auth(spec.auth, account.options, base_url)
        verdicts = session_verdicts(rows)
        if token is not None:
            verdicts[401] = ResponseVerdict.DENIED  # the session asks for another token, once
        self._session = Session(
            spec.name,
            base_url,
            SessionOptions(
                headers=placed.headers,
                secrets=[*self._secrets, *placed.headers.values()],
                shared_limits=self._limiter.shared_limits,
                policy=Policy(timeout_s=spec.timeout_s, throttle_patience_s=THROTTLE_PATIENCE_S),
                auth=[token] if token is not None else (),
            ),
            ResponseRules(
                verdicts=verdicts,
                retry_after_s=self._wait_s,
                error_code=lambda response: error_code(spec, self._body(response)),
            ),
            transport=transport,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    @property
    def requests(self) -> int:
        return self._session.requests

    async def send(self, outgoing: OutgoingRequest) -> VendorResponse:
        """The answer, whatever it says. Raises `Unavailable` (certainly not processed) or `Ambiguous`."""
        async with self._limiter.slot():
            started = self._clock.monotonic()
            try:
                raw = await self._session.send(self._whole(outgoing), idempotent=self._idempotent)
            except Throttled as e:
                raise Unavailable(str(e), code=e.code, status=e.status) from None
            latency_ms = round((self._clock.monotonic() - started) * 1000)
        headers = {name.lower(): value for name, value in raw.headers.items()}
        return VendorResponse(raw.status_code, headers, self._body(raw), latency_ms)

    def _whole(self, outgoing: OutgoingRequest) -> SessionRequest:
        """With its credentials."""
        params = {**outgoing.query, **self._auth_query}
        headers, content = dict(outgoing.headers), None
        if outgoing.form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            content = urlencode({**outgoing.form, **self._auth_body}).encode()
        elif outgoing.json is not None or self._auth_body:
            headers["content-type"] = "application/json"
            body = {**(outgoing.json or {}), **self._auth_body} if self._auth_body else outgoing.json
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return SessionRequest(outgoing.method, outgoing.path, content, params, headers, outgoing.shown_as)

    def _body(self, response: Response) -> Any:
        return parsed(response.content, self._secrets)

    def _wait_s(self, response: Response) -> float | None:
        """The vendor's Retry-After, else the pause of the row that matched."""
        said = retry_after_s(response, self._clock)
        if said is not None:
            return said
        row = _plain_row(self._rows, response.status_code)
        return getattr(row, "wait_s", None)


@dataclass(frozen=True, slots=True)
class PlacedCredentials:
    """What of a request carries the key: query parameters, headers, fields at the top of the body."""

    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, str] = field(default_factory=dict, repr=False)


def credentials(auth: Auth, api_key: str) -> PlacedCredentials:
    """Where a key that stays is put. A token that expires is the session's (`token_auth`)."""
    name = auth.name or ""
    match auth.type:
        case "query":
            return PlacedCredentials(query={name: api_key})
        case "body":
            return PlacedCredentials(body={name: api_key})
        case "header":
            return PlacedCredentials(headers={name: auth.prefix + api_key})
        case "bearer":
            return PlacedCredentials(headers={"Authorization": f"Bearer {api_key}"})
        case "basic":
            packed = base64.b64encode(f"{api_key}:".encode()).decode()
            return PlacedCredentials(headers={"Authorization": f"Basic {packed}"})
        case "none" | "oauth_client_credentials":
            return PlacedCredentials()


def token_auth(auth: Auth, options: AccountOptions, base_url: str) -> TokenAuth | None:
    """What fetches and renews the account's token; None where the key stays. Nothing is sent yet."""
    if auth.token_url is None:
        return None
    url = options.token_url or auth.token_url
    form = {"grant_type": "client_credentials"}
    wanted = TokenRequest(
        base_url.rstrip("/") + url if url.startswith("/") else url,
        lambda _: form,
        options.client_id,
        options.client_secret,
        auth.client_auth,
        auth.scopes,
    )
    return TokenAuth(wanted)


def session_verdicts(rows: Sequence[HttpRow]) -> dict[int, ResponseVerdict]:
    """The status table as far as the HTTP status alone decides. Where the body has a say, or the table has none, the
    answer comes back as it is; an unknown 5xx is left to the session, whose circuit breaker should see it."""
    verdicts: dict[int, ResponseVerdict] = {}
    for status in range(100, 600):
        row = _plain_row(rows, status)
        if row is not None:
            verdicts[status] = _SESSION_VERDICTS.get(row.verdict, ResponseVerdict.OK)
        elif status < 500 or any(r.matches_status(status) for r in rows):
            verdicts[status] = ResponseVerdict.OK
        else:
            verdicts[status] = ResponseVerdict.AMBIGUOUS
    return verdicts


def _plain_row(rows: Sequence[HttpRow], status: int) -> HttpRow | None:
    """The first row for this status, where it asks nothing of the body."""
    row = next((r for r in rows if r.matches_status(status)), None)
    return row if row is not None and row.at is None else None
