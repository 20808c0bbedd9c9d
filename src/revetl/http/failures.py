"""A failed attempt as the exception that the caller sees. Messages hold no query, no secret, and of a body only what
`ResponseRules.show_body` asks for, masked."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable

import aiohttp
import httpx

from revetl.errors import Ambiguous, CallError, Denied, Throttled, Unavailable
from revetl.http.attempt import Attempt, RequestState
from revetl.http.body import too_large
from revetl.http.excerpt import excerpt, one_word, printable
from revetl.http.options import ResponseRules
from revetl.http.verdict import ResponseVerdict

_LONGEST_EXPLANATION = 500  # characters
_BY_VERDICT: dict[ResponseVerdict, type[CallError]] = {
    ResponseVerdict.DENIED: Denied,
    ResponseVerdict.UNAVAILABLE: Unavailable,
}


class FailureMessages:
    """Of one session. `redact` masks the account's secrets; `rules` and `retry_after_s` read a response."""

    def __init__(
        self,
        name: str,
        base_url: str,
        redact: Callable[[str], str],
        rules: ResponseRules,
        retry_after_s: Callable[[httpx.Response], float | None],
    ) -> None:
        self._name = name
        self._base_url = base_url
        self._redact = redact
        self._rules = rules
        self._retry_after_s = retry_after_s

    def of(self, attempt: Attempt, state: RequestState) -> CallError:
        """The exception for an attempt whose verdict is neither ok nor rejected. Nothing is raised here."""
        if attempt.response is None:
            return self._without_response(attempt, state)
        return self._with_response(attempt.verdict, attempt.response, state)

    def _without_response(self, attempt: Attempt, state: RequestState) -> CallError:
        timed_out = isinstance(attempt.error, TimeoutError)
        reason = "did not answer in time" if timed_out else self._not_reached(attempt.error)
        if attempt.verdict is ResponseVerdict.AMBIGUOUS and not timed_out:
            reason = "broke off before its answer was complete"
        if isinstance(attempt.error, httpx.DecodingError):
            reason = "sent an answer that can't be unpacked"
        kind = Unavailable if attempt.verdict is ResponseVerdict.UNAVAILABLE else Ambiguous
        return kind(self._redact(state.message(self._name, reason)), code=type(attempt.error).__name__)

    def excerpt(self, response: httpx.Response, text: str | None = None) -> str:
        """The beginning of the body, or of a piece of it, for a message."""
        return excerpt(response, self._redact, text)

    def _with_response(self, verdict: ResponseVerdict, response: httpx.Response, state: RequestState) -> CallError:
        status, code = response.status_code, one_word(self._rules.error_code(response))
        message = self._redact(state.message(self._name, f"answered {status}" + (f" {code}" if code else "")))
        if verdict is ResponseVerdict.THROTTLED:
            return Throttled(message, retry_after_s=self._retry_after_s(response), code=code, status=status)
        if too_large(response):
            message += f" with more than {self._rules.most_bytes >> 20} MiB, which is not read"
        elif 200 <= status < 300:
            message += " with something that is not its own: a proxy's page?"
        if 300 <= status < 400:
            message += ": a redirect, which is not followed; is the base_url right?"
        if needed := self._rules.explain(response):
            message += self._redact(f": {printable(needed, _LONGEST_EXPLANATION)}")
        if self._rules.show_body and (said := self.excerpt(response)):
            message += f": {said}"
        if wait_s := self._retry_after_s(response):
            message += f"; it says to come back in {_duration(wait_s)}"
        return _BY_VERDICT.get(verdict, Ambiguous)(message, code=code, status=status)

    def _not_reached(self, error: Exception | None) -> str:
        """With the host, and why: the system's own word for it (`Connection refused`) where it has one."""
        cause = error.__cause__ if isinstance(error, httpx.TransportError) else error
        target = httpx.URL(self._base_url)
        where = f"was not reached at {target.netloc.decode('ascii')}"
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            wants = ": it wants the user and password that HTTPS_PROXY holds" if cause.status == 407 else ""
            return f"{where} (the proxy that HTTPS_PROXY names answered {cause.status}{wants})"
        if not isinstance(cause, aiohttp.ClientConnectorError):
            return f"{where} (no connection in time)" if isinstance(cause, TimeoutError) else where
        why = _why_not_connected(cause)
        if isinstance(cause, aiohttp.ClientProxyConnectionError) or cause.host != target.host:
            why = f"the proxy {cause.host}:{cause.port} that HTTPS_PROXY names: {why or 'not reached'}"
        return f"{where} ({why})" if why else where


def _why_not_connected(cause: aiohttp.ClientConnectorError) -> str:
    """Decided by the error's class and number, in words for who can mend it. Empty where nothing is said."""
    error = cause.certificate_error if isinstance(cause, aiohttp.ClientConnectorCertificateError) else cause.os_error
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names the file with the authorities"
            " of your own"
        )
    if isinstance(error, ssl.SSLError):
        said = (error.reason or "handshake failed").replace("_", " ").lower()
        return f"no TLS connection: {said}; is it https and the right port?"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return "its name could not be looked up: no name server answered"
        return "no such host"
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else ""


def _duration(seconds: float) -> str:
    """In the largest unit that fits, rounded up: it is a time to come back at."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{-(-seconds // size):.0f} {unit}"
    return f"{max(1.0, -(-seconds // 1)):.0f} s"
