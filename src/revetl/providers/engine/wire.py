"""One endpoint's requests to its vendor: credentials, the account's limits, and the statuses that the HTTP session can
judge without a look into the body."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Self

from revetl.clock import Clock
from revetl.errors import Throttled, Unavailable
from revetl.http import (
    Policy,
    Response,
    ResponseRules,
    ResponseVerdict,
    Session,
    SessionOptions,
    Transport,
    retry_after_s,
)
from revetl.providers.engine.account import EndpointLimiter
from revetl.providers.engine.answers import VendorResponse
from revetl.providers.engine.json_data import parsed
from revetl.providers.engine.reading import error_code
from revetl.providers.engine.rendering import OutgoingRequest
from revetl.providers.grammar import Auth, HttpRow, ProviderSpec

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
        api_key: str,
        limiter: EndpointLimiter,
        clock: Clock,
        *,
        idempotent: bool = False,
        transport: Transport | None = None,
    ) -> None:
        self._spec = spec
        self._rows = rows
        self._api_key = api_key
        self._clock = clock
        self._limiter = limiter
        self._idempotent = idempotent
        self._auth_query, auth_headers, self._auth_body = credentials(spec.auth, api_key)
        self._session = Session(
            spec.name,
            base_url,
            SessionOptions(
                headers=auth_headers,
                secrets=[api_key, *auth_headers.values()],
                shared_limits=limiter.shared_limits,
                policy=Policy(timeout_s=spec.timeout_s, throttle_patience_s=THROTTLE_PATIENCE_S),
            ),
            ResponseRules(
                verdicts=session_verdicts(rows),
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
                raw = await self._session.request(
                    outgoing.method,
                    outgoing.path,
                    json={**outgoing.json, **self._auth_body} if self._auth_body else outgoing.json,
                    params={**outgoing.query, **self._auth_query},
                    idempotent=self._idempotent,
                )
            except Throttled as e:
                raise Unavailable(str(e), code=e.code, status=e.status) from None
            latency_ms = round((self._clock.monotonic() - started) * 1000)
        headers = {name.lower(): value for name, value in raw.headers.items()}
        return VendorResponse(raw.status_code, headers, self._body(raw), latency_ms)

    def _body(self, response: Response) -> Any:
        return parsed(response.content, self._api_key)

    def _wait_s(self, response: Response) -> float | None:
        """The vendor's Retry-After, else the pause of the row that matched."""
        said = retry_after_s(response, self._clock)
        if said is not None:
            return said
        row = _plain_row(self._rows, response.status_code)
        return getattr(row, "wait_s", None)


def credentials(auth: Auth, api_key: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The query parameters, the headers and the fields of the body that carry the key."""
    name = auth.name or ""
    match auth.type:
        case "query":
            return {name: api_key}, {}, {}
        case "body":
            return {}, {}, {name: api_key}
        case "header":
            return {}, {name: auth.prefix + api_key}, {}
        case "bearer":
            return {}, {"Authorization": f"Bearer {api_key}"}, {}
        case "basic":
            return {}, {"Authorization": "Basic " + base64.b64encode(f"{api_key}:".encode()).decode()}, {}


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
