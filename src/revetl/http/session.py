"""The one door to the network: pacing, one gate on 429, retry budget, circuit breaker, deadlines, redaction.

It speaks httpx's `Request` and `Response` over a transport that is handed in. Nothing of httpx's client is used:
redirects, cookies and authentication flows are what must not happen here, and its log line holds whole URLs.
"""

from __future__ import annotations

import asyncio
import json as json_
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import Any
from urllib.parse import urlencode

import aiohttp
import httpx

from revetl import __version__
from revetl.clock import Clock, SystemClock
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Throttled, Unavailable
from revetl.http.breaker import Breaker
from revetl.http.call import DEFAULT, Call, Lane, Policy, RateHeaders
from revetl.http.gate import GateShut
from revetl.http.pacing import Rate
from revetl.http.redact import Redactor
from revetl.http.transport import default_transport
from revetl.http.urls import check_url
from revetl.http.verdict import Verdict, before_send, retry_after_s, verdict_table

log = logging.getLogger("revetl.http")


class Session:
    """One account of one vendor. An async context manager; used by one event loop.

    `headers` go with every request; credentials stand there, and are named in `secrets` too. `rates` by lane: a lane
    is what shares one limit; one that is not named here is the default one. `lanes` are shared with other sessions and
    go before `rates`. `wait_s` reads from a 429 how long to wait: None means nobody said, infinity means that waiting
    is of no use (`Throttled` leaves at once). `error_code` reads the vendor's word for an error. `readable` tells
    whether a success is the vendor's own: a page of something between, with status 200, says nothing about what was
    done, so it counts as a lost answer. `on_response` sees every answer that came, for what its headers tell.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        rates: Mapping[str, Rate] | None = None,
        lanes: Mapping[str, Lane] | None = None,
        rate_headers: RateHeaders | None = None,
        verdicts: Mapping[int, Verdict] | None = None,
        wait_s: Callable[[httpx.Response], float | None] | None = None,
        error_code: Callable[[httpx.Response], str | None] | None = None,
        readable: Callable[[httpx.Response], bool] | None = None,
        on_response: Callable[[httpx.Response], None] | None = None,
        policy: Policy | None = None,
        allow_insecure: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._base_url = check_url(base_url, allow_insecure=allow_insecure, what=f"base_url of {name}")
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": f"revetl/{__version__}",
        } | {k.lower(): v for k, v in (headers or {}).items()}
        self._redact = Redactor(secrets)
        self._policy = policy or Policy()
        self._rate_headers = rate_headers
        self._verdicts = verdict_table(verdicts)
        self._wait_s = wait_s
        self._error_code = error_code or (lambda _: None)
        self._readable = readable or (lambda _: True)
        self._on_response = on_response
        self._given_transport = transport
        self._transport: httpx.AsyncBaseTransport | None = None
        self._breaker = Breaker(self._clock, self._rng)
        self._lanes = {name: Lane(rate, self._clock, self._rng) for name, rate in (rates or {}).items()}
        self._lanes |= lanes or {}
        self._lanes.setdefault(DEFAULT, Lane(None, self._clock, self._rng))
        self._extensions = {"timeout": {"connect": self._policy.connect_timeout_s, "read": None, "pool": None}}
        self._budget = self._policy.retry_reserve
        self.requests = 0
        self.retries = 0

    def __repr__(self) -> str:
        return f"Session({self.name!r})"

    async def __aenter__(self) -> Session:
        self._transport = self._given_transport or default_transport(self._base_url)
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
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
        lane: str = DEFAULT,
        timeout_s: float | None = None,
        attempts: int | None = None,
    ) -> httpx.Response:
        """The read answer whose verdict is ok or rejected; the caller looks at its status. All else is raised.

        `idempotent=True` says that repeating is safe: what may have been applied is then repeated too, otherwise it is
        raised as `Ambiguous` at once. `timeout_s` and `attempts` take the place of the policy's. Raises `Denied`,
        `Throttled`, `Unavailable` or `Ambiguous` (all `CallError`).
        `response.extensions["attempts"]` tells how many it took.
        """
        request = self._build(method, path, json, content, params, headers)
        call = Call(
            f"{method} {path}",
            self._lane(lane),
            timeout_s or self._policy.timeout_s,
            idempotent,
            attempts or self._policy.max_attempts,
        )
        while True:
            verdict, response, error = await self._attempt(request, call)
            if response is not None and (verdict is Verdict.OK or verdict is Verdict.REJECTED):
                response.extensions["attempts"] = call.attempts
                return response
            await self._wait_or_raise(verdict, self._error(verdict, response, error, call), response, call)
            self.retries += 1

    def _lane(self, name: str) -> Lane:
        return self._lanes.get(name) or self._lanes[DEFAULT]

    def _build(
        self,
        method: str,
        path: str,
        json: Any,
        content: bytes | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Request:
        if path and not path.startswith("/"):
            raise ConfigError(f"{self.name}: a path must begin with /")
        all_headers = self._headers if headers is None else self._headers | {k.lower(): v for k, v in headers.items()}
        if json is not None:
            content = json_.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            all_headers = {"content-type": "application/json"} | all_headers
        url = f"{self._base_url}{path}" + (f"?{urlencode(params)}" if params else "")
        return httpx.Request(method, _parsed(url), headers=all_headers, content=content, extensions=self._extensions)

    async def _attempt(self, request: httpx.Request, call: Call) -> _Attempted:
        gate, gate_ticket, breaker_ticket = call.lane.gate, *await self._admit(call)
        try:
            verdict, response, error = await self._send(request, call)
            if verdict is Verdict.THROTTLED:
                self._breaker.succeeded(breaker_ticket)
                wait = self._retry_after(response) if response is not None else None
                probe = gate.shut
                if gate.close(gate_ticket, None if wait == inf else wait) and not probe:
                    # A refused probe tells that the storm goes on, nothing about our pace: the window is near empty.
                    call.lane.pacer.throttled()
            elif verdict is Verdict.UNAVAILABLE or verdict is Verdict.AMBIGUOUS:
                self._breaker.failed(breaker_ticket)
            else:
                self._breaker.succeeded(breaker_ticket)
                gate.passed(gate_ticket)
            return verdict, response, error
        finally:
            gate.leave(gate_ticket)
            self._breaker.leave(breaker_ticket)

    async def _admit(self, call: Call) -> tuple[int, int]:
        """Waits for the circuit, for the gate and for a slot. The tickets are given back by `_attempt`."""
        gate, patience_s = call.lane.gate, self._policy.throttle_patience_s
        try:
            breaker_ticket = await self._breaker.enter()
        except GateShut:
            failure = Unavailable(call.said(self.name, "is not answering"), code="CIRCUIT_OPEN")
            raise call.honest(failure) from None
        try:
            while True:
                gate_ticket = await gate.enter(patience_s)
                try:
                    await call.lane.pacer.acquire()
                except BaseException:
                    gate.leave(gate_ticket)
                    raise
                # The gate may have shut while this one waited for its slot.
                if gate.current(gate_ticket):
                    return gate_ticket, breaker_ticket
                gate.leave(gate_ticket)
        except GateShut:
            self._breaker.leave(breaker_ticket)
            refused = Throttled(call.said(self.name, "has refused every request as too many"), status=429)
            raise call.honest(refused) from None
        except BaseException:
            self._breaker.leave(breaker_ticket)
            raise

    async def _send(self, request: httpx.Request, call: Call) -> _Attempted:
        if self._transport is None:
            raise RuntimeError(f"{self!r} is not open")
        call.begin(self._clock.monotonic(), self._policy.deadline_s)
        self.requests += 1
        self._budget = min(self._policy.retry_reserve, self._budget + self._policy.retry_share)
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout(call.timeout_s):
                response = await self._transport.handle_async_request(request)
                response.request = request
                await response.aread()
        except (httpx.TransportError, aiohttp.ClientError) as e:
            # The transport does not translate all of aiohttp's errors; those hold the request's headers.
            return (Verdict.UNAVAILABLE if before_send(e) else Verdict.AMBIGUOUS), None, e
        except (TimeoutError, httpx.DecodingError) as e:
            return Verdict.AMBIGUOUS, None, e
        finally:
            if response is not None and not response.is_closed:
                await response.aclose()
        if (names := self._rate_headers) is not None:
            call.lane.pacer.observe(_count(response, names.limit), _count(response, names.remaining))
        if self._on_response is not None:
            self._on_response(response)
        verdict = self._verdicts.get(response.status_code, Verdict.AMBIGUOUS)
        if verdict is Verdict.OK and not self._readable(response):
            verdict = Verdict.AMBIGUOUS
        return verdict, response, None

    async def _wait_or_raise(
        self, verdict: Verdict, failure: CallError, response: httpx.Response | None, call: Call
    ) -> None:
        """Returns when the request may be repeated, raises `failure` where it may not."""
        now = self._clock.monotonic()
        if isinstance(failure, Throttled):
            if max(failure.retry_after_s or 0.0, call.throttled_for(now)) > self._policy.throttle_patience_s:
                raise call.honest(failure)
            log.info("%s", failure)
            return  # the gate is where it waits
        if verdict is Verdict.DENIED or (verdict is Verdict.AMBIGUOUS and not call.idempotent):
            raise failure
        backoff = min(self._policy.max_backoff_s, self._policy.first_backoff_s * 2 ** (call.attempts - 1))
        wait = backoff * self._rng.random()
        if response is not None:
            wait = max(wait, min(retry_after_s(response, self._clock) or 0.0, self._policy.max_backoff_s))
        if call.attempts >= call.max_attempts or now + wait > call.deadline or self._budget < 1.0:
            raise call.honest(failure)
        call.in_doubt = call.in_doubt or verdict is Verdict.AMBIGUOUS
        self._budget -= 1.0
        log.info("%s; repeated in %.1f s", failure, wait)
        await self._clock.sleep(wait)

    def _retry_after(self, response: httpx.Response) -> float | None:
        return self._wait_s(response) if self._wait_s else retry_after_s(response, self._clock)

    def _error(
        self, verdict: Verdict, response: httpx.Response | None, error: Exception | None, call: Call
    ) -> CallError:
        """The exception that says it, without the query and the body; the host only where it was not reached."""
        if response is None:
            reason = "did not answer in time" if isinstance(error, TimeoutError) else self._not_reached(error)
            if verdict is Verdict.AMBIGUOUS and not isinstance(error, TimeoutError):
                reason = "broke off before its answer was complete"
            kind = Unavailable if verdict is Verdict.UNAVAILABLE else Ambiguous
            return kind(self._redact(call.said(self.name, reason)), code=type(error).__name__)
        status, code = response.status_code, self._error_code(response)
        message = self._redact(call.said(self.name, f"answered {status}" + (f" {code}" if code else "")))
        if verdict is Verdict.THROTTLED:
            return Throttled(message, retry_after_s=self._retry_after(response), code=code, status=status)
        kinds: dict[Verdict, type[CallError]] = {Verdict.DENIED: Denied, Verdict.UNAVAILABLE: Unavailable}
        if 200 <= status < 300:
            message += " with something that is not its own: a proxy's page?"
        if 300 <= status < 400:
            message += ": a redirect, which is not followed; is the base_url right?"
        return kinds.get(verdict, Ambiguous)(message, code=code, status=status)

    def _not_reached(self, error: Exception | None) -> str:
        """With the host, and the system's own word for it (`Connection refused`) where it has one."""
        cause = error.__cause__ if isinstance(error, httpx.TransportError) else error
        why = ""
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            why = " (no such host)"
        elif isinstance(cause, aiohttp.ClientConnectorError) and (number := cause.os_error.errno or 0) > 0:
            why = f" ({os.strerror(number)})"
        return f"was not reached at {httpx.URL(self._base_url).netloc.decode('ascii')}{why}"


_Attempted = tuple[Verdict, httpx.Response | None, Exception | None]


@lru_cache(maxsize=1_024)
def _parsed(url: str) -> httpx.URL:
    """A destination is written to at few addresses, and taking one apart costs as much as the rest of the request."""
    return httpx.URL(url)


def _count(response: httpx.Response, header: str) -> int | None:
    value = response.headers.get(header)
    return int(value) if value is not None and value.isascii() and value.isdigit() else None
