"""One request over its attempts, what bounds it, and the limits it shares with others."""

from __future__ import annotations

import random
from dataclasses import dataclass

from revetl.clock import Clock
from revetl.errors import Ambiguous, CallError
from revetl.http.gate import Gate
from revetl.http.pacing import Pacer, Rate

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often. All times in seconds.

    `timeout_s` bounds one attempt from the first byte sent to the last received; `deadline_s` a request with its
    retries, from its first attempt. `throttle_patience_s`: how long the vendor may answer 429 to all, or to one.
    `retry_share`: retries allowed per request made, beyond the first `retry_reserve`.
    """

    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    deadline_s: float = 180.0
    max_attempts: int = 6
    first_backoff_s: float = 0.5
    max_backoff_s: float = 20.0
    throttle_patience_s: float = 300.0
    retry_share: float = 0.2
    retry_reserve: float = 30.0


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Names of the headers that carry the vendor's live count, lower case."""

    limit: str
    remaining: str


class Lane:
    """What shares one limit of the account: `default`, and one more per endpoint with a limit of its own. Sessions of
    one account may share it: then a 429 to one of them holds them all."""

    __slots__ = ("gate", "pacer")

    def __init__(self, rate: Rate | None, clock: Clock, rng: random.Random) -> None:
        self.pacer = Pacer(rate, clock)
        self.gate = Gate(clock, rng, first_wait_s=1.0, max_wait_s=30.0)


@dataclass(slots=True)
class Call:
    """The story of one request over its attempts."""

    what: str
    lane: Lane
    timeout_s: float
    idempotent: bool
    max_attempts: int
    attempts: int = 0
    deadline: float = 0.0
    throttled_at: float | None = None
    in_doubt: bool = False

    def begin(self, now: float, deadline_s: float) -> None:
        if not self.attempts:
            self.deadline = now + deadline_s
        self.attempts += 1

    def throttled_for(self, now: float) -> float:
        """Seconds since the first 429 of this request, which has just had another."""
        if self.throttled_at is None:
            self.throttled_at = now
        return now - self.throttled_at

    def honest(self, failure: CallError) -> CallError:
        """An earlier attempt may have been applied: then the last one's certain refusal does not make it certain."""
        if self.in_doubt and not isinstance(failure, Ambiguous):
            return Ambiguous(str(failure), code=failure.code, status=failure.status)
        return failure

    def said(self, name: str, reason: str) -> str:
        tries = f" (attempt {self.attempts})" if self.attempts > 1 else ""
        return f"{name} {reason}: {self.what}{tries}"
