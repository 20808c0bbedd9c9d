"""The circuit breaker: stops sending to a vendor that is down, and lets one request probe whether it is back."""

from __future__ import annotations

import random

from revetl.clock import Clock
from revetl.http.gate import Gate


class CircuitBreaker:
    """After `threshold` failures in a row the circuit is open: a gate of its own, shut by failures as the other one is
    by 429s. Every wait is in seconds.

    A vendor that never answered yet is given `cold_patience_s` only: a wrong address should be reported at once.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        threshold: int = 8,
        patience_s: float = 60.0,
        cold_patience_s: float = 5.0,
    ) -> None:
        self._gate = Gate(clock, rng, first_wait_s=1.0, max_wait_s=15.0)
        self._threshold = threshold
        self._patience_s = patience_s
        self._cold_patience_s = cold_patience_s
        self._failures = 0
        self._has_answered = False

    async def enter(self) -> int:
        """A ticket for the other methods. Raises GateShut where the circuit has been open longer than the patience."""
        return await self._gate.enter(self._patience_s if self._has_answered else self._cold_patience_s)

    def leave(self, ticket: int) -> None:
        self._gate.leave(ticket)

    def succeeded(self, ticket: int) -> None:
        """Any answer that shows the vendor at work, a refusal too."""
        self._failures = 0
        self._has_answered = True
        self._gate.passed(ticket)

    def failed(self, ticket: int) -> None:
        self._failures += 1
        if self._failures >= self._threshold or self._gate.shut:
            self._gate.close(ticket)
