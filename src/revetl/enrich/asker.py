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
from revetl.enrich.budget import Budget
from revetl.enrich.questions import Question
from revetl.enrich.report import ProviderReport
from revetl.errors import Ambiguous, CallError, Denied, Rejected, WarehouseError
from revetl.providers.base import Answer, Lookup, Provider
from revetl.providers.spec import ProviderSpec
from revetl.state.calls import Call, CallOutcome, append_intents, append_outcomes
from revetl.state.values import ValueRow, append_values
from revetl.warehouse.base import Warehouse

CHUNK_CALLS = 200  # the most whose intents are one transaction
FLUSH_CALLS = 200
FLUSH_S = 1.0
UNAVAILABLE_IN_A_ROW = 20  # then the provider is left alone for the rest of the run


@dataclass(frozen=True, slots=True)
class Job:
    """A question with its row in the ledger."""

    question: Question
    call: Call


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a job. `left`: whether the call may have reached the provider. One of answer and error, or neither
    where it was stopped."""

    job: Job
    left: bool
    at: datetime
    answer: Answer | None = None
    error: Exception | None = None


class Asker:
    """One provider, for one stage of one run.

    `interpret` turns an answer into rows of values. `hold_usd` is reserved with each call, on top of its greatest
    price, for what its answer makes necessary (verification); `keep_hold` says whether an answer does. What is kept
    adds up in `held_usd` and is the caller's to release.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        clock: Clock,
        budget: Budget,
        provider: Provider,
        terms: ProviderSpec,
        report: ProviderReport,
        *,
        new_call: Callable[[Question, Decimal], Call],
        interpret: Callable[[Job, Answer, datetime], list[ValueRow]],
        keep_hold: Callable[[Sequence[ValueRow]], bool] = lambda _: False,
        on_suppressed: Callable[[Question], None] = lambda _: None,
        on_flush: Callable[[], None] = lambda: None,
        hold_usd: Decimal = Decimal(0),
    ) -> None:
        self._warehouse = warehouse
        self._clock = clock
        self._budget = budget
        self._provider = provider
        self._price = terms.greatest_usd
        self._report = report
        self._new_call = new_call
        self._interpret = interpret
        self._keep_hold = keep_hold
        self._on_suppressed = on_suppressed
        self._on_flush = on_flush
        self._hold = hold_usd
        self._free_slots = asyncio.Semaphore(terms.limits.concurrency)
        # Enough intents ahead to keep every slot busy while the next are written, and few to be in doubt after a crash.
        self._chunk = min(CHUNK_CALLS, 2 * terms.limits.concurrency)
        self._sent: asyncio.Queue[Sent] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: list[tuple[Call, CallOutcome]] = []
        self._unwritten_values: list[ValueRow] = []
        self._suppressed: list[Question] = []
        self._unavailable = 0
        self._failure: Exception | None = None
        self._closing = False
        self._flushed_at = clock.monotonic()
        self.held_usd = Decimal(0)
        self.out_of_budget = False
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
                if more and not self._stopped and len(self._tasks) <= self._chunk:
                    waiting += islice(questions, self._chunk - len(waiting))
                    more = bool(waiting)
                    await self._launch(waiting)
                if not self._tasks and self._sent.empty():
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
        return bool(self._closing or self.denied or self.gave_up or self._failure)

    async def _launch(self, waiting: list[Question]) -> None:
        """Reserves for as many as fit, makes their intents durable, lets them go; the others stay in `waiting`."""
        jobs: list[Job] = []
        while waiting and self._budget.reserve(self._price + self._hold):
            question = waiting.pop(0)
            jobs.append(Job(question, self._new_call(question, self._price)))
        if not jobs:
            return
        append_intents(self._warehouse, [job.call for job in jobs])
        for job in jobs:
            task = asyncio.create_task(self._call(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call(self, job: Job) -> None:
        """One call. Whatever happens, exactly one `Sent` is put."""
        left = False
        answer: Answer | None = None
        error: Exception | None = None
        try:
            async with self._free_slots:
                if not self._stopped:
                    left = True
                    answer = await self._provider.ask(Lookup(job.question.inputs))
        except Exception as e:  # noqa: BLE001 - judged, and raised again where it is not a CallError, by _settle
            error = e
            if isinstance(e, Denied):
                # Here and not when it is settled: the next call would leave before that.
                self.denied = self.denied or str(e)
        finally:
            self._sent.put_nowait(Sent(job, left, self._clock.now(), answer, error))

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

    def _settle(self, sent: Sent) -> None:
        """The one place where what happened becomes an outcome, money and values."""
        values: list[ValueRow] = []
        if sent.answer is not None:
            values = self._interpret(sent.job, sent.answer, sent.at) if sent.answer.status == "hit" else []
            outcome = self._answered(sent, sent.answer)
            self._unavailable = 0
        else:
            outcome = self._unanswered(sent)
        reserved = sent.job.call.expected_usd
        if outcome.charged_usd is None:
            self._budget.doubt(reserved)
            self._report.in_doubt += 1
            self._report.in_doubt_usd += reserved
        else:
            self._budget.settle(reserved, outcome.charged_usd)
            self._report.spent_usd += outcome.charged_usd
        if self._keep_hold(values):
            self.held_usd += self._hold
        else:
            self._budget.release(self._hold)
        self._report.asked += sent.left
        self._unwritten.append((sent.job.call, outcome))
        self._unwritten_values += values

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
        return CallOutcome(status, sent.at, answer.http_status, answer.charged_usd, answer.latency_ms, response)

    def _unanswered(self, sent: Sent) -> CallOutcome:
        error = sent.error
        if not sent.left:
            return CallOutcome("error", sent.at, charged_usd=Decimal(0), response={"error": "not_sent"})
        if error is None or not isinstance(error, CallError) or isinstance(error, Ambiguous):
            # Interrupted, or a fault of ours: the provider may have done it.
            if error is not None and not isinstance(error, CallError):
                self._failure = error
            return CallOutcome("in_doubt", sent.at, response=_why(error))
        self._report.errors += 1
        if isinstance(error, Rejected):
            return CallOutcome("error", sent.at, error.status or 400, Decimal(0), response=_why(error))
        if not isinstance(error, Denied):
            self._unavailable += 1
            if self._unavailable >= UNAVAILABLE_IN_A_ROW:
                self.gave_up = str(error)
        return CallOutcome("error", sent.at, charged_usd=Decimal(0), response=_why(error))

    def _flush_when_due(self) -> None:
        if len(self._unwritten) >= FLUSH_CALLS or self._clock.monotonic() - self._flushed_at >= FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        """Outcomes and the values that came with them, in one transaction."""
        if self._unwritten:
            with self._warehouse.transaction():
                append_outcomes(self._warehouse, self._unwritten)
                append_values(self._warehouse, self._unwritten_values)
                for question in self._suppressed:
                    self._on_suppressed(question)
            self._unwritten, self._unwritten_values, self._suppressed = [], [], []
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


def _why(error: Exception | None) -> dict[str, object]:
    """For the ledger: the class and the vendor's words for it, never a message, which may quote a value."""
    if error is None:
        return {"error": "interrupted"}
    found: dict[str, object] = {"error": type(error).__name__}
    if isinstance(error, CallError):
        found |= {"code": error.code, "status": error.status}
    return found
