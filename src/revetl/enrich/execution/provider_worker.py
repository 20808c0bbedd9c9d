"""Asks one provider for as long as a run lasts: money reserved, intent durable, then the call, then its outcome.

Questions come while others are still in flight, so that the provider is never idle between two sets of them. Only
`ProviderWorker.work` writes to the database, between answers and never while another statement runs; the calls
themselves are tasks that never do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal

from revetl.enrich.execution.admission import Admission
from revetl.enrich.execution.answer_spool import KeptAnswer
from revetl.enrich.execution.answers import AnswerHandler
from revetl.enrich.execution.disk_room import DiskRoom
from revetl.enrich.execution.in_flight import CallResult, InFlightCalls, SubmittedLookup
from revetl.enrich.execution.outcomes import OutcomeRecorder
from revetl.enrich.execution.question_queue import QuestionQueue, QuestionSet
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import RunLedger
from revetl.enrich.limits import BudgetLimit
from revetl.enrich.selection.identities import identities_of
from revetl.enrich.selection.question import Question
from revetl.errors import WarehouseError

CHUNK_CALLS = 200  # the most whose intents are one transaction
WRITE_CALLS = 200
WRITE_S = 1.0


class ProviderWorker:
    """One provider in one run. `work` is to be a task; meanwhile questions are put in, and `close` says that no more
    will come.

    `expected` is how many questions there will be in all, as far as can be told. When `work` has ended, `out_of_budget`
    says that money kept it from asking on, and `refused_by` which shared limit did.
    """

    def __init__(
        self,
        run: WaterfallRun,
        ledger: RunLedger,
        admission: Admission,
        provider: str,
        handler: AnswerHandler,
        disk: DiskRoom,
    ) -> None:
        connected = run.providers[provider]
        spec = connected.spec
        self._run = run
        self._provider = provider
        self._clock = run.ctx.clock
        self._admission = admission
        self._disk = disk
        # As many ahead as there are slots: they stay busy while the next intents are written, and after a crash few
        # calls are in doubt that never left.
        self._most = spec.at_once + min(CHUNK_CALLS, spec.at_once)
        self._batch = connected.batch_size
        self._at_once = spec.at_once
        self._takes_jobs = spec.job is not None
        self._unnamed: set[str] = set()  # calls of jobs that have left and whose id is not known yet
        # None: look up, something was put in.
        self._results: asyncio.Queue[CallResult | SubmittedLookup | None] = asyncio.Queue()
        self._in_flight = InFlightCalls(
            connected, spec.at_once, self._clock, self._results, lambda: self._has_stopped, self._takes_jobs
        )
        self._recorder = OutcomeRecorder(
            ledger, run.report.providers[provider], handler, admission.verification_usd, self._batch
        )
        is_list = run.entity != run.spec.entity
        self._queue = QuestionQueue(admission, identities_of(spec, run.spec.inputs) if is_list else ())
        self._failing = False
        self._flushing = False
        self._closed = False
        self._abandoned = False
        self._may_admit = True  # False: a shared budget is spent as far as was written down
        self._written_at = self._clock.monotonic()
        self.expected = 0
        self.out_of_budget = False
        self.refused_by: BudgetLimit | None = None

    @property
    def denied(self) -> str | None:
        return self._in_flight.denied

    @property
    def gave_up(self) -> str | None:
        return self._recorder.gave_up

    async def until_idle(self) -> None:
        """Until all that was put in has been read, or nothing is asked any more."""
        await self._queue.idle.wait()

    def put(self, questions: Iterator[Question]) -> QuestionSet:
        """They are read when it is their turn. Nothing of it is asked where the worker was abandoned."""
        put = QuestionSet(questions)
        if self._abandoned:
            put.done.set()
        else:
            self._queue.put(put)
            self._results.put_nowait(None)
        return put

    def flush(self) -> None:
        """Little or nothing more will be put in: a batch need not wait until it is full."""
        self._flushing = True
        self._results.put_nowait(None)

    def close(self) -> None:
        """Nothing more will be put in."""
        self._closed = True
        self.flush()

    def abandon(self) -> None:
        """Nothing is asked any more, and nobody need wait for it."""
        self._abandoned = True
        self._queue.abandon()

    async def work(self) -> None:
        """Until it is closed and all is asked, or there is no money, or no provider. Every call gets exactly one
        outcome.

        Cancelled, it writes what is known: answers that came, and as in doubt the calls that may have been charged.
        After a WarehouseError, its own or another worker's, nothing can be written: no more calls leave, those in
        flight are awaited, since they are paid for, and all that came is in `kept`.
        """
        try:
            while True:
                await self._start_calls()
                if not len(self._in_flight) and self._results.empty():
                    if self._recorder.unwritten:
                        self._write()  # what these did not cost is free for others, and for us
                        continue
                    if self._has_stopped:
                        break
                    if self._queue.waiting:
                        # Nothing is in flight, so nothing that is reserved will come back: what there is no money for
                        # now can never be paid.
                        self.out_of_budget = True
                        break
                    if self._queue.has_unread:
                        continue  # all that was read just now is asked by other runs
                    if self._closed:
                        break
                await self._collect()
                self._write_when_due()
            self._write()
        except WarehouseError:
            self._run.warehouse_failed = True
            await self._drain()
            raise
        except BaseException:
            self._failing = True
            if self._run.warehouse_failed:
                await self._drain()
                raise
            await self._in_flight.cancel()
            self._take_results()
            self._write()
            raise
        if self._recorder.failure is not None:
            raise self._recorder.failure

    @property
    def kept(self) -> list[KeptAnswer]:
        """Of calls that were paid for or may have been, what is not in the ledger."""
        return self._recorder.kept(self._admission.unsure)

    async def _drain(self) -> None:
        """Takes in what is in flight, without the database. Told to end at once, what is in flight is in doubt."""
        self._failing = True
        try:
            while len(self._in_flight) or not self._results.empty():
                self._take(await self._results.get(), durable=False)
                await asyncio.sleep(0)  # as in `_collect`
        except BaseException:
            await self._in_flight.cancel()
            raise
        finally:
            self._take_results(durable=False)

    @property
    def _has_stopped(self) -> bool:
        run, recorder = self._run, self._recorder
        told = self._failing or run.warehouse_failed or run.disk_shortage or run.ctx.stop.is_set()
        return bool(told or self.denied or recorder.gave_up or recorder.failure)

    @property
    def _room(self) -> int:
        """How many more calls may leave now."""
        in_flight = len(self._in_flight)
        if self._takes_jobs and self._unnamed:
            # A job that has left and is not named yet is what a crash loses: never more than one at a time.
            return 0
        if self._takes_jobs and in_flight < self._at_once:
            return self._batch
        if self._batch > 1:
            # Only batches that leave at once: a waiting one with its intents is a hundred calls in doubt after a crash.
            return max(0, self._at_once - in_flight) * self._batch
        return min(CHUNK_CALLS, self._most - in_flight) if in_flight <= self._at_once else 0

    async def _start_calls(self) -> None:
        """As many as are admitted; questions that there is no money for now go on waiting."""
        room = self._room
        if room <= 0 or not self._may_admit or self._has_stopped:
            return
        self._queue.read(room)
        if self._batch > 1 and len(self._in_flight) and not self._flushing:
            # While others are in flight more may come to fill a batch.
            room = min(room, self._queue.waiting) // self._batch * self._batch
        if not self._queue.waiting or not room:
            return
        # Before more leave: so never more are without an outcome than are in flight, however fast the vendor answers.
        self._write()
        if not self._queue.waiting:
            return
        if (shortage := self._disk.shortage) is not None:
            self._run.disk_shortage = shortage
            return
        admitted = await self._admission.admit(self._queue.first(room))
        for reserved in admitted.calls:
            self._queue.remove_admitted(reserved.question)
        self._queue.remove_asked_by_others(admitted.asked_by_others)
        self.refused_by = admitted.refused_by
        self._may_admit = admitted.refused_by is None
        if self._takes_jobs:
            self._unnamed |= {reserved.call.call_id for reserved in admitted.calls}
        for first in range(0, len(admitted.calls), self._batch):
            self._in_flight.start(admitted.calls[first : first + self._batch])

    async def _collect(self) -> None:
        """Waits for a result, at most until the next write is due, and takes in all that have come."""
        try:
            async with asyncio.timeout(WRITE_S if self._recorder.unwritten else None):
                first = await self._results.get()
        except TimeoutError:
            return
        self._take(first)
        self._take_results()
        # A finished task is counted as in flight until the loop runs its callback, after its result is in the queue.
        await asyncio.sleep(0)

    def _take_results(self, *, durable: bool = True) -> None:
        while not self._results.empty():
            self._take(self._results.get_nowait(), durable=durable)

    def _take(self, result: CallResult | SubmittedLookup | None, *, durable: bool = True) -> None:
        if isinstance(result, SubmittedLookup):
            try:
                self._recorder.job_submitted(result, durable=durable)
            except WarehouseError:
                self._recorder.job_submitted(result, durable=False)  # its calls wait for that
                raise
            self._unnamed.difference_update(reserved.call.call_id for reserved in result.calls)
        elif result is not None:
            self._unnamed.discard(result.reserved.call.call_id)
            self._recorder.add(result)

    def _write_when_due(self) -> None:
        due = self._clock.monotonic() - self._written_at >= WRITE_S
        if len(self._recorder.unwritten) >= WRITE_CALLS or due:
            self._write()

    def _write(self) -> None:
        for finished in self._recorder.write():
            self._may_admit = True
            reserved_usd = self._admission.verification_usd if finished.verification_follows else Decimal(0)
            self._queue.finish(finished.reserved.question, reserved_usd)
        self._queue.outcomes_written()
        self._written_at = self._clock.monotonic()
        self._run.show_progress(self._provider, self.expected)
