"""The declarative provider: asks one vendor endpoint as its spec says; every answer becomes an `Answer` or an error.

What may be repeated is decided by the spec's status table alone. Rows that need no look into the body are given to the
HTTP session: it keeps the rate limit, waits at its gate after a throttle, and repeats what was certainly not processed.
A request that may have been charged and whose answer is lost raises `Ambiguous` and is never repeated from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Self

from revetl.clock import Clock
from revetl.errors import Ambiguous, CallError, Unavailable
from revetl.http import Transport
from revetl.providers.base import Answer, Lookup, OnRequestId, Reply
from revetl.providers.engine.account import Account
from revetl.providers.engine.answers import VendorResponse, answer, error
from revetl.providers.engine.jobs import JobResults
from revetl.providers.engine.json_data import is_job_id, value_at
from revetl.providers.engine.reading import ResponseMeaning, meaning_under, read
from revetl.providers.engine.records import all_alike, read_records, render_batch
from revetl.providers.engine.rendering import OutgoingRequest, UnusableInput, render
from revetl.providers.engine.wire import THROTTLE_PATIENCE_S, EndpointWire
from revetl.providers.grammar import BatchRequest, ProviderSpec, StatusRow

# What is never true of a whole batch: it is halved until the lookup that it was about stands alone. After so many
# refusals the rest is left for a later run, since some vendors shut out whoever sends many bad requests.
_OF_ONE = ("bad_input", "suppressed")
MOST_REFUSALS = 16
# The word for a lookup whose inputs the request can't hold.
UNUSABLE_INPUT = "unusable_input"


class DeclarativeProvider:
    """One endpoint under one account; implements `revetl.providers.base.Provider`.

    `base_url` is the connection's, without the endpoint's path. `account` is what it shares with the vendor's other
    endpoints, its credentials among it. `transport` takes the network's place in tests. ValueError where the account
    lacks a credential that the spec's auth needs.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        base_url: str,
        account: Account,
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        self._account = account
        self.spec = spec = account.options.limited(spec)
        if missing := account.options.missing(spec.auth):
            raise ValueError(f"the account of {spec.name} has no {', '.join(missing)}")
        self.name = spec.name
        self._clock = clock
        self._wire = EndpointWire(spec, spec.status, base_url, account, clock, transport=transport)
        self._wires = [self._wire]
        self._jobs: JobResults | None = None
        if (job := spec.job) is not None:
            rows = job.poll.status
            polls = EndpointWire(spec, rows, base_url, account, clock, idempotent=True, transport=transport)
            self._wires.append(polls)
            self._jobs = JobResults(spec, job, polls, account, clock)
        self._open = AsyncExitStack()

    def __repr__(self) -> str:
        return f"DeclarativeProvider({self.name!r})"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._account)
            for wire in self._wires:
                await stack.enter_async_context(wire)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, throttled ones and polls included."""
        return sum(wire.requests for wire in self._wires)

    @property
    def batch_size(self) -> int:
        return self.spec.batch.size if self.spec.batch is not None else 1

    async def ask(self, lookup: Lookup) -> Answer:
        """One question, at most one charge. See `Provider.ask` for what is raised.

        ValueError where `spec.can_ask` says no to these inputs: the caller should have known.
        """
        if self.spec.batch is not None:
            reply: Reply = (await self.ask_many([lookup]))[0]
        else:
            reply = await self._reply(lookup, None)
        if isinstance(reply, CallError):
            raise reply
        return reply

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> Sequence[Reply]:
        """See `Provider.ask_many`. ValueError as `ask`, and for more lookups than fit or one ref twice."""
        self._check(lookups)
        if self.spec.batch is None:
            return await asyncio.gather(*(self._reply(lookup, on_request_id) for lookup in lookups))
        if len(lookups) > self.spec.batch.size:
            raise ValueError(f"{self.name} takes {self.spec.batch.size} lookups at once, not {len(lookups)}")
        refs = [lookup.ref for lookup in lookups if lookup.ref]
        if len(set(refs)) < len(refs):
            raise ValueError(f"{self.name}: one ref stands for two lookups")
        return await self._ask_batch(self.spec.batch, lookups, on_request_id, _RefusalCount())

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> Sequence[Reply]:
        """See `Provider.resume`."""
        batch = self.spec.batch
        if self._jobs is None:
            raise Ambiguous(f"{self.name} has no jobs whose result could be fetched")
        if batch is None and len(lookups) != 1:
            raise Ambiguous(f"{self.name}: a job of one question stands for {len(lookups)}")
        rest, response = await self._jobs.result(request_id, at_once=True)
        if batch is None:
            return [self._read_result(lookups[0], rest, response)]
        return read_records(self.spec, batch, lookups, response, rest)

    def _check(self, lookups: Sequence[Lookup]) -> None:
        for lookup in lookups:
            if not self.spec.can_ask(lookup.inputs):
                raise ValueError(f"{self.name} can't be asked with the inputs {sorted(lookup.inputs)}")

    async def _reply(self, lookup: Lookup, on_request_id: OnRequestId | None) -> Reply:
        """Of one question that is sent alone."""
        self._check([lookup])
        try:
            outgoing = render(self.spec, lookup.inputs, self._jobs.callback() if self._jobs is not None else None)
        except UnusableInput as e:
            # Nothing was sent. It will not be taken at another time either.
            return Answer("error", 0, response={"error": str(e)}, error_code=UNUSABLE_INPUT)
        try:
            meaning, response = await self._asked(outgoing, lookup.inputs)
            if meaning.verdict != "submitted":
                return answer(self.name, meaning, response)
            rest, response = await self._result_of([lookup], meaning, response, on_request_id)
        except CallError as e:
            return e
        return self._read_result(lookup, rest, response)

    def _read_result(self, lookup: Lookup, rest: ResponseMeaning | None, response: VendorResponse) -> Reply:
        """Of a job that is about one question."""
        if rest is None:
            rest = meaning_under(self.spec, "hit", None, response.headers, response.body, lookup.inputs)
        return answer(self.name, rest, response)

    async def _result_of(
        self,
        lookups: Sequence[Lookup],
        meaning: ResponseMeaning,
        response: VendorResponse,
        on_request_id: OnRequestId | None,
    ) -> tuple[ResponseMeaning | None, VendorResponse]:
        """The answer that a job comes to, once its id is durable. `response` is to its submission."""
        if self._jobs is None or self.spec.job is None:
            raise RuntimeError(f"{self.name} takes no jobs")
        job_id = value_at(response.body, self.spec.job.id)
        if not is_job_id(job_id):
            raise error(self.name, Ambiguous, "the job was taken but not named", meaning, response)
        if on_request_id is not None:
            await on_request_id(str(job_id), lookups)
        return await self._jobs.result(str(job_id))

    async def _ask_batch(
        self, batch: BatchRequest, lookups: Sequence[Lookup], on_request_id: OnRequestId | None, refusals: _RefusalCount
    ) -> Sequence[Reply]:
        callback = self._jobs.callback() if self._jobs is not None else None
        meaning, response = await self._asked(render_batch(self.spec, batch, lookups, callback))
        if meaning.verdict in _OF_ONE and len(lookups) > 1:
            return await self._halves(batch, lookups, on_request_id, refusals, meaning, response)
        if meaning.verdict not in ("hit", "submitted"):
            replies = all_alike(self.spec, lookups, meaning, response)
            if isinstance(replies[0], CallError):
                raise replies[0]
            return replies
        if self._jobs is None:
            return read_records(self.spec, batch, lookups, response)
        rest, response = await self._result_of(lookups, meaning, response, on_request_id)
        return read_records(self.spec, batch, lookups, response, rest)

    async def _halves(
        self,
        batch: BatchRequest,
        lookups: Sequence[Lookup],
        on_request_id: OnRequestId | None,
        refusals: _RefusalCount,
        meaning: ResponseMeaning,
        response: VendorResponse,
    ) -> Sequence[Reply]:
        """The batch asked again as two, since a refusal is about one of its lookups and nobody knows which. Nothing was
        charged. A half that fails as a whole is a failure of its lookups only."""
        refusals.number += 1
        if refusals.number > MOST_REFUSALS:
            what = "batches are refused again and again for what is in them"
            return [error(self.name, Unavailable, what, meaning, response)] * len(lookups)

        async def replies_of(half: Sequence[Lookup]) -> Sequence[Reply]:
            try:
                return await self._ask_batch(batch, half, on_request_id, refusals)
            except CallError as e:
                return [e] * len(half)

        middle = len(lookups) // 2
        first, second = await asyncio.gather(replies_of(lookups[:middle]), replies_of(lookups[middle:]))
        return [*first, *second]

    async def _asked(
        self, outgoing: OutgoingRequest, inputs: Mapping[str, str] | None = None
    ) -> tuple[ResponseMeaning, VendorResponse]:
        """The answer to one request, waits included. It is not idempotent: a second answer may be a second charge."""
        attempts, throttled_s = 0, 0.0
        while True:
            response = await self._wire.send(outgoing)
            meaning = read(self.spec, response.status, response.headers, response.body, inputs)
            row = meaning.row
            if isinstance(row, StatusRow) and meaning.verdict == "slow_down":
                # Only a look into the body could tell: the session's gate does not know of it.
                throttled_s += row.wait_s
                if throttled_s > THROTTLE_PATIENCE_S:
                    raise error(self.name, Unavailable, "told to slow down for too long", meaning, response)
                await self._clock.sleep(row.wait_s)
            elif isinstance(row, StatusRow) and meaning.verdict == "in_progress":
                attempts += 1
                if attempts >= row.attempts:
                    headers, body = response.headers, response.body
                    return meaning_under(self.spec, row.then, row, headers, body, inputs), response
                await self._clock.sleep(row.wait_s)
            else:
                return meaning, response


class _RefusalCount:
    """How often one `ask_many` was refused for its input."""

    def __init__(self) -> None:
        self.number = 0
