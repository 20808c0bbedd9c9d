"""All providers of one run, each with its asker: who may be asked, about whom, and what became of it in the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from revetl.enrich.execution.admission import Admission, Job, RunLedger, questions_lock
from revetl.enrich.execution.answers import Reading
from revetl.enrich.execution.lookup_queue import Asker, Portion
from revetl.enrich.report import EnrichReport, OnProgress, Progress
from revetl.enrich.selection.query import Question
from revetl.enrich.selection.questions import Questions
from revetl.enrich.waterfall import Stage
from revetl.privacy.suppressions import OBJECTED, Suppressions
from revetl.providers.base import Answer, Provider
from revetl.providers.grammar import ProviderSpec
from revetl.state import locks
from revetl.state.values import ValueRow

ZERO = Decimal(0)


class Asked(Provider, Protocol):
    """A provider with the terms under which it is asked."""

    @property
    def spec(self) -> ProviderSpec: ...


class Desk:
    """`questions()` gives a view of the records as of now. `open` sets the askers to work, `close` ends them."""

    def __init__(
        self,
        ledger: RunLedger,
        providers: Mapping[str, Asked],
        report: EnrichReport,
        reading: Reading,
        suppressions: Suppressions,
        questions: Callable[[], Questions],
        stop_event: asyncio.Event,
        progress: OnProgress | None,
    ) -> None:
        self._ledger = ledger
        self._providers = providers
        self._report = report
        self._reading = reading
        self._suppressions = suppressions
        self._questions = questions
        self._stop_event = stop_event
        self._progress = progress
        self._askers: dict[str, Asker] = {}
        self._met: dict[
            str, int
        ] = {}  # by provider: turns of other runs that were at it when this one began; -1: they still are

    def open(self, group: asyncio.TaskGroup) -> None:
        stages = {stage.provider: stage for stage in self._ledger.spec.stages}
        for name in self._providers:
            self._askers[name] = asker = self._asker(name, stages.get(name))
            asking = self._questions().others_ask(name)
            self._met[name] = -1 if asking else self.turn(name)
            group.create_task(self._serve(name, asker))

    def close(self) -> None:
        for asker in self._askers.values():
            asker.close()

    def hurry(self, provider: str) -> None:
        """No part will come any more."""
        self._askers[provider].hurry()

    def may_ask(self, provider: str) -> bool:
        report = self._report
        gone = provider in report.denied or provider in report.unavailable or provider in report.exhausted
        return not gone and not self._stop_event.is_set()

    def turn(self, provider: str) -> int:
        """How often others were let through to this provider."""
        return locks.turn(self._ledger.warehouse, questions_lock(provider)) - self._ledger.turns[provider]

    def is_alone(self, provider: str) -> bool:
        """Whether no other run can have had a question under way there since this one began."""
        return self._met[provider] == self.turn(provider)

    async def until_hungry(self, provider: str) -> None:
        """Until all that was handed in for this provider has been read."""
        await self._askers[provider].hungry.wait()

    def hand_in(self, provider: str, questions: Callable[[], Iterator[Question]]) -> Portion:
        """`questions` is called when their turn has come. Suppressed people are left out."""

        def allowed() -> Iterator[Question]:
            self._suppressions.refresh()
            for question in questions():
                keys = question.keys
                if any(identity in self._suppressions for identity in question.identities):
                    keys = ()
                keys = tuple(key for key in keys if not self._suppressions.is_erased(key))
                self._report.suppressed += len(question.keys) - len(keys)
                if keys:
                    yield replace(question, keys=keys)

        return self._askers[provider].hand_in(allowed())

    async def answered(self, portion: Portion) -> int:
        """When the portion is done, what is set aside in the run's budget for verifying it may be used for that. Gives
        how many of its questions other runs asked first."""
        await portion.done.wait()
        self._ledger.budget.release(portion.held_usd)
        return portion.elsewhere

    def suppress(self, question: Question) -> None:
        for identity in question.identities:
            self._suppressions.add(identity, OBJECTED, self._ledger.clock.now())
        self._report.suppressed += len(question.keys)

    def expect(self, provider: str, questions: int) -> None:
        """For whoever watches: so many will be asked in all."""
        self._askers[provider].expected = questions

    async def _serve(self, name: str, asker: Asker) -> None:
        await asker.run()
        report = self._report
        if asker.denied:
            report.denied[name] = asker.denied
        if asker.gave_up:
            report.unavailable[name] = asker.gave_up
        if asker.out_of_budget:
            refused = asker.refused
            limit = refused or f"the budget of ${self._ledger.budget.limit_usd}"
            reason = f"{limit} is spent or reserved: nothing more was asked"
            if refused is not None and refused.provider is not None:
                report.exhausted[name] = reason
            else:
                report.stopped = reason
        # After the report, where those who wait look first.
        asker.let_go()

    def _asker(self, name: str, stage: Stage | None) -> Asker:
        """`stage` None: a verifier."""
        report, terms = self._report.providers[name], self._providers[name].spec
        verify = {} if stage is None else stage.verify

        def interpret(job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
            read = self._reading.verdict if stage is None else self._reading.values
            return read(name, job, answer, at)

        def waits(values: Sequence[ValueRow]) -> bool:
            return any(v.rejected_reason == "not_verified" and v.field in verify for v in values)

        def tell() -> None:
            if self._progress is not None:
                expected = max(asker.expected, report.asked)
                self._progress(Progress(name, expected, report.asked, report.hits, report.misses, report.spent_usd))

        def asked(hashes: Sequence[str]) -> set[str]:
            self._suppressions.refresh()  # others were at work: they may have been told not to ask about somebody
            return self._questions().asked_lately(name, hashes)

        holds: dict[str, Decimal] = {}
        for verifier in verify.values():
            holds[verifier] = holds.get(verifier, ZERO) + self._providers[verifier].spec.greatest_usd
        admission = Admission(self._ledger, name, terms.greatest_usd, holds=holds, asked=asked)
        asker = Asker(
            self._ledger,
            admission,
            self._providers[name],
            terms,
            report,
            interpret=interpret,
            keep_hold=waits,
            on_suppressed=self.suppress,
            on_flush=tell,
            stop_event=self._stop_event,
        )
        return asker
