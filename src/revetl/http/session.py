"""The one door to the network: rate limits, one gate on 429, retry budget, circuit breaker, deadlines, redaction.

It speaks httpx's `Request` and `Response` over a transport that is handed in. Nothing of httpx's client is used:
redirects, cookies and authentication flows are what must not happen here, and its log line holds whole URLs.
"""

from __future__ import annotations

import asyncio
import json as json_
import logging
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import httpx

from revetl import __version__
from revetl.clock import Clock, SystemClock
from revetl.errors import CallError, ConfigError, Throttled
from revetl.http.admission import RequestAdmission
from revetl.http.attempt import Attempt, RequestState, SessionRequest
from revetl.http.auth import AuthContext, MovesRequests
from revetl.http.body import read_body, too_large
from revetl.http.circuit_breaker import CircuitBreaker
from revetl.http.credentials import header_value
from revetl.http.failures import FailureMessages
from revetl.http.options import Policy, ResponseRules, SessionOptions
from revetl.http.pacing import DEFAULT_LIMIT, SharedLimit
from revetl.http.redact import Redactor
from revetl.http.transport import NetworkTransport, default_transport
from revetl.http.urls import check_url
from revetl.http.verdict import ResponseVerdict, before_send, is_lasting, retry_after_s, verdict_table

log = logging.getLogger("revetl.http")


