"""Calls under way to one provider: tasks that never touch the database and report what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from revetl.clock import Clock
from revetl.enrich.execution.admission import Job
from revetl.errors import Denied
from revetl.providers.base import Answer, Lookup, Provider, Reply


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a job. `left`: whether the call may have reached the provider. One of answer and error, or neither
    where it was stopped."""

    job: Job
    left: bool
    at: datetime
    answer: Answer | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that the vendor has taken. Its task waits for `durable`."""

    jobs: Sequence[Job]
    request_id: str
    durable: asyncio.Event


class Calls:
    """At most `at_once` requests at a time; `report` gets exactly one `Sent` per job whatever happens, and a
    `Submitted` before it where the vendor takes jobs. While `stopped()` no request leaves."""

    def __init__(
        self,
        provider: Provider,
        at_once: int,
        clock: Clock,
        report: Callable[[Sent | Submitted], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._report = report
        self._stopped = stopped
        self._free_slots = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self.denied: str | None = None

    def __len__(self) -> int:
        """Requests under way, or waiting for a slot."""
        return len(self._tasks)

    def start(self, jobs: Sequence[Job]) -> None:
        """One request for all of them."""
        task = asyncio.create_task(self._call(jobs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def abandon(self) -> None:
        """Stops every call; each still reports its `Sent`."""
        # A task that is cancelled before its first step never runs at all, and would report nothing.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, jobs: Sequence[Job]) -> None:
        left = False
        replies: Sequence[Reply] = ()
        error: Exception | None = None
        try:
            async with self._free_slots:
                if not self._stopped():
                    left = True
                    replies = await self._replies(jobs)
        except Exception as e:  # noqa: BLE001 - reported for each job; raised when settled, if no CallError
            error = e
        finally:
            now = self._clock.now()
            for i, job in enumerate(jobs):
                reply = replies[i] if i < len(replies) else error
                if isinstance(reply, Denied):
                    # Here and not when it is settled: the next call would leave before that.
                    self.denied = self.denied or str(reply)
                sent = Sent(job, left, now, reply) if isinstance(reply, Answer) else Sent(job, left, now, error=reply)
                self._report(sent)

    async def _replies(self, jobs: Sequence[Job]) -> Sequence[Reply]:
        lookups = [Lookup(job.question.inputs, job.question.request_hash) for job in jobs]
        if self._provider.batch_size == 1:
            return [await self._provider.ask(lookups[0])]

        by_ref = {job.question.request_hash: job for job in jobs}

        async def note(request_id: str, taken: Sequence[Lookup]) -> None:
            submitted = Submitted([by_ref[lookup.ref] for lookup in taken], request_id, asyncio.Event())
            self._report(submitted)
            await submitted.durable.wait()

        replies = await self._provider.ask_many(lookups, note)
        if len(replies) != len(lookups):
            raise RuntimeError(f"{self._provider.name} gave {len(replies)} replies to {len(lookups)} lookups")
        return replies
