"""Puts questions to one provider for as long as a run lasts: money reserved, intent durable, then the call, then its
outcome.

Questions come in portions, while others are still under way, so that the provider is never idle between two of them.
Only `Asker.run` writes to the database, between answers and never while another statement runs; the calls themselves
are tasks that never do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice

from revetl.clock import Clock
from revetl.enrich.execution.admission import Admission, Job, RunLedger
from revetl.enrich.execution.answer_handler import Settling
from revetl.enrich.execution.budget import Limit
from revetl.enrich.execution.in_flight import Calls, Sent, Submitted
from revetl.enrich.report import ProviderReport
from revetl.enrich.selection.query import Question
from revetl.errors import WarehouseError
from revetl.providers.base import Answer, Provider
from revetl.providers.grammar import ProviderSpec
from revetl.state.values import ValueRow

CHUNK_CALLS = 200  # the most whose intents are one transaction
FLUSH_CALLS = 200
FLUSH_S = 1.0


@dataclass(slots=True)
class Portion:
    """Questions that were handed in together. `done` is set when each has its durable outcome or will never be asked,
    and so have all portions before it. `elsewhere`: those that other runs asked first. `held_usd`: what is set aside
    for verifying what came, in the run's own budget; the caller's to release."""

    questions: Iterator[Question]
    asked: int = 0
    elsewhere: int = 0
    held_usd: Decimal = Decimal(0)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False
    all_read: bool = False
    under_way: int = 0


class Asker:
    """One provider in one run. `run` is to be a task; meanwhile portions are handed in, and `close` says that no more
    will come.

    `interpret` turns an answer into rows of values. `admission` sets money aside with each call for what its answer may
    make necessary (verification); `keep_hold` says whether an answer does. Once `stop_event` is set no call leaves any
    more. `on_flush` runs after outcomes were written.
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
        self._clock: Clock = ledger.clock
        self._admission = admission
        self._on_flush = on_flush
        self._stop_event = stop_event or asyncio.Event()
        # As many ahead as there are slots: they stay busy while the next intents are written, and after a crash few
        # calls are in doubt that never left.
        self._most = terms.at_once + min(CHUNK_CALLS, terms.at_once)
        self._batch = provider.batch_size
        self._at_once = terms.at_once
        self._one_by_one = terms.job is not None
        self._unnamed: set[str] = set()
        self._news: asyncio.Queue[Sent | Submitted | None] = asyncio.Queue()  # None: look up, something was handed in
        self._calls = Calls(provider, terms.at_once, self._clock, self._news.put_nowait, lambda: self._stopped)
        self._settling = Settling(
            ledger,
            report,
            admission.hold_usd,
            self._batch,
            interpret=interpret,
            keep_hold=keep_hold,
            on_suppressed=on_suppressed,
        )
        self._portions: deque[Portion] = deque()  # not done yet
        self._unread: deque[Portion] = deque()
        self._waiting: dict[str, Question] = {}  # read, and not admitted yet
        self._portion_of: dict[str, Portion] = {}  # by request_hash: of what waits or is under way
        self._closing = False
        self._hurries = False
        self._closed = False
        self._may_ask = True  # False: a shared budget is spent as far as was written down
        self._flushed_at = self._clock.monotonic()
        self.hungry = asyncio.Event()  # all that was handed in has been read, or nothing is asked any more
        self.hungry.set()
        self.over = False
        self.expected = 0  # questions in all, as far as can be told
        self.out_of_budget = False
        self.refused: Limit | None = None

    @property
    def denied(self) -> str | None:
        return self._calls.denied

    @property
    def gave_up(self) -> str | None:
        return self._settling.gave_up

    def hand_in(self, questions: Iterator[Question]) -> Portion:
        """They are read when their turn comes. Nothing of it is asked where the asker is over."""
        portion = Portion(questions)
        if self.over:
            portion.done.set()
        else:
            self._portions.append(portion)
            self._unread.append(portion)
            self.hungry.clear()
            self._news.put_nowait(None)
        return portion

    def hurry(self) -> None:
        """Little or nothing more will be handed in: a batch need not wait until it is full."""
        self._hurries = True
        self._news.put_nowait(None)

    def close(self) -> None:
        """Nothing more will be handed in."""
        self._closed = True
        self.hurry()

    def let_go(self) -> None:
        """Nothing is asked any more, and nobody need wait for it."""
        self.over = True
        for portion in self._portions:
            portion.done.set()
        self.hungry.set()

    async def run(self) -> None:
        """Until it is closed and all is asked, or there is no money, or no provider. A question comes back as exactly
        one outcome row.

        Cancelled, it writes what is known: answers that came, calls that may have been charged as in doubt. After a
        WarehouseError nothing can be written, and the next run finds the open intents.
        """
        try:
            while True:
                await self._launch()
                if not len(self._calls) and self._news.empty():
                    if self._settling.unwritten:
                        self._flush()  # what these did not cost is free for others, and for us
                        continue
                    if self._stopped:
                        break
                    if self._waiting:
                        # Nothing under way, so no reservation will come back: what could not be reserved never can.
                        self.out_of_budget = True
                        break
                    if self._unread:
                        continue  # all that was read just now is asked by other runs
                    if self._closed:
                        break
                await self._collect()
                self._flush_when_due()
            self._flush()
        except WarehouseError:
            self._closing = True
            await self._calls.abandon()
            raise
        except BaseException:
            self._closing = True
            await self._calls.abandon()
            self._drain()
            self._flush()
            raise
        if self._settling.failure is not None:
            raise self._settling.failure

    @property
    def _stopped(self) -> bool:
        return bool(self._closing or self._stop_event.is_set() or self.denied or self.gave_up or self._settling.failure)

    @property
    def _room(self) -> int:
        """How many more questions may be let go now."""
        if self._one_by_one and self._unnamed:
            # A job that has left and is not named yet is what a crash loses: never more than one at a time.
            return 0
        if self._one_by_one and len(self._calls) < self._at_once:
            return self._batch
        if self._batch > 1:
            # Only batches that leave at once: a waiting one with its intents is a hundred calls in doubt after a crash.
            return max(0, self._at_once - len(self._calls)) * self._batch
        return min(CHUNK_CALLS, self._most - len(self._calls)) if len(self._calls) <= self._at_once else 0

    async def _launch(self) -> None:
        """Lets go as many as are admitted; those that there is no money for now stay in `waiting`."""
        room = self._room
        if room <= 0 or not self._may_ask or self._stopped:
            return
        self._read(room)
        if self._batch > 1 and len(self._calls) and not self._hurries:
            # While others are under way more may come to fill a batch.
            room = min(room, len(self._waiting)) // self._batch * self._batch
        if not self._waiting or not room:
            return
        admitted = await self._admission.admit(list(islice(self._waiting.values(), room)))
        for job in admitted.jobs:
            del self._waiting[job.question.request_hash]
        for question in admitted.elsewhere:
            # What another run asks is not ours any more; its answer is waited for when all else is asked.
            del self._waiting[question.request_hash]
            portion = self._portion_of.pop(question.request_hash)
            portion.elsewhere += 1
            portion.under_way -= 1
        self._see_what_is_done()
        self.refused = admitted.refused
        self._may_ask = admitted.refused is None
        if self._one_by_one:
            self._unnamed |= {job.call.call_id for job in admitted.jobs}
        for first in range(0, len(admitted.jobs), self._batch):
            self._calls.start(admitted.jobs[first : first + self._batch])

    def _read(self, number: int) -> None:
        """Reads on until so many wait, or nothing is left."""
        while self._unread and len(self._waiting) < number:
            portion = self._unread[0]
            if not portion.begun and not self._waiting:
                self._admission.look_again()
            portion.begun = True
            question = next(portion.questions, None)
            if question is None:
                portion.all_read = True
                self._unread.popleft()
                continue
            known = self._waiting.get(question.request_hash)
            if known is not None:
                # The same as one of an earlier portion, which had no intent yet when this one was read.
                self._waiting[question.request_hash] = _joined(known, question)
            elif question.request_hash not in self._portion_of:
                self._waiting[question.request_hash] = question
                self._portion_of[question.request_hash] = portion
                portion.asked += 1
                portion.under_way += 1
        if not self._unread:
            self._see_what_is_done()
            self.hungry.set()

    def _see_what_is_done(self) -> None:
        """In the order in which they were handed in: what one portion has in common with an earlier one is answered."""
        while self._portions and self._portions[0].all_read and not self._portions[0].under_way:
            self._portions.popleft().done.set()

    async def _collect(self) -> None:
        """Waits for news, at most until the next flush is due, and takes in all that have come."""
        try:
            async with asyncio.timeout(FLUSH_S if self._settling.unwritten else None):
                first = await self._news.get()
        except TimeoutError:
            return
        self._take_in(first)
        self._drain()
        # A finished task leaves `_calls` in a callback of the loop, after its answer is in the queue.
        await asyncio.sleep(0)

    def _drain(self) -> None:
        while not self._news.empty():
            self._take_in(self._news.get_nowait())

    def _take_in(self, news: Sent | Submitted | None) -> None:
        if isinstance(news, Submitted):
            self._settling.submitted(news)
            self._unnamed.difference_update(job.call.call_id for job in news.jobs)
        elif news is not None:
            self._unnamed.discard(news.job.call.call_id)
            self._settling.settle(news)

    def _flush_when_due(self) -> None:
        due = self._clock.monotonic() - self._flushed_at >= FLUSH_S
        if len(self._settling.unwritten) >= FLUSH_CALLS or due:
            self._flush()

    def _flush(self) -> None:
        for ended in self._settling.write():
            self._may_ask = True
            portion = self._portion_of.pop(ended.job.question.request_hash)
            portion.under_way -= 1
            if ended.keeps_hold:
                portion.held_usd += self._admission.hold_usd
        self._see_what_is_done()
        self._flushed_at = self._clock.monotonic()
        self._on_flush()


def _joined(one: Question, other: Question) -> Question:
    keys = tuple(dict.fromkeys([*one.keys, *other.keys]))
    identities = [*one.identities, *(each for each in other.identities if each not in one.identities)]
    return replace(one, keys=keys, identities=tuple(identities))
