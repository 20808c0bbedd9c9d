"""Waits for a job that the vendor works on: polls for its result, or is called with it.

Nothing here costs anything or is lost: whoever stops waiting has the job's id, and may come back with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from urllib.parse import quote

from revetl.clock import Clock
from revetl.errors import Ambiguous, CallError
from revetl.providers.engine.account import Account
from revetl.providers.engine.answers import VendorResponse
from revetl.providers.engine.charging import credits_of
from revetl.providers.engine.reading import ResponseMeaning, error_code, matching_row
from revetl.providers.engine.rendering import OutgoingRequest
from revetl.providers.engine.webhooks import Inbox
from revetl.providers.engine.wire import EndpointWire
from revetl.providers.grammar import AsyncJob, JobPoll, LookupVerdict, PollVerdict, ProviderSpec

# What a poll's verdict means for the lookups of which the result says nothing.
_REST: dict[str, LookupVerdict] = {"miss": "miss", "stopped": "unavailable", "out_of_credits": "out_of_credits"}
_AGAIN: frozenset[PollVerdict] = frozenset({"in_progress", "slow_down", "unavailable"})


class JobResults:
    """The results of one endpoint's jobs. `wire` repeats what it lost: a poll changes nothing."""

    def __init__(self, spec: ProviderSpec, job: AsyncJob, wire: EndpointWire, account: Account, clock: Clock) -> None:
        self._spec = spec
        self._job = job
        self._wire = wire
        self._account = account
        self._clock = clock

    def callback(self) -> dict[str, str]:
        """Pointer into the submission's body → the address that the vendor shall call; empty where nobody listens."""
        callback, receiver = self._job.callback, self._account.receiver
        if callback is None or receiver is None:
            return {}
        return {callback.at: receiver.address(self._spec.name, callback)}

    async def result(self, job_id: str, *, at_once: bool = False) -> tuple[ResponseMeaning | None, VendorResponse]:
        """The answer that holds the job's records, and how it ended where that was not well. Its `latency_ms` is all
        that the job took.

        `at_once`: it was submitted long ago, so the first poll waits for nothing. Raises `Ambiguous` where the vendor
        does not know the job, or patience ended first: `request_id` stands for it all the same.
        """
        self.callback()  # an earlier run's job is listened for too
        receiver = self._account.receiver if self._job.callback else None
        inbox = receiver.inbox(self._spec.name, job_id) if receiver else None
        began_s = self._clock.monotonic()
        try:
            ended, response = await self._wait(job_id, inbox, at_once)
            if not at_once:
                response = replace(response, latency_ms=round((self._clock.monotonic() - began_s) * 1000))
            return ended, response
        finally:
            if receiver:
                receiver.close(self._spec.name, job_id)

    async def _wait(
        self, job_id: str, inbox: Inbox | None, at_once: bool
    ) -> tuple[ResponseMeaning | None, VendorResponse]:
        poll, called = self._job.poll, self._job.callback
        gives_up_at = self._clock.monotonic() + poll.patience_s
        pauses = _pauses(poll)
        if inbox is not None and called is not None and not at_once:
            wait_s = called.wait_s
        else:
            wait_s = 0.0 if at_once else next(pauses)
        while True:
            left_s = gives_up_at - self._clock.monotonic()
            if left_s <= 0:
                raise Ambiguous(f"{self._spec.name}: the job was not done in time; a later run fetches its result")
            delivered = await self._delivered(inbox, min(wait_s, left_s))
            response = delivered or await self._polled(job_id)
            wait_s = next(pauses)
            row = matching_row(poll.status, response.status, response.body) if response is not None else None
            if response is None or (row is None and delivered is not None):
                continue  # not reached, or a delivery that says nothing: a poll will
            if row is None or row.verdict not in _AGAIN:
                return self._ended(row.verdict if row is not None else "ambiguous", response), response
            wait_s = getattr(row, "wait_s", None) or wait_s

    async def _delivered(self, inbox: Inbox | None, wait_s: float) -> VendorResponse | None:
        """What the vendor delivered within `wait_s`, as if it had been polled for."""
        if inbox is None:
            await self._clock.sleep(wait_s)
            return None
        body, time_up = asyncio.ensure_future(inbox.get()), asyncio.ensure_future(self._clock.sleep(wait_s))
        try:
            await asyncio.wait({body, time_up}, return_when=asyncio.FIRST_COMPLETED)
            return VendorResponse(200, {}, body.result(), 0) if body.done() else None
        finally:
            body.cancel()
            time_up.cancel()

    async def _polled(self, job_id: str) -> VendorResponse | None:
        """None where the vendor was not reached: the job goes on without us."""
        name = quote(job_id, safe="")
        query = {key: text.replace("{job_id}", job_id) for key, text in self._job.poll.query.items()}
        outgoing = OutgoingRequest("GET", self._job.poll.path.replace("{job_id}", name), query)
        try:
            return await self._wire.send(outgoing)
        except CallError:
            return None

    def _ended(self, verdict: str, response: VendorResponse) -> ResponseMeaning | None:
        if verdict == "hit":
            return None
        code = error_code(self._spec, response.body)
        if verdict not in _REST:
            said = f"HTTP {response.status}, {code}" if code else f"HTTP {response.status}"
            why = f"{self._spec.name}: the job's result can't be read ({said})"
            raise Ambiguous(why, code=code, status=response.status)
        credits = credits_of(self._spec, response.headers, response.body)
        charged = self._spec.price.per_call_usd if verdict == "miss" else Decimal(0)
        return ResponseMeaning(_REST[verdict], None, (), charged, code, credits)


def _pauses(poll: JobPoll) -> Iterator[float]:
    """In seconds, without end."""
    pause_s = poll.every_s
    while True:
        yield pause_s
        pause_s = max(poll.every_s, min(poll.longest_s, pause_s * poll.backoff))
