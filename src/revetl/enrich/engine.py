"""Runs a waterfall: stage by stage over the set of records that still lack something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, islice
from typing import Protocol

from revetl import __version__
from revetl.clock import Clock
from revetl.enrich.accept import judge
from revetl.enrich.asker import Asker, Job
from revetl.enrich.budget import Budget
from revetl.enrich.questions import Question, Questions
from revetl.enrich.report import EnrichReport, FieldReport, OnProgress, Progress, ProviderReport
from revetl.enrich.resuming import resume_jobs
from revetl.enrich.spec import Stage, WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.model import Relation, RunRecord, RunStatus
from revetl.providers.base import Answer, Provider, Verification
from revetl.providers.spec import ProviderSpec
from revetl.state.calls import Call, recover
from revetl.state.runs import finish_run, start_run
from revetl.state.suppressions import Suppressions
from revetl.state.values import VERIFICATION, ValueRow, append_values, apply_verdicts
from revetl.warehouse.base import Warehouse

REUSE_ROWS = 5_000


class Asked(Provider, Protocol):
    """A provider with the terms under which it is asked."""

    @property
    def spec(self) -> ProviderSpec: ...


async def run_waterfall(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, Asked],
    entity: Relation,
    *,
    run_id: str,
    clock: Clock,
    max_spend_usd: Decimal | None = None,
    limit: int | None = None,
    progress: OnProgress | None = None,
    target: str = "",
    entity_name: str | None = None,
    command: str = "enrich",
    stop_event: asyncio.Event | None = None,
) -> EnrichReport:
    """Asks for what `entity`'s records lack, and writes calls, values and one row of `runs` under `run_id` (one per
    waterfall). Safe to repeat: a second run asks only what has no fresh answer.

    `providers` holds at least `spec.provider_names`; they are entered and left here. `max_spend_usd` and the
    waterfall's own budget both hold: the lower one stops the run (`report.stopped`), nothing is asked past it.
    `entity_name` is what values are kept under (default: the spec's entity). Refused credentials and vendors that are
    down end their stages and stand in the report. Once `stop_event` is set nothing more is asked; calls in flight are
    awaited and written down, and the run's row says interrupted. Raises ConfigError (a column or provider that is not
    there) before anything is asked, and WarehouseError. One run of one waterfall at a time in one warehouse.
    """
    check_columns(warehouse, spec, entity)
    if missing := [name for name in spec.provider_names if name not in providers]:
        raise ConfigError(f"the waterfall {spec.name} asks {missing[0]!r}, which is not connected")
    record = RunRecord(run_id, command, spec.name, target, clock.now(), __version__)
    start_run(warehouse, record)
    run = _Run(warehouse, spec, providers, entity, run_id, clock, limit, progress, entity_name or spec.entity)
    run.stop_event = stop_event or run.stop_event
    run.budget = Budget(least(max_spend_usd, spec.budget.per_run_usd))
    try:
        await run.execute()
    except (asyncio.CancelledError, KeyboardInterrupt):
        _finish(warehouse, record, run, "interrupted")
        raise
    except Exception as e:
        _finish(warehouse, record, run, "failed", type(e).__name__)
        raise
    report = run.report
    status: RunStatus = "stopped" if report.stopped else "partial" if report.exit_code else "done"
    if run.stop_event.is_set():
        status = "interrupted"
    _finish(warehouse, record, run, status, report.stopped or next(iter(report.denied.values()), None))
    return report


def least(*limits: Decimal | None) -> Decimal | None:
    """The lowest of the limits that are set."""
    return min((limit for limit in limits if limit is not None), default=None)


def check_columns(warehouse: Warehouse, spec: WaterfallSpec, entity: Relation) -> None:
    """ConfigError with every column that the waterfall names and the relation has not."""
    found = [column.name for column in warehouse.columns(entity)]
    if not found:
        raise ConfigError(f"{entity.schema}.{entity.name} does not exist", hint="Build it first: revetl build")
    lower = {name.lower() for name in found}
    wanted = dict.fromkeys([spec.key, *spec.inputs.values(), *(spec.column(f) for f in spec.fields)])
    missing = [name for name in wanted if name.lower() not in lower]
    if missing:
        named = ", ".join(repr(name) for name in missing)
        message = f"the waterfall {spec.name} names {named}, which {entity.name} has not"
        raise ConfigError(message, hint=did_you_mean(missing[0], found))


def _finish(warehouse: Warehouse, record: RunRecord, run: _Run, status: RunStatus, error: str | None = None) -> None:
    """`spend_usd` counts what is in doubt: it may have been charged."""
    report = run.report
    record.status, record.error, record.finished_at = status, error, run.clock.now()
    record.requests = report.requests
    record.spend_usd = report.spent_usd + report.in_doubt_usd
    sums = report.providers.values()
    record.counts = {name: sum(getattr(p, name) for p in sums) for name in _COUNTED}
    finish_run(warehouse, record)


_COUNTED = ("asked", "hits", "misses", "errors", "in_doubt", "reused")


class _Run:
    """The state of one run; `execute` is the run."""

    def __init__(
        self,
        warehouse: Warehouse,
        spec: WaterfallSpec,
        providers: Mapping[str, Asked],
        relation: Relation,
        run_id: str,
        clock: Clock,
        limit: int | None,
        progress: OnProgress | None,
        entity: str,
    ) -> None:
        self.warehouse = warehouse
        self.spec = spec
        self.providers = {name: providers[name] for name in spec.provider_names}
        self.terms = {name: provider.spec for name, provider in self.providers.items()}
        self.run_id = run_id
        self.clock = clock
        self.entity = entity
        self.budget = Budget(None)
        self.stop_event = asyncio.Event()
        self.report = EnrichReport(spec.name, run_id)
        self.report.providers = {name: ProviderReport() for name in spec.provider_names}
        self._relation = relation
        self._limit = limit
        self._progress = progress
        self._numbers = count(1)
        self._held: dict[str, Decimal] = {}

    async def execute(self) -> None:
        self.report.recovered_in_doubt = recover(self.warehouse, self.spec.name, self.clock.now())
        self.suppressions = Suppressions.load(self.warehouse)
        before = self._questions().filled()
        async with AsyncExitStack() as stack:
            for provider in self.providers.values():
                await stack.enter_async_context(provider)
            try:
                await self._resume()
                for stage in self.spec.stages:
                    await self._stage(stage)
                    if self.report.stopped or self.stop_event.is_set():
                        break
            finally:
                self.report.requests = sum(provider.requests for provider in self.providers.values())
        self._tally(before)

    async def _resume(self) -> None:
        """What earlier runs submitted and paid for is fetched before anything is asked."""

        def suppress(question: Question) -> None:
            found = (self._questions().identity(key) for key in question.keys)
            self._suppress(replace(question, identity=next(filter(None, found), {})))

        resumed = await resume_jobs(self.warehouse, self.spec.name, self.providers, self.clock, self._values, suppress)
        self.report.resumed = resumed.calls

    def _questions(self) -> Questions:
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
        )

    async def _stage(self, stage: Stage) -> None:
        """Answers that are already paid for, then calls, then the verification of what they gave."""
        self._reuse(stage)
        for field, verifier in stage.verify.items():
            await self._verify(field, verifier)
        if self._gone(stage.provider):
            return
        questions = self._questions()
        hold = questions.greatest(stage) - self.terms[stage.provider].greatest_usd

        def interpret(job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
            return self._values(stage.provider, job, answer, at)

        def waits(values: Sequence[ValueRow]) -> bool:
            return any(v.rejected_reason == "not_verified" and v.field in stage.verify for v in values)

        asker = self._asker(stage.provider, questions.count(stage), interpret, waits, hold)
        await self._ask(stage.provider, asker, questions.stream(stage))
        self.budget.release(asker.held_usd)
        for field, verifier in stage.verify.items():
            await self._verify(field, verifier)

    def _reuse(self, stage: Stage) -> None:
        """Gives records the values of an equal question that somebody else's record already paid for."""
        rows = self._questions().reusable(stage)
        served: set[str] = set()
        while piece := list(islice(rows, REUSE_ROWS)):
            values = [self._reused(stage.provider, *row) for row in piece]
            with self.warehouse.transaction():
                append_values(self.warehouse, values)
            # Rows come ordered by key: only the last key of a piece can come again.
            keys = {v.key for v in values}
            self.report.providers[stage.provider].reused += len(keys - served)
            served = {values[-1].key}

    def _reused(
        self,
        provider: str,
        key: str,
        field: str,
        value: str,
        confidence: float | None,
        verification: Verification | None,
        call_id: str,
        observed_at: datetime,
        expires_at: datetime | None,
    ) -> ValueRow:
        reason = judge(self.spec.fields.get(field), confidence, verification)
        seen = observed_at.replace(tzinfo=UTC)
        ends = None if expires_at is None else expires_at.replace(tzinfo=UTC)
        return ValueRow(self.entity, key, field, value, provider, confidence, verification, call_id, seen, ends, reason)

    async def _verify(self, field: str, verifier: str) -> None:
        """Settles what waits: from verdicts that are known, then by asking for those that are not."""
        apply_verdicts(self.warehouse, field, self.clock.now())
        if self._gone(verifier):
            return
        questions = self._questions()
        expected = questions.count_unverified(field, verifier)
        if not expected:
            return

        def interpret(job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
            return self._verdict(field, verifier, job, answer, at)

        asker = self._asker(verifier, expected, interpret, lambda _: False, Decimal(0))
        await self._ask(verifier, asker, questions.stream_unverified(field, verifier))
        apply_verdicts(self.warehouse, field, self.clock.now())

    def _asker(
        self,
        name: str,
        expected: int,
        interpret: Callable[[Job, Answer, datetime], list[ValueRow]],
        waits: Callable[[Sequence[ValueRow]], bool],
        hold: Decimal,
    ) -> Asker:
        report = self.report.providers[name]

        def tell() -> None:
            if self._progress is not None:
                told = Progress(name, expected, report.asked, report.hits, report.misses, report.spent_usd)
                self._progress(told)

        return Asker(
            self.warehouse,
            self.clock,
            self.budget,
            self.providers[name],
            self.terms[name],
            report,
            new_call=lambda question, usd: self._new_call(name, question, usd),
            interpret=interpret,
            keep_hold=waits,
            on_suppressed=self._suppress,
            on_flush=tell,
            hold_usd=hold,
            stop_event=self.stop_event,
        )

    async def _ask(self, name: str, asker: Asker, questions: Iterator[Question]) -> None:
        await asker.run(self._allowed(questions))
        if asker.denied:
            self.report.denied[name] = asker.denied
        if asker.gave_up:
            self.report.unavailable[name] = asker.gave_up
        if asker.out_of_budget:
            limit = self.budget.limit_usd
            self.report.stopped = f"the budget of ${limit} is spent or reserved: nothing more was asked"

    def _allowed(self, questions: Iterator[Question]) -> Iterator[Question]:
        for question in questions:
            if question.identity in self.suppressions:
                self.report.suppressed += len(question.keys)
            else:
                yield question

    def _gone(self, provider: str) -> bool:
        return provider in self.report.denied or provider in self.report.unavailable

    def _new_call(self, provider: str, question: Question, expected_usd: Decimal) -> Call:
        return Call(
            call_id=f"{self.run_id}/{self.spec.name}/{next(self._numbers):07d}",
            run_id=self.run_id,
            waterfall=self.spec.name,
            provider=provider,
            keys=question.keys,
            request_hash=question.request_hash,
            order_version=self.spec.order_version,
            expected_usd=expected_usd,
            asked_at=self.clock.now(),
        )

    def _values(self, provider: str, job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
        terms = self.terms[provider]
        return [
            ValueRow(
                self.entity,
                key,
                given.field,
                given.value,
                provider,
                given.confidence,
                given.verification,
                job.call.call_id,
                at,
                at + timedelta(days=terms.ttl_hit_days(given.field)),
                judge(self.spec.fields.get(given.field), given.confidence, given.verification),
            )
            for key in job.question.keys
            for given in answer.values
        ]

    def _verdict(self, field: str, verifier: str, job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
        """What the verifier said of the value itself, as one row; nothing where it said nothing."""
        said = next((v for v in answer.values if v.verification is not None), None)
        if said is None:
            return []
        terms = self.terms[verifier]
        # A verifier's `unknown` is no knowledge: it is asked again as after a miss.
        days = terms.ttl_miss_days if said.verification == "unknown" else terms.ttl_hit_days(field)
        return [
            ValueRow(
                VERIFICATION,
                job.question.request_hash,
                field,
                job.question.inputs[field],
                verifier,
                said.confidence,
                said.verification,
                job.call.call_id,
                at,
                at + timedelta(days=days),
                None,
            )
        ]

    def _suppress(self, question: Question) -> None:
        self.suppressions.add(question.identity, "asked_not_to_be_processed", self.clock.now())
        self.report.suppressed += len(question.keys)

    def _tally(self, before: Mapping[str, tuple[int, int]]) -> None:
        questions = self._questions()
        for field, (total, filled) in questions.filled().items():
            self.report.fields[field] = FieldReport(total, before[field][1], filled)
        for (field, provider), records in questions.filled_by().items():
            if field in self.report.fields:
                self.report.fields[field].by_provider[provider] = records