class Session:
    """One account of one vendor. An async context manager; used by one event loop.

    `name` is that of the destination or provider, for messages. ConfigError where `base_url` could leak a token.
    `transport`, `clock` and `rng` take the place of the network, of time and of chance in tests.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        options: SessionOptions | None = None,
        rules: ResponseRules | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        options, rules = options or SessionOptions(), rules or ResponseRules()
        self.name = name
        self._base_url = check_url(base_url, allow_insecure=options.allow_insecure, what=f"base_url of {name}")
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": f"revetl/{__version__}",
        } | {k.lower(): v for k, v in options.headers.items()}
        for header, value in self._headers.items():
            try:
                header_value(value)
            except ValueError as e:
                raise ConfigError(f"{name}: what is sent as {header!r} {e}") from None
        self._params, self._auth = dict(options.params), tuple(options.auth)
        self._moving = [auth for auth in self._auth if isinstance(auth, MovesRequests)]
        self._client_certificate, self._allow_insecure = options.client_certificate, options.allow_insecure
        self._policy = options.policy
        self._rules = rules
        self._verdicts = verdict_table(rules.verdicts)
        self._given_transport = transport
        self._transport: httpx.AsyncBaseTransport | None = None
        self._admission = RequestAdmission(name, CircuitBreaker(self._clock, self._rng))
        self._redactor = Redactor(options.secrets)
        self._failures = FailureMessages(name, self._base_url, self._redactor, rules, self._retry_after_s)
        self._limits = {name: SharedLimit(rate, self._clock, self._rng) for name, rate in options.rates.items()}
        self._limits |= options.shared_limits
        self._limits.setdefault(DEFAULT_LIMIT, SharedLimit(None, self._clock, self._rng))
        self._extensions = {"timeout": {"connect": self._policy.connect_timeout_s, "read": None, "pool": None}}
        self._retry_budget = self._policy.retry_reserve
        self.requests = 0
        self.retries = 0

    def __repr__(self) -> str:
        return f"Session({self.name!r})"

    @property
    def tls_version(self) -> str | None:
        """Of the connection that was opened last, as `TLSv1.3`; None where none was encrypted, or is of the network."""
        return self._transport.tls_version if isinstance(self._transport, NetworkTransport) else None

    async def __aenter__(self) -> Session:
        self._transport = self._given_transport or default_transport(
            self._base_url, client_certificate=self._client_certificate
        )
        for auth in self._auth:
            auth.bind(
                AuthContext(
                    self.name,
                    self._clock,
                    self._redactor.learn,
                    self._given_transport,
                    self._allow_insecure,
                    self._client_certificate,
                )
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        idempotent: bool = False,
        limit: str = DEFAULT_LIMIT,
        policy: Policy | None = None,
    ) -> httpx.Response:
        """As `send`, of a request without headers of its own.

        The body is `json` (any JSON data) or `content` (as it stands). `idempotent=True` says that repeating is safe:
        what may have been applied is then repeated too, otherwise it is raised as `Ambiguous` at once. `limit`: the
        name of the rate limit that it counts against; one that was not declared is the default one. `policy` takes the
        place of the session's for this request; the connect timeout and the retry budget stay the session's.

        Raises `Denied`, `Throttled`, `Unavailable` or `Ambiguous` (all `CallError`), and ConfigError for a path without
        its slash. `response.extensions["attempts"]` is how many it took.
        """
        headers = {}
        if json is not None:
            content = json_.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            headers = {"content-type": "application/json"}
        outgoing = SessionRequest(method, path, content, params or {}, headers)
        return await self.send(outgoing, idempotent=idempotent, limit=limit, policy=policy)

    async def send(
        self,
        outgoing: SessionRequest,
        *,
        idempotent: bool = False,
        limit: str = DEFAULT_LIMIT,
        policy: Policy | None = None,
    ) -> httpx.Response:
        """The read answer whose verdict is ok or rejected; the caller looks at its status. All else is raised, as
        `request` says.
        """
        request = self._build(outgoing)
        shared = self._limits.get(limit) or self._limits[DEFAULT_LIMIT]
        state = RequestState(f"{outgoing.method} {outgoing.target}", shared, policy or self._policy, idempotent)
        while True:
            attempt = await self._attempt(request, state)
            if attempt.is_unauthorised and not state.refreshed and self._refresh(attempt):
                state.refreshed = True
                self.retries += 1
                continue
            if attempt.response is not None and attempt.verdict in (ResponseVerdict.OK, ResponseVerdict.REJECTED):
                attempt.response.extensions["attempts"] = state.attempts
                return attempt.response
            await self._wait_or_raise(attempt, self._failures.of(attempt, state), state)
            self.retries += 1

    def excerpt(self, response: httpx.Response, text: str | None = None) -> str:
        """The beginning of an answer's body, or of `text`, a piece of it, for a message: one line of at most 200
        characters, without secrets, email addresses, values of the request, or characters that a terminal acts on.
        Empty where there is none."""
        return self._failures.excerpt(response, text)

    def _build(self, outgoing: SessionRequest) -> httpx.Request:
        if outgoing.path and not outgoing.path.startswith("/"):
            raise ConfigError(f"{self.name}: a path must begin with /")
        own = {name.lower(): value for name, value in outgoing.headers.items()}
        # A type of body that the account says wins over the one that is only our guess.
        headers = self._headers | own if "content-type" not in self._headers else own | self._headers
        params = {**self._params, **outgoing.params}
        url = f"{self._base_url}{outgoing.path}" + (f"?{urlencode(params, quote_via=quote)}" if params else "")
        return httpx.Request(
            outgoing.method, _parsed(url), headers=headers, content=outgoing.content, extensions=self._extensions
        )

    def _refresh(self, attempt: Attempt) -> bool:
        if attempt.response is None:
            return False
        return any(auth.refresh(attempt.response.request) for auth in self._auth)

    async def _authorised(self, request: httpx.Request, state: RequestState) -> httpx.Request:
        """The request as this attempt bears it. What is raised says that it was not sent; an earlier attempt may have
        been."""
        for auth in self._auth:
            try:
                headers = await auth.authorise(request)
            except CallError as e:
                raise state.keeping_doubt(e) from None
            if headers:
                request = httpx.Request(
                    request.method,
                    request.url,
                    headers={**request.headers, **headers},
                    content=request.content,
                    extensions=self._extensions,
                )
        moved_to = next((auth.api_url for auth in self._moving if auth.api_url is not None), None)
        return request if moved_to is None else self._moved(request, moved_to)

    def _moved(self, request: httpx.Request, api_url: str) -> httpx.Request:
        """The same below another base_url."""
        base, target = (_parsed(address) for address in (self._base_url, api_url))
        path = target.raw_path.rstrip(b"/") + request.url.raw_path.removeprefix(base.raw_path.rstrip(b"/"))
        url = request.url.copy_with(host=target.host, port=target.port, raw_path=path)
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        return httpx.Request(request.method, url, headers=headers, content=request.content, extensions=self._extensions)

    async def _attempt(self, request: httpx.Request, state: RequestState) -> Attempt:
        ticket = await self._admission.enter(state)
        try:
            attempt = await self._send(request, state)
            wait_s = None
            if attempt.verdict is ResponseVerdict.THROTTLED and attempt.response is not None:
                wait_s = self._retry_after_s(attempt.response)
            self._admission.report(ticket, attempt, wait_s)
            return attempt
        finally:
            self._admission.leave(ticket)

    async def _send(self, request: httpx.Request, state: RequestState) -> Attempt:
        if self._transport is None:
            raise RuntimeError(f"{self!r} is not open")
        if self._auth:
            request = await self._authorised(request, state)
        state.begin_attempt(self._clock.monotonic())
        self.requests += 1
        self._retry_budget = min(self._policy.retry_reserve, self._retry_budget + self._policy.retry_share)
        response: httpx.Response | None = None
        came: httpx.Response | None = None
        try:
            async with asyncio.timeout(state.policy.timeout_s):
                response = came = await self._transport.handle_async_request(request)
                response.request = request
                response = await read_body(response, self._rules.most_bytes)
        except (httpx.TransportError, aiohttp.ClientError) as e:
            # The transport does not translate all of aiohttp's errors; those hold the request's headers.
            return Attempt(ResponseVerdict.UNAVAILABLE if before_send(e) else ResponseVerdict.AMBIGUOUS, error=e)
        except (TimeoutError, httpx.DecodingError) as e:
            return Attempt(ResponseVerdict.AMBIGUOUS, error=e)
        finally:
            if came is not None and not came.is_closed:
                await came.aclose()
        if (names := self._rules.rate_headers) is not None:
            state.limit.limiter.observe(_count(response, names.limit), _count(response, names.remaining))
        self._rules.on_response(response)
        verdict = self._rules.verdict(response)
        if verdict is None:
            verdict = self._verdicts.get(response.status_code, ResponseVerdict.AMBIGUOUS)
        if verdict is ResponseVerdict.OK and not self._is_readable(response):
            verdict = ResponseVerdict.AMBIGUOUS
        return Attempt(verdict, response)

    def _is_readable(self, response: httpx.Response) -> bool:
        if too_large(response) and not self._rules.status_suffices:
            return False
        return self._rules.readable(response)

    async def _wait_or_raise(self, attempt: Attempt, failure: CallError, state: RequestState) -> None:
        """Returns when the request may be repeated, raises `failure` where it may not."""
        now, policy = self._clock.monotonic(), state.policy
        if isinstance(failure, Throttled):
            if max(failure.retry_after_s or 0.0, state.throttled_for(now)) > policy.throttle_patience_s:
                raise state.keeping_doubt(failure)
            log.info("%s", failure)
            return  # the gate is where it waits
        ambiguous = attempt.verdict is ResponseVerdict.AMBIGUOUS
        if attempt.verdict is ResponseVerdict.DENIED or (ambiguous and not state.idempotent):
            raise failure
        if attempt.error is not None and is_lasting(attempt.error):
            raise state.keeping_doubt(failure)
        backoff_s = min(policy.max_backoff_s, policy.first_backoff_s * 2 ** (state.attempts - 1))
        wait_s = backoff_s * self._rng.random()
        if attempt.response is not None:
            # The vendor's own word. Past the deadline nothing is gained by knocking earlier: it ends at once.
            wait_s = max(wait_s, retry_after_s(attempt.response, self._clock) or 0.0)
        if state.attempts >= policy.max_attempts or now + wait_s > state.deadline or self._retry_budget < 1.0:
            raise state.keeping_doubt(failure)
        state.in_doubt = state.in_doubt or ambiguous
        self._retry_budget -= 1.0
        log.info("%s; repeated in %.1f s", failure, wait_s)
        await self._clock.sleep(wait_s)

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        if self._rules.retry_after_s is not None:
            return self._rules.retry_after_s(response)
        return retry_after_s(response, self._clock)


@lru_cache(maxsize=1_024)
def _parsed(url: str) -> httpx.URL:
    """A destination is written to at few addresses, and taking one apart costs as much as the rest of the request."""
    return httpx.URL(url)


def _count(response: httpx.Response, header: str) -> int | None:
    value = response.headers.get(header)
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 10 else None
