"""One request over its attempts, and what one attempt gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from revetl.errors import Ambiguous, CallError
from revetl.http.options import Policy
from revetl.http.pacing import SharedLimit
from revetl.http.verdict import ResponseVerdict


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What is to be sent: `path` below the session's base_url, with its slash. `shown_as`: how messages name the path,
    where it holds what names a customer."""

    method: str
    path: str
    content: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    shown_as: str | None = None

    @property
    def target(self) -> str:
        return self.path if self.shown_as is None else self.shown_as


@dataclass(frozen=True, slots=True)
class Attempt:
    """`response` is None where none came whole; `error` is then what the transport raised."""

    verdict: ResponseVerdict
    response: httpx.Response | None = None
    error: Exception | None = None

    @property
    def is_unauthorised(self) -> bool:
        return self.verdict is ResponseVerdict.DENIED and self.response is not None and self.response.status_code == 401

    @property
    def summary(self) -> str:
        """What came of it in a few words, for a message about later requests."""
        if self.response is not None:
            return f"answered {self.response.status_code}"
        return "did not answer in time" if isinstance(self.error, TimeoutError) else "could not be reached"


@dataclass(slots=True)
class RequestState:
    """`target` is method and path, as messages name the request. `deadline` is a reading of the monotonic clock.
    `in_doubt`: an earlier attempt may have been applied."""

    target: str
    limit: SharedLimit
    policy: Policy
    idempotent: bool
    attempts: int = 0
    deadline: float = 0.0
    throttled_at: float | None = None
    in_doubt: bool = False
    refreshed: bool = False  # after a 401, which is done once

    def begin_attempt(self, now: float) -> None:
        if not self.attempts:
            self.deadline = now + self.policy.deadline_s
        self.attempts += 1

    def throttled_for(self, now: float) -> float:
        """Seconds since the first 429 of this request, which has just had another."""
        if self.throttled_at is None:
            self.throttled_at = now
        return now - self.throttled_at

    def keeping_doubt(self, failure: CallError) -> CallError:
        """`failure`, as `Ambiguous` where an earlier attempt may have been applied: that the last one certainly was
        not says nothing about the one before."""
        if self.in_doubt and not isinstance(failure, Ambiguous):
            return Ambiguous(str(failure), code=failure.code, status=failure.status)
        return failure

    def message(self, name: str, reason: str) -> str:
        tries = f" (attempt {self.attempts})" if self.attempts > 1 else ""
        return f"{name} {reason}: {self.target}{tries}"
