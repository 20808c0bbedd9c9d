"""Calls in flight to one provider: tasks that never touch the database, and report what became of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from revetl.clock import Clock
from revetl.enrich.execution.run_ledger import ReservedCall
from revetl.errors import Denied
from revetl.providers.base import Answer, Lookup, Provider, Reply

log = logging.getLogger("revetl.enrich")


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call. `left`: it may have reached the provider. There is one of answer and error, or neither where
    the call was stopped."""

    reserved: ReservedCall
    left: bool
    at: datetime
    answer: Answer | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class SubmittedLookup:
    """The vendor has taken these calls as one job. The task goes on when `durable` is set: when the job's id is
    written."""

    calls: Sequence[ReservedCall]
    request_id: str
    durable: asyncio.Event


class InFlightCalls:
    """At most so many requests at a time as the provider's file says.

    Whatever happens, exactly one `CallResult` per call is put into `results`, and a `SubmittedLookup` before it where
    the vendor takes jobs. Once `stopped()` is true no request leaves any more.
    """

    def __init__(
        self,
        provider: Provider,
        at_once: int,
        clock: Clock,
        results: asyncio.Queue[CallResult | SubmittedLookup | None],
        stopped: Callable[[], bool],
        takes_jobs: bool = False,
    ) -> None:
        self._provider = provider
        self._takes_jobs = takes_jobs
        self._clock = clock
        self._results = results
        self._stopped = stopped
        self._free_slots = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self.denied: str | None = None

    def __len__(self) -> int:
        """Requests in flight, or waiting for a slot."""
        return len(self._tasks)

    def start(self, calls: Sequence[ReservedCall]) -> None:
        """One request for all of them."""
        task = asyncio.create_task(self._request(calls))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        """Ends every request; each call still gets its result."""
        # A task that is cancelled before its first step never runs at all, and would report nothing.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _request(self, calls: Sequence[ReservedCall]) -> None:
        left = False
        replies: Sequence[Reply] = ()
        error: Exception | None = None
        try:
            async with self._free_slots:
                if not self._stopped():
                    left = True
                    replies = await self._replies(calls)
        except Exception as e:  # noqa: BLE001 - in the result of each call; what is no CallError is raised from there
            error = e
        finally:
            now = self._clock.now()
            if left:
                said = {"provider": self._provider.name, "run_id": calls[0].call.run_id, "lookups": len(calls)}
                log.debug("provider call ended", extra={**said, "answers": len(replies), "failed": error is not None})
            for i, reserved in enumerate(calls):
                reply = replies[i] if i < len(replies) else error
                if isinstance(reply, Denied):
                    # Here, and not when the result is read: the next request would leave before that.
                    self.denied = self.denied or str(reply)
                if isinstance(reply, Answer):
                    self._results.put_nowait(CallResult(reserved, left, now, reply))
                else:
                    self._results.put_nowait(CallResult(reserved, left, now, error=reply))

    async def _replies(self, calls: Sequence[ReservedCall]) -> Sequence[Reply]:
        lookups = [Lookup(reserved.question.inputs, reserved.question.request_hash) for reserved in calls]
        if self._provider.batch_size == 1 and not self._takes_jobs:
            return [await self._provider.ask(lookups[0])]
        by_ref = {reserved.question.request_hash: reserved for reserved in calls}

        async def submitted(request_id: str, taken: Sequence[Lookup]) -> None:
            job = SubmittedLookup([by_ref[lookup.ref] for lookup in taken], request_id, asyncio.Event())
            self._results.put_nowait(job)
            await job.durable.wait()

        replies = await self._provider.ask_many(lookups, submitted)
        if len(replies) != len(lookups):
            raise RuntimeError(f"{self._provider.name} gave {len(replies)} replies to {len(lookups)} lookups")
        return replies
