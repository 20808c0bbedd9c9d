"""Who may send now: a request passes the circuit breaker, the gate of its limit, and the rate limiter.

What an attempt gave is reported back here, since it is what opens and shuts them. Every `enter` needs one `leave`:
without it a probe would never end, and everybody behind it would wait for ever.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from revetl.errors import Throttled, Unavailable
from revetl.http.attempt import Attempt, RequestState
from revetl.http.circuit_breaker import CircuitBreaker
from revetl.http.gate import GateShut
from revetl.http.pacing import SharedLimit
from revetl.http.verdict import ResponseVerdict


class Ticket(NamedTuple):
    """The right to one attempt."""

    limit: SharedLimit
    gate: int
    breaker: int


class RequestAdmission:
    """Of one session; `name` is the session's, for messages."""

    def __init__(self, name: str, breaker: CircuitBreaker) -> None:
        self._name = name
        self._breaker = breaker
        self._last_failure = ""

    async def enter(self, state: RequestState) -> Ticket:
        """Returns when one attempt may be sent. Raises `Unavailable` where the circuit stays open, and `Throttled`
        where everybody was answered 429 for longer than `throttle_patience_s`; `Ambiguous` in place of both where an
        earlier attempt of this request may have been applied."""
        limit = state.limit
        try:
            breaker_ticket = await self._breaker.enter()
        except GateShut:
            # The first cause, or the last error would hide it: that the circuit is open says nothing of why.
            reason = f"is not asked any more, since it {self._last_failure}"
            failure = Unavailable(state.message(self._name, reason), code="CIRCUIT_OPEN")
            raise state.keeping_doubt(failure) from None
        try:
            while True:
                gate_ticket = await limit.gate.enter(state.policy.throttle_patience_s)
                try:
                    await limit.limiter.acquire()
                except BaseException:
                    limit.gate.leave(gate_ticket)
                    raise
                # The gate may have shut while this one waited for the rate limiter.
                if limit.gate.current(gate_ticket):
                    return Ticket(limit, gate_ticket, breaker_ticket)
                limit.gate.leave(gate_ticket)
        except GateShut:
            self._breaker.leave(breaker_ticket)
            refused = Throttled(state.message(self._name, "has refused every request as too many"), status=429)
            raise state.keeping_doubt(refused) from None
        except BaseException:
            self._breaker.leave(breaker_ticket)
            raise

    def report(self, ticket: Ticket, attempt: Attempt, retry_after_s: float | None) -> None:
        """What the attempt gave. `retry_after_s`: how long the vendor said to wait; infinity leaves it to the gate."""
        gate, verdict = ticket.limit.gate, attempt.verdict
        if verdict is ResponseVerdict.THROTTLED:
            self._breaker.succeeded(ticket.breaker)
            was_probe = gate.shut
            if gate.close(ticket.gate, None if retry_after_s == inf else retry_after_s) and not was_probe:
                # A refused probe says that the storm goes on, nothing about our rate: hardly anything was sent.
                ticket.limit.limiter.throttled()
        elif verdict is ResponseVerdict.UNAVAILABLE or verdict is ResponseVerdict.AMBIGUOUS:
            self._last_failure = attempt.summary
            self._breaker.failed(ticket.breaker)
        else:
            self._breaker.succeeded(ticket.breaker)
            gate.passed(ticket.gate)

    def leave(self, ticket: Ticket) -> None:
        """Once per `enter`, however the attempt ended."""
        ticket.limit.gate.leave(ticket.gate)
        self._breaker.leave(ticket.breaker)
