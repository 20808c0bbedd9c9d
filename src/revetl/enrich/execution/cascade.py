"""One run of a waterfall, stage by stage. What every step means stands in docs/design/enrichment.md."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice

from revetl.context import RunContext
from revetl.enrich.execution.admission import RunLedger
from revetl.enrich.execution.answers import Reading
from revetl.enrich.execution.budget import Budget
from revetl.enrich.execution.declared_prices import Terms, keep_terms
from revetl.enrich.execution.dispatcher import Asked, Desk
from revetl.enrich.execution.lookup_queue import Portion
from revetl.enrich.execution.outcomes import MILLIONTH
from revetl.enrich.execution.partitions import FirstLine, Line, first_failure, in_step
from revetl.enrich.execution.resuming import resume_jobs
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, FieldReport, ProviderReport
from revetl.enrich.selection.partition import EVERYTHING, Partition, partition_count, partitions_between
from revetl.enrich.selection.query import Question
from revetl.enrich.selection.questions import Questions
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import Stage, WaterfallSpec
from revetl.errors import WarehouseError
from revetl.model import Relation
from revetl.privacy.suppressions import Suppressions, choose_key
from revetl.providers.grammar import ProviderSpec
from revetl.state import heartbeats
from revetl.state.calls import recover
from revetl.state.values import append_values, apply_verdicts

REUSE_ROWS = 5_000
ZERO = Decimal(0)
_LOOK_S = 1.0  # how often a run looks whether another one's answer has come
_LONGEST_LOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class Round:
    """A part whose questions were handed in to one stage's provider. `turn`: how often others had been let through
    there by then; `flying`: how many of the questions they were asking."""

    portion: Portion
    turn: int
    flying: int


class Cascade:
    """The state of one run; `execute` is the run."""

    def __init__(
        self,
        ctx: RunContext,
        spec: WaterfallSpec,
        providers: Mapping[str, Asked],
        relation: Relation,
        budget: Budget,
        options: WaterfallOptions,
    ) -> None:
        self.ctx = ctx
        self.warehouse = ctx.warehouse
        self.spec = spec
        self.providers = {name: providers[name] for name in spec.provider_names}
        self.terms = {name: provider.spec for name, provider in self.providers.items()}
        self.run_id = ctx.run_id
        self.clock = ctx.clock
        self.entity = options.entity_name or spec.entity
        self.budget = budget
        self.stop_event = ctx.stop
        self.report = EnrichReport(spec.name, ctx.run_id)
        self.report.providers = {name: ProviderReport() for name in spec.provider_names}
        self._reading = Reading(spec, self.terms, self.entity)
        self._ledger = RunLedger(ctx, spec, budget, self._was_away)
        self._relation = relation
        self._limit = options.limit
        self._progress = options.on_progress
        self._alive_until = ctx.clock.now() + heartbeats.LASTS
        self._needed: Counter[str] = Counter()  # by verifier: parts under way that set money aside for it
        self._seen: dict[str, tuple[int, float]] = {}  # by provider: questions of the parts so far, and their share

    async def execute(self) -> None:
        async with self._alive(), AsyncExitStack() as stack:
            await keep_terms(self.warehouse, self.clock, map(_terms, self.terms.values()))
            self.report.recovered_in_doubt = await recover(self.warehouse, self.clock)
            await choose_key(self.warehouse, self.clock)
            self._open_desk()
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
                await self.clock.sleep(heartbeats.LASTS.total_seconds() / 3)
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
            heartbeats.end(self.warehouse, self.run_id)

    def _stay(self) -> None:
        now = self.clock.now()
        heartbeats.stay(self.warehouse, self.run_id, now)
        self._alive_until = now + heartbeats.LASTS

    def _was_away(self) -> bool:
        return self.clock.now() > self._alive_until

    async def _resume(self) -> None:
        """What earlier runs submitted and paid for is fetched before anything is asked."""

        def suppress(question: Question) -> None:
            known = tuple(filter(None, (self._questions().identity(key) for key in question.keys)))
            self._desk.suppress(replace(question, identities=known))

        read = self._reading.values
        resumed = await resume_jobs(self.ctx, self.spec.name, self.providers, read, suppress)
        self.report.resumed = resumed.calls

    def _open_desk(self) -> None:
        self._suppressions = Suppressions.load(self.warehouse)
        self._desk = Desk(
            self._ledger,
            self.providers,
            self.report,
            self._reading,
            self._suppressions,
            self._questions,
            self.stop_event,
            self._progress,
        )

    async def _stages(self, records: int) -> None:
        """All of them at the same time, each with other parts of the records. They follow one another where the money
        might not suffice, since later ones would spend it on some records before the cheaper ones have seen all."""
        parts = [EVERYTHING]
        number = partition_count(records)
        if number > 1 and self._can_pay_for_all():
            parts = partitions_between(self._questions().bounds(number))
        try:
            async with asyncio.TaskGroup() as group:
                self._desk.open(group)
                await in_step(len(self.spec.stages), FirstLine(parts, self.clock), self._stage)
                self._desk.close()
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

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

    def _questions(self, part: Partition = EVERYTHING) -> Questions:
        """As of now: what an earlier stage brought counts."""
        return Questions(
            Scope(
                warehouse=self.warehouse,
                spec=self.spec,
                providers=self.terms,
                relation=self._relation,
                entity=self.entity,
                run_id=self.run_id,
                now=self.clock.now(),
                limit=self._limit,
                partition=part,
            )
        )

    async def _stage(self, number: int, line: Line[Partition], hand_on: Callable[[Partition], None]) -> None:
        """Hands in the questions of every part that comes before the provider is done with those of the last one."""
        stage = self.spec.stages[number]
        async with asyncio.TaskGroup() as group:
            while (part := await self._next(stage, line)) is not None:
                if self._stopped:
                    hand_on(part)
                    continue
                self._needed.update(set(stage.verify.values()))
                begun = await self._begin(stage, part)
                if self._progress is not None and stage.provider not in self._seen:
                    self._foresee(stage.provider, self._questions(part).count(stage), part.share)
                group.create_task(self._end(stage, part, begun, hand_on))
            self._desk.hurry(stage.provider)

    async def _next(self, stage: Stage, line: Line[Partition]) -> Partition | None:
        """A part, when its questions would be read at once."""
        await self._desk.until_hungry(stage.provider)
        return await line.get()

    async def _begin(self, stage: Stage, part: Partition) -> Round:
        """What an earlier run left unverified is settled first: it may be all that is lacking."""
        turn, flying = self._desk.turn(stage.provider), self._in_flight(stage, part)
        await self._verify_all(stage, part)
        portion = self._desk.hand_in(stage.provider, lambda: self._questions(part).stream(stage))
        return Round(portion, turn, flying)

    async def _end(self, stage: Stage, part: Partition, begun: Round, hand_on: Callable[[Partition], None]) -> None:
        """Waits for the answers, gives them to every record that they serve, and verifies them. Where another run asks
        the same question its answer is waited for, and then is one that is already paid for."""
        before = begun.turn
        await begun.portion.done.wait()
        asked, share = self._seen.get(stage.provider, (0, 0.0))
        self._seen[stage.provider] = asked + begun.portion.asked, share + part.share
        self._foresee(stage.provider, *self._seen[stage.provider])
        while True:
            elsewhere = await self._desk.answered(begun.portion)
            await self._settle(stage, part)
            waited = await self._others_answered(lambda: self._in_flight(stage, part))
            others = begun.flying or elsewhere or waited
            if not others or self._stopped or not self._desk.may_ask(stage.provider):
                break
            begun = await self._begin(stage, part)
        if self._desk.turn(stage.provider) != before:
            # Others were here: an answer of theirs that came between two looks serves this run's records as well.
            await self._settle(stage, part)
        self._spare(stage.verify.values())
        hand_on(part)

    def _foresee(self, provider: str, asked: int, share: float) -> None:
        """The other parts will be like these."""
        self._desk.expect(provider, round(asked / share))

    def _in_flight(self, stage: Stage, part: Partition) -> int:
        return 0 if self._desk.is_alone(stage.provider) else self._questions(part).in_flight(stage)

    def _spare(self, verifiers: Iterable[str]) -> None:
        """What is set aside for a verifier is given back when no part under way may need it."""
        for verifier in set(verifiers):
            self._needed[verifier] -= 1
            if not self._needed[verifier]:
                self._ledger.release(verifier)

    async def _settle(self, stage: Stage, part: Partition) -> None:
        """Gives records what is known by now, and verifies what has to be."""
        self._reuse(stage, part)
        await self._verify_all(stage, part)

    async def _verify_all(self, stage: Stage, part: Partition) -> None:
        for field, verifier in stage.verify.items():
            await self._verify(field, verifier, part)

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

    def _reuse(self, stage: Stage, part: Partition) -> None:
        """Gives records the values of an equal question that somebody else's record already paid for."""
        rows = self._questions(part).reusable(stage)
        served: set[str] = set()
        while piece := list(islice(rows, REUSE_ROWS)):
            values = [
                self._reading.reused(stage.provider, found)
                for found in piece
                if not self._suppressions.is_erased(found.key)
            ]
            if not values:
                continue
            with self.warehouse.transaction():
                append_values(self.warehouse, values)
            # Rows come ordered by key: only the last key of a piece can come again.
            keys = {v.key for v in values}
            self.report.providers[stage.provider].reused += len(keys - served)
            served = {values[-1].key}

    async def _verify(self, field: str, verifier: str, part: Partition) -> None:
        """Settles what waits: from verdicts that are known, then by asking for those that are not."""
        again = True
        while again and (waiting := self._questions(part).count_waiting(field, verifier)):
            self._desk.expect(verifier, self.report.providers[verifier].asked + waiting)
            apply_verdicts(self.warehouse, field, self.clock.now())
            if not self._desk.may_ask(verifier):
                return
            # Also where nothing seems to be open: another part may be asking about the same address.
            portion = self._desk.hand_in(verifier, lambda: self._questions(part).stream_unverified(field, verifier))
            elsewhere = await self._desk.answered(portion)
            waited = await self._others_answered(lambda: self._verified_elsewhere(field, verifier, part))
            apply_verdicts(self.warehouse, field, self.clock.now())
            again = bool(elsewhere or waited) and not self._stopped

    def _verified_elsewhere(self, field: str, verifier: str, part: Partition) -> int:
        return 0 if self._desk.is_alone(verifier) else self._questions(part).unverified_in_flight(field, verifier)

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
