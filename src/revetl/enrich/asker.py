"""Puts many questions to one provider: money reserved, intent durable, then the call, then its outcome.

Only `Asker.run` touches the database, between answers and never while another statement runs; the calls themselves
are tasks that never do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice

from revetl.clock import Clock
from revetl.enrich.admission import Admission, Ended, Job, RunLedger
from revetl.enrich.budget import Limit
from revetl.enrich.outcomes import answered, why
from revetl.enrich.query import Question
from revetl.enrich.report import ProviderReport
from revetl.errors import Ambiguous, CallError, Denied, Rejected, WarehouseError
from revetl.providers.base import Answer, Lookup, Provider, Reply
from revetl.providers.spec import ProviderSpec
from revetl.state.calls import CallOutcome, append_submitted
from revetl.state.values import ValueRow

CHUNK_CALLS = 200  # the most whose intents are one transaction
FLUSH_CALLS = 200
FLUSH_S = 1.0
UNAVAILABLE_IN_A_ROW = 20  # requests; then the provider is left alone for the rest of the run


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


class Asker:
    """One provider, for one stage of one run.

    `interpret` turns an answer into rows of values. `admission` sets money aside with each call for what its answer may
    make necessary (verification); `keep_hold` says whether an answer does. What is kept adds up in `held_usd` of the
    run's budget, and is the caller's to release. Once `stop_event` is set no call leaves any more.
    """

    def __init__(
        self,
        ledger: RunLedger,
        admission: Admission,
        provider: Provider,
        terms: ProviderSpec,
        report: ProviderReport,
        *,
        interpret: Callable[[Job, Answer, datetime], list[ValueRow]],
        keep_hold: Callable[[Sequence[ValueRow]], bool] = lambda _: False,
        on_suppressed: Callable[[Question], None] = lambda _: None,
        on_flush: Callable[[], None] = lambda: None,
        stop_event: asyncio.Event | None = None,
    ) -> None:
        self._ledger = ledger
        self._warehouse = ledger.warehouse
        self._clock: Clock = ledger.clock
        self._budget = ledger.budget
        self._admission = admission
        self._provider = provider
        self._report = report
        self._interpret = interpret
        self._keep_hold = keep_hold
        self._on_suppressed = on_suppressed
        self._on_flush = on_flush
        self._free_slots = asyncio.Semaphore(terms.at_once)
        # Enough intents ahead to keep every slot busy while the next are written, and few to be in doubt after a crash.
        self._chunk = min(CHUNK_CALLS, 2 * terms.at_once)
        self._batch = provider.batch_size
        self._at_once = terms.at_once
        self._sent: asyncio.Queue[Sent | Submitted] = asyncio.Queue()
        self._request_ids: dict[str, str] = {}
        self._one_by_one = terms.job is not None
        self._unnamed: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: list[Ended] = []
        self._suppressed: list[Question] = []
        self._unavailable = 0
        self._failure: Exception | None = None
        self._stop_event = stop_event or asyncio.Event()
        self._closing = False
        self._may_ask = True  # False: a shared budget is spent as far as was written down
        self._flushed_at = self._clock.monotonic()
        self.held_usd = Decimal(0)
        self.out_of_budget = False
        self.elsewhere = 0  # questions that other runs asked first
        self.refused: Limit | None = None
        self.denied: str | None = None
        self.gave_up: str | None = None

    async def run(self, questions: Iterator[Question]) -> None:
        """Until there are no questions, no money, or no provider. A question comes back as exactly one outcome row.

        Cancelled, it writes what is known: answers that came, calls that may have been charged as in doubt. After a
        WarehouseError nothing can be written, and the next run finds the open intents.
        """
        waiting: list[Question] = []
        more = True
        try:
            while True:
                room = self._room
                if more and self._may_ask and not self._stopped and room > 0:
                    waiting += islice(questions, max(0, room - len(waiting)))
                    more = bool(waiting)
                    await self._launch(waiting, room)
                if not self._tasks and self._sent.empty():
                    if self._unwritten:
                        self._flush()  # what these did not cost is free for others, and for us
                        continue
                    if more and not waiting and not self._stopped:
                        continue  # all that was read just now is asked by other runs
                    # Nothing under way, so no reservation will come back: what could not be reserved never can.
                    self.out_of_budget = bool(waiting) and not self._stopped
                    break
                await self._collect()
                self._flush_when_due()
            self._flush()
        except WarehouseError:
            await self._abandon()
            raise
        except BaseException:
            await self._abandon()
            self._drain()
            self._flush()
            raise
        if self._failure is not None:
            raise self._failure

    @property
    def _stopped(self) -> bool:
        return bool(self._closing or self._stop_event.is_set() or self.denied or self.gave_up or self._failure)

    @property
    def _room(self) -> int:
        """How many more questions may be let go now."""
        if self._one_by_one and self._unnamed:
            # A job that has left and is not named yet is what a crash loses: never more than one at a time.
            return 0
        if self._one_by_one and len(self._tasks) < self._at_once:
            return self._batch
        if self._batch > 1:
            # Only batches that leave at once: a waiting one with its intents is a hundred calls in doubt after a crash.
            return (self._at_once - len(self._tasks)) * self._batch
        return self._chunk if len(self._tasks) <= self._chunk else 0

    async def _launch(self, waiting: list[Question], room: int) -> None:
        """Lets go as many as are admitted; those that there is no money for now stay in `waiting`."""
        admitted = await self._admission.admit(waiting[:room])
        jobs = admitted.jobs
        # What another run asks is not ours any more; its answer is waited for when all else is asked.
        gone = {job.question.request_hash for job in jobs} | {q.request_hash for q in admitted.elsewhere}
        waiting[:] = [question for question in waiting if question.request_hash not in gone]
        self.elsewhere += len(admitted.elsewhere)
        self.refused = admitted.refused
        self._may_ask = admitted.refused is None
        self._unnamed |= {job.call.call_id for job in jobs}
        for first in range(0, len(jobs), self._batch):
            task = asyncio.create_task(self._call(jobs[first : first + self._batch]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call(self, jobs: Sequence[Job]) -> None:
        """One request. Whatever happens, exactly one `Sent` is put for each of `jobs`."""
        left = False
        replies: Sequence[Reply] = ()
        error: Exception | None = None
        try:
            async with self._free_slots:
                if not self._stopped:
                    left = True
                    replies = await self._replies(jobs)
        except Exception as e:  # noqa: BLE001 - judged, and raised again where it is not a CallError, by _settle
            error = e
        finally:
            now = self._clock.now()
            for i, job in enumerate(jobs):
                reply = replies[i] if i < len(replies) else error
                if isinstance(reply, Denied):
                    # Here and not when it is settled: the next call would leave before that.
                    self.denied = self.denied or str(reply)
                sent = Sent(job, left, now, reply) if isinstance(reply, Answer) else Sent(job, left, now, error=reply)
                self._sent.put_nowait(sent)

    async def _replies(self, jobs: Sequence[Job]) -> Sequence[Reply]:
        lookups = [Lookup(job.question.inputs, job.question.request_hash) for job in jobs]
        if self._batch == 1:
            return [await self._provider.ask(lookups[0])]

        by_ref = {job.question.request_hash: job for job in jobs}

        async def note(request_id: str, taken: Sequence[Lookup]) -> None:
            submitted = Submitted([by_ref[lookup.ref] for lookup in taken], request_id, asyncio.Event())
            self._sent.put_nowait(submitted)
            await submitted.durable.wait()

        replies = await self._provider.ask_many(lookups, note)
        if len(replies) != len(lookups):
            raise RuntimeError(f"{self._provider.name} gave {len(replies)} replies to {len(lookups)} lookups")
        return replies

    async def _collect(self) -> None:
        """Waits for an answer, at most until the next flush is due, and takes in all that have come."""
        try:
            first = await asyncio.wait_for(self._sent.get(), FLUSH_S)
        except TimeoutError:
            return
        self._settle(first)
        self._drain()
        # A finished task leaves `_tasks` in a callback of the loop, after its answer is in the queue.
        await asyncio.sleep(0)

    def _drain(self) -> None:
        while not self._sent.empty():
            self._settle(self._sent.get_nowait())

    def _settle(self, sent: Sent | Submitted) -> None:
        """The one place where what happened becomes an outcome, money and values."""
        if isinstance(sent, Submitted):
            append_submitted(self._warehouse, [job.call for job in sent.jobs], sent.request_id)
            self._request_ids |= {job.call.call_id: sent.request_id for job in sent.jobs}
            self._unnamed -= self._request_ids.keys()
            sent.durable.set()
            return
        self._unnamed.discard(sent.job.call.call_id)
        values: list[ValueRow] = []
        if sent.answer is not None:
            values = self._interpret(sent.job, sent.answer, sent.at) if sent.answer.status == "hit" else []
            outcome = self._answered(sent, sent.answer)
            self._unavailable = 0
        else:
            outcome = self._unanswered(sent)
        reserved, hold = sent.job.call.expected_usd, self._admission.hold_usd
        if outcome.charged_usd is None:
            self._budget.doubt(reserved)
            self._report.in_doubt += 1
            self._report.in_doubt_usd += reserved
        else:
            self._budget.settle(reserved, outcome.charged_usd)
            self._report.spent_usd += outcome.charged_usd
        keeps_hold = self._keep_hold(values)
        if keeps_hold:
            self.held_usd += hold
        else:
            self._budget.release(hold)
        self._report.asked += sent.left
        self._unwritten.append(Ended(sent.job, outcome, values, keeps_hold))

    def _answered(self, sent: Sent, answer: Answer) -> CallOutcome:
        status = answer.status
        if status == "suppressed":
            self._suppressed.append(sent.job.question)
            status = "error"
        self._report.hits += status == "hit"
        self._report.misses += status == "miss"
        self._report.errors += answer.status == "error"
        # A person who asked to be forgotten is not kept in the ledger's copy of the answer either.
        response = None if answer.status == "suppressed" else answer.response
        return answered(status, answer, sent.at, response, self._request_ids.get(sent.job.call.call_id))

    def _unanswered(self, sent: Sent) -> CallOutcome:
        error = sent.error
        if not sent.left:
            return CallOutcome("error", sent.at, charged_usd=Decimal(0), response={"error": "not_sent"})
        if error is None or not isinstance(error, CallError) or isinstance(error, Ambiguous):
            # Interrupted, or a fault of ours: the provider may have done it.
            if error is not None and not isinstance(error, CallError):
                self._failure = error
            request_id = self._request_ids.get(sent.job.call.call_id)
            return CallOutcome("in_doubt", sent.at, response=why(error), request_id=request_id)
        self._report.errors += 1
        if isinstance(error, Rejected):
            return CallOutcome("error", sent.at, error.status or 400, Decimal(0), response=why(error))
        if not isinstance(error, Denied):
            self._unavailable += 1
            if self._unavailable >= UNAVAILABLE_IN_A_ROW * self._batch:
                self.gave_up = str(error)
        return CallOutcome("error", sent.at, charged_usd=Decimal(0), response=why(error))

    def _flush_when_due(self) -> None:
        if len(self._unwritten) >= FLUSH_CALLS or self._clock.monotonic() - self._flushed_at >= FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        """Outcomes and the values that came with them, in one transaction."""
        if self._unwritten:
            with self._warehouse.transaction():
                self._ledger.write(self._unwritten)
                for question in self._suppressed:
                    self._on_suppressed(question)
            self._unwritten, self._suppressed = [], []
            self._may_ask = True
        self._flushed_at = self._clock.monotonic()
        self._on_flush()

    async def _abandon(self) -> None:
        """Stops every call; each still puts its `Sent`."""
        self._closing = True
        # A task that is cancelled before its first step never runs at all, and would put nothing.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
