"""One run of a waterfall, stage by stage. What every step means stands in docs/design/enrichment.md."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from revetl.enrich.execution.answer_spool import AnswerSpool, KeptAnswer, write_answers, write_kept
from revetl.enrich.execution.declared_prices import keep_declared_prices
from revetl.enrich.execution.disk_room import DiskRoom
from revetl.enrich.execution.dispatcher import Dispatcher
from revetl.enrich.execution.heartbeat import Heartbeat
from revetl.enrich.execution.known_answers import KnownAnswers
from revetl.enrich.execution.partition_queue import FirstStageQueue, PartitionQueue, first_failure, run_stages
from revetl.enrich.execution.question_queue import QuestionSet
from revetl.enrich.execution.resuming import resume_jobs
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import RunLedger
from revetl.enrich.report import FieldReport
from revetl.enrich.selection.partition import EVERYTHING, Partition, partition_count, partitions_between
from revetl.enrich.waterfall import Stage
from revetl.errors import WarehouseError, WarehouseFull, WarehouseLost
from revetl.privacy import erased_file
from revetl.privacy.suppressions import Suppressions, choose_key
from revetl.state import spend
from revetl.state.calls import recover
from revetl.warehouse.reconnecting import failing_at_once, until_back

log = logging.getLogger(__name__)

ZERO = Decimal(0)
# In a row, and nothing was written in between: then it is a statement of ours that ends the server's session.
MOST_LOSSES = 5


@dataclass(frozen=True, slots=True)
class StageRound:
    """The questions of one partition, as they were put to one stage's provider.

    `generation`: how often other runs had been let through there by then; `in_flight_elsewhere`: how many of these
    questions they were asking.
    """

    asked: QuestionSet
    generation: int
    in_flight_elsewhere: int


class Cascade:
    """The stages of one run; `execute` is the run.

    A lost connection. Answers that are in flight come in, are kept in a file (`answer_spool.py`), and nothing more
    leaves. When the connection is back they are written, and the stages begin again: whatever has an answer by then is
    not asked. Where it does not come back in time the run fails, and the next one writes what is kept.
    """

    def __init__(self, run: WaterfallRun) -> None:
        self._run = run
        self._heartbeat = Heartbeat(run.ctx)
        self._ledger = RunLedger(run, self._heartbeat)
        self._disk = DiskRoom(run.ctx, run.providers.values())
        self._losses = 0  # since answers were last written
        self._begin_stages()

    def _begin_stages(self) -> None:
        """Nothing is in flight, so nothing is reserved."""
        run = self._run
        run.warehouse_failed, run.disk_shortage = False, None
        run.budget.release(run.budget.reserved_usd)
        self._dispatcher = Dispatcher(run, self._ledger, self._disk)
        self._known = KnownAnswers(run, self._dispatcher)
        self._needed: Counter[str] = Counter()  # by verifier: partitions in work that reserved money for it
        # By provider: questions of the partitions so far, and the share of the records that these are.
        self._seen: dict[str, tuple[int, float]] = {}

    async def execute(self) -> None:
        run = self._run
        async with AsyncExitStack() as stack:
            stack.enter_context(failing_at_once(run.ctx.warehouse))
            await stack.enter_async_context(self._heartbeat.kept())
            await keep_declared_prices(run.ctx, run.provider_specs.values())
            run.report.recovered_in_doubt = await recover(run.ctx.warehouse, run.ctx.clock)
            erased_file.reconcile(run.ctx.warehouse, run.ctx.state_dir, run.ctx.clock.now())
            await choose_key(run.ctx.warehouse, run.ctx.clock)
            run.suppressions = Suppressions.load(run.ctx.warehouse)
            # What an earlier run paid for and could not write is written before anything is asked.
            run.report.taken_up = await write_kept(run.ctx, run.suppressions, self._ledger.zone)
            before = run.questions().filled()
            for provider in run.providers.values():
                await stack.enter_async_context(provider)
            try:
                while not await self._with_room(max(total for total, _ in before.values())):
                    self._begin_stages()
            finally:
                run.report.requests = sum(provider.requests for provider in run.providers.values())
            try:
                self._tally(before)
            except WarehouseLost:
                await self._until_back()
                self._tally(before)

    async def _with_room(self, records: int) -> bool:
        with self._disk.taken():
            return await self._went_through(records)

    async def _went_through(self, records: int) -> bool:
        """False: the connection was lost and is back, and what had been paid for is written. WarehouseLost where it
        stays away, or is lost again and again."""
        run = self._run
        try:
            # What earlier runs submitted and paid for is fetched before anything is asked.
            run.report.resumed += (await resume_jobs(run)).calls
            await self._stages(records)
            if run.disk_shortage is not None:
                raise WarehouseFull(run.disk_shortage)
            return True
        except WarehouseError as e:
            kept = self._dispatcher.kept()
            failure = _saying_where(e, len(kept), self._keep(kept))
            self._losses += 1
            if not isinstance(e, WarehouseLost) or self._losses > MOST_LOSSES:
                raise failure from None
        except BaseException:
            if run.warehouse_failed:  # told to end at once, while the last answers came in
                self._keep(self._dispatcher.kept())
            raise
        try:
            await self._until_back()
            # From memory: there may be no folder for a file. The file is then found to be written, and removed.
            if await write_answers(run.ctx, run.suppressions, kept, self._ledger.zone):
                self._losses = 0
            await write_kept(run.ctx, run.suppressions, self._ledger.zone)
            spend.release_reserved(run.ctx.warehouse, run.ctx.run_id)
        except WarehouseError:
            raise failure from None
        return False

    async def _until_back(self) -> None:
        """Nothing is in flight meanwhile, so the attempts may block the loop."""
        ctx = self._run.ctx

        async def probe() -> None:
            self._heartbeat.beat()

        await until_back(probe, ctx.clock, patience_s=ctx.reconnect_s, stop=ctx.stop)

    def _keep(self, kept: Sequence[KeptAnswer]) -> Path | None:
        """At once, and not when patience ends: the process may be stopped meanwhile."""
        try:
            return AnswerSpool(self._run.ctx.state_dir).keep(self._run.ctx.run_id, kept)
        except OSError as e:
            log.warning("%d paid answers can't be kept in a file: %s", len(kept), e.strerror)
            return None

    async def _stages(self, records: int) -> None:
        """All stages at the same time, each with other partitions. One after the other where the money might not
        suffice: later stages would spend it on some records before the cheaper ones have seen all."""
        partitions = [EVERYTHING]
        questions = self._run.questions()
        if partition_count(records) > 1:
            # By what there is to ask: each partition reads the ledger, and with little to ask nobody is kept waiting.
            records = max(questions.count_records(stage) for stage in self._run.spec.stages)
        number = partition_count(records)
        if number > 1 and self._can_pay_for_all():
            partitions = partitions_between(questions.bounds(number))
        try:
            async with asyncio.TaskGroup() as group:
                self._dispatcher.start(group)
                first = FirstStageQueue(partitions, self._run.ctx.clock)
                try:
                    await run_stages(len(self._run.spec.stages), first, self._stage)
                except BaseExceptionGroup as failures:
                    # Before the workers are ended: what they have in flight is awaited then.
                    self._run.warehouse_failed |= isinstance(first_failure(failures), WarehouseError)
                    raise
                self._dispatcher.close()
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    def _can_pay_for_all(self) -> bool:
        """Whether every question that there is may be asked at its greatest price."""
        if self._run.budget.limit_usd is None and not self._ledger.limits:
            return True
        questions, verifications = self._run.questions(), self._run.verifications()
        stages = self._run.spec.stages
        need: dict[str, Decimal] = {}

        def add(provider: str, number: int) -> None:
            greatest = self._run.providers[provider].spec.greatest_usd
            need[provider] = need.get(provider, ZERO) + number * greatest

        for stage in stages:
            asked = questions.count(stage)
            for name in (stage.provider, *stage.verify.values()):
                add(name, asked)
        for field, verifier in {pair for stage in stages for pair in stage.verify.items()}:
            add(verifier, verifications.count_unverified(field, verifier))
        return self._ledger.can_pay(need)

    async def _stage(self, number: int, queue: PartitionQueue[Partition], hand_on: Callable[[Partition], None]) -> None:
        """Asks about each partition as soon as the provider has read the questions of the one before: not when they
        are answered, so that it always has something to do."""
        run = self._run
        stage = run.spec.stages[number]
        async with asyncio.TaskGroup() as group:
            while (partition := await self._next(stage, queue)) is not None:
                if run.has_stopped:
                    hand_on(partition)
                    continue
                self._needed.update(set(stage.verify.values()))
                begun = await self._begin(stage, partition)
                if run.options.on_progress is not None and stage.provider not in self._seen:
                    self._expect(stage.provider, run.questions(partition).count(stage), partition.share)
                group.create_task(self._end(stage, partition, begun, hand_on))
            self._dispatcher.flush(stage.provider)

    async def _next(self, stage: Stage, queue: PartitionQueue[Partition]) -> Partition | None:
        """A partition, when its questions would be read at once."""
        await self._dispatcher.until_idle(stage.provider)
        return await queue.get()

    async def _begin(self, stage: Stage, partition: Partition) -> StageRound:
        """What an earlier run left unverified is verified first: it may be all that is lacking."""
        generation = self._dispatcher.generation_of_others(stage.provider)
        in_flight = self._in_flight_elsewhere(stage, partition)
        await self._known.verify(stage, partition)
        asked = self._dispatcher.ask(stage.provider, lambda: self._run.questions(partition).stream(stage))
        return StageRound(asked, generation, in_flight)

    async def _end(
        self, stage: Stage, partition: Partition, begun: StageRound, hand_on: Callable[[Partition], None]
    ) -> None:
        """Waits for the answers, gives them to every record that they serve, and verifies them. Where another run asks
        the same question its answer is waited for; then it is one that is already paid for."""
        run, dispatcher = self._run, self._dispatcher
        generation = begun.generation
        await begun.asked.done.wait()
        asked, share = self._seen.get(stage.provider, (0, 0.0))
        self._seen[stage.provider] = asked + begun.asked.asked, share + partition.share
        self._expect(stage.provider, *self._seen[stage.provider])
        while True:
            by_others = await dispatcher.answered(begun.asked)
            await self._known.give(stage, partition)
            waited = await dispatcher.others_answered(lambda: self._in_flight_elsewhere(stage, partition))
            others = begun.in_flight_elsewhere or by_others or waited
            if not others or run.has_stopped or not run.may_ask(stage.provider):
                break
            begun = await self._begin(stage, partition)
        if dispatcher.generation_of_others(stage.provider) != generation:
            # Other runs were let through: an answer of theirs that came between two looks serves our records as well.
            await self._known.give(stage, partition)
        self._release(stage.verify.values())
        hand_on(partition)

    def _expect(self, provider: str, asked: int, share: float) -> None:
        """The other partitions will be like these."""
        self._dispatcher.expect(provider, round(asked / share))

    def _in_flight_elsewhere(self, stage: Stage, partition: Partition) -> int:
        if self._dispatcher.is_alone(stage.provider):
            return 0
        return self._run.questions(partition).in_flight(stage)

    def _release(self, verifiers: Iterable[str]) -> None:
        """What is reserved for a verifier is given back when no partition in work may need it."""
        for verifier in set(verifiers):
            self._needed[verifier] -= 1
            if not self._needed[verifier]:
                self._ledger.release(verifier)

    def _tally(self, before: Mapping[str, tuple[int, int]]) -> None:
        questions, fields = self._run.questions(), self._run.report.fields
        for field, (total, filled) in questions.filled().items():
            fields[field] = FieldReport(total, before[field][1], filled)
        for (field, provider), records in questions.filled_by().items():
            if field in fields:
                fields[field].by_provider[provider] = records


def _saying_where(failure: WarehouseError, answers: int, place: Path | None) -> WarehouseError:
    """The same, with what became of the answers that were paid for and not written."""
    if not answers:
        return failure
    kept = f"are kept in {place}: the next `revetl enrich` or `revetl run` here writes them"
    said = f"{failure}\n{answers:,} paid answers {kept if place else 'could not be kept, and are in doubt'}"
    if isinstance(failure, WarehouseLost):
        return WarehouseLost(said, in_doubt=failure.in_doubt)
    return type(failure)(said)
