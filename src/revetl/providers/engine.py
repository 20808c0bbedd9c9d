"""The declarative provider: asks one vendor endpoint as its spec says; every answer becomes an `Answer` or an error.

What may be repeated is decided by the spec's status table alone. Rows that need no look into the body are given to the
HTTP session, which paces, waits throttles out at its gate and repeats what was certainly not processed. What may have
been charged and whose answer is lost raises `Ambiguous` and is never asked again from here.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx

from revetl.clock import Clock
from revetl.errors import Ambiguous, Denied, Throttled, Unavailable
from revetl.http import verdict as http
from revetl.http.pacing import Pacer, Rate
from revetl.http.session import DEFAULT, Policy, Session
from revetl.providers.base import Answer, AnswerStatus, Lookup, OnRequestId, Reply
from revetl.providers.reading import Reading, error_code, read, render, settle
from revetl.providers.spec import Auth, ProviderSpec, StatusRow, Verdict

# After this long under one throttle the call gives up: nothing was charged, a later run asks again.
THROTTLE_PATIENCE_S = 300.0

Failure = TypeVar("Failure", Denied, Unavailable, Ambiguous)

_ANSWERS: Mapping[Verdict, AnswerStatus] = {
    "hit": "hit",
    "miss": "miss",
    "suppressed": "suppressed",
    "bad_input": "error",
}
# What the session deals with alone. Every other verdict is for `read`, so to the session the exchange went well.
_SESSION_VERDICTS: Mapping[Verdict, http.Verdict] = {
    "slow_down": http.Verdict.THROTTLED,
    "unavailable": http.Verdict.UNAVAILABLE,
    "ambiguous": http.Verdict.AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response: headers by lower-case name, the body as JSON data (None where it was not JSON).

    `latency_ms` counts from handing the request over, waiting for a slot included.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    latency_ms: int


class DeclarativeProvider:
    """One endpoint under one account; implements `revetl.providers.base.Provider`.

    `base_url` is the connection's, without the endpoint's path. `transport` takes the network's place in tests.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        base_url: str,
        api_key: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not api_key:
            raise ValueError("an empty api_key")
        self.spec = spec
        self.name = spec.name
        self._api_key = api_key
        self._clock = clock
        self._auth_query, auth_headers = credentials(spec.auth, api_key)
        self._slots = asyncio.Semaphore(spec.limits.concurrency)
        # The session holds the shortest window, where bursts are; the longer ones are kept in front of it.
        rates = [Rate(w.calls, w.seconds) for w in sorted(spec.limits.windows, key=lambda w: w.seconds)]
        self._longer_windows = [Pacer(rate, clock) for rate in reversed(rates[1:])]
        self._session = Session(
            spec.name,
            base_url,
            headers=auth_headers,
            secrets=[api_key, *auth_headers.values()],
            rates={DEFAULT: rates[0]} if rates else None,
            verdicts=session_verdicts(spec),
            wait_s=self._wait_s,
            error_code=lambda response: error_code(spec, self._body(response)),
            policy=Policy(timeout_s=spec.timeout_s, throttle_patience_s=THROTTLE_PATIENCE_S),
            transport=transport,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"DeclarativeProvider({self.name!r})"

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, throttled ones included."""
        return self._session.requests

    async def ask(self, lookup: Lookup) -> Answer:
        """One question, at most one charge. See `Provider.ask` for what is raised.

        ValueError where `spec.can_ask` says no to these inputs: the caller should have known.
        """
        if not self.spec.can_ask(lookup.inputs):
            raise ValueError(f"{self.name} can't be asked with the inputs {sorted(lookup.inputs)}")
        attempts, throttled_s = 0, 0.0
        while True:
            response = await self._send(lookup)
            reading = read(self.spec, response.status, response.headers, response.body)
            row = reading.row
            if row is not None and reading.verdict == "slow_down":
                # Only a look into the body could tell: the session's gate does not know of it.
                throttled_s += row.wait_s
                if throttled_s > THROTTLE_PATIENCE_S:
                    raise self._error(Unavailable, "told to slow down for too long", reading, response)
                await self._clock.sleep(row.wait_s)
            elif row is not None and reading.verdict == "in_progress":
                attempts += 1
                if attempts >= row.attempts:
                    return self._answer(settle(self.spec, row.then, row, response.headers, response.body), response)
                await self._clock.sleep(row.wait_s)
            else:
                return self._answer(reading, response)

    @property
    def batch_size(self) -> int:
        return 1

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> Sequence[Reply]:
        return [await self.ask(lookup) for lookup in lookups]

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> Sequence[Reply]:
        raise Ambiguous(f"{self.name} has no jobs whose result could be fetched")

    async def _send(self, lookup: Lookup) -> Response:
        """One question through the session. It is not idempotent: a second answer may be a second charge."""
        outgoing = render(self.spec, lookup.inputs)
        async with self._slots:
            for pacer in self._longer_windows:
                await pacer.acquire()
            started = self._clock.monotonic()
            try:
                raw = await self._session.request(
                    outgoing.method,
                    outgoing.path,
                    json=outgoing.json,
                    params={**outgoing.query, **self._auth_query},
                )
            except Throttled as e:
                raise Unavailable(str(e), code=e.code, status=e.status) from None
            latency_ms = round((self._clock.monotonic() - started) * 1000)
        headers = {name.lower(): value for name, value in raw.headers.items()}
        return Response(raw.status_code, headers, self._body(raw), latency_ms)

    def _answer(self, reading: Reading, response: Response) -> Answer:
        status = _ANSWERS.get(reading.verdict)
        if status is None:
            raise self._failure(reading, response)
        if status == "hit" and not reading.values:
            status = "miss"  # a match that fills nothing; the vendor charges for it all the same
        return Answer(
            status=status,
            http_status=response.status,
            values=reading.values,
            charged_usd=reading.charged_usd,
            latency_ms=response.latency_ms,
            response=response.body,
            error_code=reading.error_code,
            credits=reading.credits,
        )

    def _failure(self, reading: Reading, response: Response) -> Denied | Unavailable | Ambiguous:
        match reading.verdict:
            case "out_of_credits":
                return self._error(Denied, "the account is out of credits", reading, response)
            case "denied":
                return self._error(Denied, "the request was refused: check base_url and api_key", reading, response)
            case "blocked":
                return self._error(Unavailable, "the account is shut out for a while", reading, response)
            case "unavailable":
                return self._error(Unavailable, "the vendor can't answer now", reading, response)
            case _:
                why = "the outcome is unknown" if reading.row else "the answer is not one that its spec knows"
                return self._error(Ambiguous, f"{why}; it may have been charged", reading, response)

    def _error(self, kind: type[Failure], what: str, reading: Reading, response: Response) -> Failure:
        code = f", {reading.error_code}" if reading.error_code else ""
        message = f"{self.name}: {what} (HTTP {response.status}{code})"
        return kind(message, code=reading.error_code, status=response.status)

    def _body(self, response: httpx.Response) -> Any:
        """JSON data or None. A vendor that echoes the key must not get it into the ledger; NaN is no JSON."""
        try:
            return json.loads(response.text.replace(self._api_key, "***"), parse_constant=lambda _: None)
        except ValueError:
            return None

    def _wait_s(self, response: httpx.Response) -> float | None:
        """The vendor's Retry-After, else the pause of the row that matched."""
        said = http.retry_after_s(response, self._clock)
        if said is not None:
            return said
        row = _plain_row(self.spec, response.status_code)
        return row.wait_s if row is not None else None


def credentials(auth: Auth, api_key: str) -> tuple[dict[str, str], dict[str, str]]:
    """The query parameters and the headers that carry the key."""
    name = auth.name or ""
    match auth.type:
        case "query":
            return {name: api_key}, {}
        case "header":
            return {}, {name: auth.prefix + api_key}
        case "bearer":
            return {}, {"Authorization": f"Bearer {api_key}"}
        case "basic":
            return {}, {"Authorization": "Basic " + base64.b64encode(f"{api_key}:".encode()).decode()}


def session_verdicts(spec: ProviderSpec) -> dict[int, http.Verdict]:
    """The status table as far as the HTTP status alone decides. Where the body has a say, or the table has none, the
    answer comes back as it is; an unknown 5xx is left to the session, whose circuit breaker should see it."""
    verdicts: dict[int, http.Verdict] = {}
    for status in range(100, 600):
        row = _plain_row(spec, status)
        if row is not None:
            verdicts[status] = _SESSION_VERDICTS.get(row.verdict, http.Verdict.OK)
        elif status < 500 or any(r.matches_status(status) for r in spec.status):
            verdicts[status] = http.Verdict.OK
        else:
            verdicts[status] = http.Verdict.AMBIGUOUS
    return verdicts


def _plain_row(spec: ProviderSpec, status: int) -> StatusRow | None:
    """The first row for this status, where it asks nothing of the body."""
    row = next((r for r in spec.status if r.matches_status(status)), None)
    return row if row is not None and row.at is None else None
