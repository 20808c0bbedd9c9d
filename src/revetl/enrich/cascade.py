"""One run of a waterfall, stage by stage. What every step means stands in docs/design/enrichment.md."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Protocol

from revetl.clock import Clock
from revetl.enrich.admission import Admission, Job, RunLedger, questions_lock
from revetl.enrich.answers import Reading
from revetl.enrich.asker import Asker
from revetl.enrich.budget import Budget
from revetl.enrich.outcomes import MILLIONTH
from revetl.enrich.parts import Part, in_step, parts_of
from revetl.enrich.query import Question
from revetl.enrich.questions import Questions
from revetl.enrich.report import EnrichReport, FieldReport, OnProgress, Progress, ProviderReport
from revetl.enrich.resuming import resume_jobs
from revetl.enrich.spec import Stage, WaterfallSpec
from revetl.errors import WarehouseError
from revetl.model import Relation
from revetl.providers.base import Answer, Provider
from revetl.providers.spec import ProviderSpec
from revetl.state import living, locks
from revetl.state.calls import recover
from revetl.state.suppressions import OBJECTED, Suppressions, choose_key
from revetl.state.terms import Terms, keep_terms
from revetl.state.values import ValueRow, append_values, apply_verdicts
from revetl.warehouse.base import Warehouse

REUSE_ROWS = 5_000
ZERO = Decimal(0)
_LOOK_S = 1.0  # how often a run looks whether another one's answer has come
_LONGEST_LOOK_S = 10.0


class Asked(Provider, Protocol):
    """A provider with the terms under which it is asked."""

    @property
    def spec(self) -> ProviderSpec: ...


class Cascade:
    """The state of one run; `execute` is the run."""

    def __init__(
        self,
        warehouse: Warehouse,
        spec: WaterfallSpec,
        providers: Mapping[str, Asked],
        relation: Relation,
        *,
        run_id: str,
        clock: Clock,
        budget: Budget,
        entity: str,
        limit: int | None = None,
        progress: OnProgress | None = None,
        stop_event: asyncio.Event | None = None,
    ) -> None:
        self.warehouse = warehouse
        self.spec = spec
        self.providers = {name: providers[name] for name in spec.provider_names}
        self.terms = {name: provider.spec for name, provider in self.providers.items()}
        self.run_id = run_id
        self.clock = clock
        self.entity = entity
        self.budget = budget
        self.stop_event = stop_event or asyncio.Event()
        self.report = EnrichReport(spec.name, run_id)
        self.report.providers = {name: ProviderReport() for name in spec.provider_names}
        self._reading = Reading(spec, self.terms, entity)
        self._ledger = RunLedger(warehouse, clock, spec, run_id, budget, self._was_away)
        self._relation = relation
        self._limit = limit
        self._progress = progress
        self._alive_until = clock.now() + living.LASTS
        self._needed: Counter[str] = Counter()  # by verifier: stages that set money aside for it
        self._one_by_one: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def execute(self) -> None:
        async with self._alive(), AsyncExitStack() as stack:
            await keep_terms(self.warehouse, self.clock, map(_terms, self.terms.values()))
            self.report.recovered_in_doubt = await recover(self.warehouse, self.clock)
            await choose_key(self.warehouse, self.clock)
            self.suppressions = Suppressions.load(self.warehouse)
            before = self._questions().filled()
            for provider in self.providers.values():
                await stack.enter_async_context(provider)
            try:
                await self._resume()
                await self._stages(max(total for total, _ in before.values()))
            finally:
                self.report.requests = sum(provider.requests for provider in self.providers.values())
            self._tally(before)

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """While this lasts other runs leave our calls in flight alone."""

        async def beat() -> None:
            while True:
                await self.clock.sleep(living.LASTS.total_seconds() / 3)
                try:
                    self._stay()
                except WarehouseError:
                    continue  # the run hears of it at its own next statement, if it lasts

        self._stay()
        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            living.end(self.warehouse, self.run_id)

    def _stay(self) -> None:
        now = self.clock.now()
        living.stay(self.warehouse, self.run_id, now)
        self._alive_until = now + living.LASTS

    def _was_away(self) -> bool:
        return self.clock.now() > self._alive_until

    async def _resume(self) -> None:
        """What earlier runs submitted and paid for is fetched before anything is asked."""

        def suppress(question: Question) -> None:
            known = tuple(filter(None, (self._questions().identity(key) for key in question.keys)))
            self._suppress(replace(question, identities=known))

        read = self._reading.values
        resumed = await resume_jobs(self.warehouse, self.spec.name, self.providers, self.clock, read, suppress)
        self.report.resumed = resumed.calls

    async def _stages(self, records: int) -> None:
        """All of them at the same time, each with another part of the records. They follow one another where the money
        might not suffice, since later ones would spend it on some records before the cheaper ones have seen all; and
        where one of them takes jobs, which are waited for part by part."""
        parts: list[Part | None] = [*parts_of(records)]
        jobs = any(terms.job is not None for terms in self.terms.values())
        if len(parts) == 1 or jobs or not self._can_pay_for_all():
            parts = [None]

        async def work(number: int, part: Part | None) -> None:
            if not self._stopped:
                await self._stage(self.spec.stages[number], part)

        await in_step(len(self.spec.stages), parts, work)

    def _can_pay_for_all(self) -> bool:
        """Whether every question that there is may be asked at its greatest price."""
        if self.budget.limit_usd is None and not self._ledger.limits:
            return True
        questions = self._questions()
        need: dict[str, Decimal] = {}
        for stage in self.spec.stages:
            asked = questions.count(stage)
            for name, number in ((stage.provider, asked), *((verifier, asked) for verifier in stage.verify.values())):
                need[name] = need.get(name, ZERO) + number * self.terms[name].greatest_usd
        for field, verifier in {pair for stage in self.spec.stages for pair in stage.verify.items()}:
            waiting = questions.count_unverified(field, verifier)
            need[verifier] = need.get(verifier, ZERO) + waiting * self.terms[verifier].greatest_usd
        return self._ledger.has_room(need)

    def _questions(self, part: Part | None = None) -> Questions:
        """As of now: what an earlier stage brought counts."""
        return Questions(
            self.warehouse,
            self.spec,
            self.terms,
            self._relation,
            entity=self.entity,
            run_id=self.run_id,
            now=self.clock.now(),
            limit=self._limit,
            part=part,
        )

    async def _stage(self, stage: Stage, part: Part | None) -> None:
        """Answers that are already paid for, then calls, then the verification of what they gave. Where another run
        asks the same question its answer is waited for, and then is one that is already paid for."""
        before = self._turn(stage.provider)
        while True:
            flying = self._questions(part).in_flight(stage)
            await self._settle(stage, part)
            if not self._may_ask(stage.provider):
                return
            with self._setting_aside(stage):
                elsewhere = await self._ask_stage(stage, part)
                await self._settle(stage, part)
            waited = await self._others_answered(lambda: self._questions(part).in_flight(stage))
            if self._stopped or not (flying or elsewhere or waited):
                break
        if self._turn(stage.provider) != before:
            # Others were here: an answer of theirs that came between two looks serves this run's records as well.
            await self._settle(stage, part)

    @contextmanager
    def _setting_aside(self, stage: Stage) -> Iterator[None]:
        """What is set aside for a verifier is given back when no stage may need it any more."""
        self._needed.update(set(stage.verify.values()))
        yield
        for verifier in set(stage.verify.values()):
            self._needed[verifier] -= 1
            if not self._needed[verifier]:
                self._ledger.release(verifier)

    def _turn(self, provider: str) -> int:
        """How often others were let through to this provider."""
        return locks.turn(self.warehouse, questions_lock(provider)) - self._ledger.turns[provider]

    async def _settle(self, stage: Stage, part: Part | None) -> None:
        """Gives records what is known by now, and verifies what has to be."""
        self._reuse(stage, part)
        for field, verifier in stage.verify.items():
            # Two stages may have the same address, and it is paid for once.
            async with self._one_by_one[verifier]:
                await self._verify(field, verifier, part)

    async def _ask_stage(self, stage: Stage, part: Part | None) -> int:
        """How many of its questions other runs asked first."""
        provider = stage.provider

        def interpret(job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
            return self._reading.values(provider, job, answer, at)

        def waits(values: Sequence[ValueRow]) -> bool:
            return any(v.rejected_reason == "not_verified" and v.field in stage.verify for v in values)

        holds: dict[str, Decimal] = {}
        for verifier in stage.verify.values():
            holds[verifier] = holds.get(verifier, ZERO) + self.terms[verifier].greatest_usd
        questions = self._questions(part)
        expected = questions.count(stage)
        if part is not None:
            expected = round(expected / part.share)  # the others will be like it
        asker = self._asker(questions, provider, expected, interpret, waits, holds)
        await self._ask(provider, asker, questions.stream(stage))
        self.budget.release(asker.held_usd)
        return asker.elsewhere

    async def _others_answered(self, in_flight: Callable[[], int]) -> bool:
        """Waits while other runs ask what this one wants to know. Whether there was anything to wait for. Calls of a
        run that died meanwhile are in doubt, which is an answer too."""
        pause, waited = _LOOK_S, False
        while not self._stopped and in_flight():
            waited = True
            await self.clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_S)
            self.report.recovered_in_doubt += await recover(self.warehouse, self.clock)
        return waited

    @property
    def _stopped(self) -> bool:
        return bool(self.report.stopped) or self.stop_event.is_set()

    def _reuse(self, stage: Stage, part: Part | None) -> None:
        """Gives records the values of an equal question that somebody else's record already paid for."""
        rows = self._questions(part).reusable(stage)
        served: set[str] = set()
        while piece := list(islice(rows, REUSE_ROWS)):
            values = [
                self._reading.reused(stage.provider, *row)
                for row in piece
                if not self.suppressions.is_erased(str(row[0]))
            ]
            if not values:
                continue
            with self.warehouse.transaction():
                append_values(self.warehouse, values)
            # Rows come ordered by key: only the last key of a piece can come again.
            keys = {v.key for v in values}
            self.report.providers[stage.provider].reused += len(keys - served)
            served = {values[-1].key}

    async def _verify(self, field: str, verifier: str, part: Part | None) -> None:
        """Settles what waits: from verdicts that are known, then by asking for those that are not."""
        again = True
        while again:
            apply_verdicts(self.warehouse, field, self.clock.now())
            if not self._may_ask(verifier):
                return
            questions, elsewhere = self._questions(part), 0
            if expected := questions.count_unverified(field, verifier):
                elsewhere = await self._ask_verifier(questions, expected, field, verifier)
            waited = await self._others_answered(lambda: self._questions(part).unverified_in_flight(field, verifier))
            again = bool(elsewhere or waited) and not self._stopped
        apply_verdicts(self.warehouse, field, self.clock.now())

    async def _ask_verifier(self, questions: Questions, expected: int, field: str, verifier: str) -> int:
        def interpret(job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
            return self._reading.verdict(field, verifier, job, answer, at)

        asker = self._asker(questions, verifier, expected, interpret, lambda _: False, {})
        await self._ask(verifier, asker, questions.stream_unverified(field, verifier))
        return asker.elsewhere

    def _asker(
        self,
        questions: Questions,
        name: str,
        expected: int,
        interpret: Callable[[Job, Answer, datetime], list[ValueRow]],
        waits: Callable[[Sequence[ValueRow]], bool],
        holds: Mapping[str, Decimal],
    ) -> Asker:
        report, terms = self.report.providers[name], self.terms[name]

        def tell() -> None:
            if self._progress is not None:
                told = Progress(name, expected, report.asked, report.hits, report.misses, report.spent_usd)
                self._progress(told)

        def asked(hashes: Sequence[str]) -> set[str]:
            self.suppressions.refresh()  # others were at work: they may have been told not to ask about somebody
            return questions.asked_lately(name, hashes)

        # Before the questions are read: what others ask from here on is seen by the admission.
        admission = Admission(self._ledger, name, terms.greatest_usd, holds=holds, asked=asked)
        return Asker(
            self._ledger,
            admission,
            self.providers[name],
            terms,
            report,
            interpret=interpret,
            keep_hold=waits,
            on_suppressed=self._suppress,
            on_flush=tell,
            stop_event=self.stop_event,
        )

    async def _ask(self, name: str, asker: Asker, questions: Iterator[Question]) -> None:
        self.suppressions.refresh()
        await asker.run(self._allowed(questions))
        if asker.denied:
            self.report.denied[name] = asker.denied
        if asker.gave_up:
            self.report.unavailable[name] = asker.gave_up
        if asker.out_of_budget:
            refused = asker.refused
            limit = refused or f"the budget of ${self.budget.limit_usd}"
            reason = f"{limit} is spent or reserved: nothing more was asked"
            if refused is not None and refused.provider is not None:
                self.report.exhausted[name] = reason
            else:
                self.report.stopped = reason

    def _allowed(self, questions: Iterator[Question]) -> Iterator[Question]:
        for question in questions:
            keys = question.keys
            if any(identity in self.suppressions for identity in question.identities):
                keys = ()
            keys = tuple(key for key in keys if not self.suppressions.is_erased(key))
            self.report.suppressed += len(question.keys) - len(keys)
            if keys:
                yield replace(question, keys=keys)

    def _may_ask(self, provider: str) -> bool:
        report = self.report
        gone = provider in report.denied or provider in report.unavailable or provider in report.exhausted
        return not gone and not self.stop_event.is_set()

    def _suppress(self, question: Question) -> None:
        for identity in question.identities:
            self.suppressions.add(identity, OBJECTED, self.clock.now())
        self.report.suppressed += len(question.keys)

    def _tally(self, before: Mapping[str, tuple[int, int]]) -> None:
        questions = self._questions()
        for field, (total, filled) in questions.filled().items():
            self.report.fields[field] = FieldReport(total, before[field][1], filled)
        for (field, provider), records in questions.filled_by().items():
            if field in self.report.fields:
                self.report.fields[field].by_provider[provider] = records


def _terms(spec: ProviderSpec) -> Terms:
    credit = spec.price.credits.usd if spec.price.credits is not None else None
    call, hit, most = (usd.quantize(MILLIONTH) for usd in (spec.price_per_call, spec.price_per_hit, spec.greatest_usd))
    credit = None if credit is None else credit.quantize(MILLIONTH)
    return Terms(spec.name, spec.vendor, call, hit, most, credit, spec.free_repeat_days)
