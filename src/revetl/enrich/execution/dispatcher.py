"""Hands the questions of a run to the workers, one worker for each provider, and reports why one ended early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from revetl.enrich.execution.admission import Admission
from revetl.enrich.execution.answer_spool import KeptAnswer
from revetl.enrich.execution.answers import FinderAnswers, VerifierAnswers
from revetl.enrich.execution.disk_room import DiskRoom
from revetl.enrich.execution.provider_worker import ProviderWorker
from revetl.enrich.execution.question_queue import QuestionSet
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import RunLedger
from revetl.enrich.selection.question import Question
from revetl.state.calls import recover

_LOOK_S = 1.0  # how often a run looks whether another one's answer has come
_LONGEST_LOOK_S = 10.0


class Dispatcher:
    """Of one run. `start` sets the workers to work, `close` lets them end."""

    def __init__(self, run: WaterfallRun, ledger: RunLedger, disk: DiskRoom) -> None:
        self._run = run
        self._disk = disk
        self._ledger = ledger
        self._workers: dict[str, ProviderWorker] = {}
        self._admissions: dict[str, Admission] = {}
        # By provider: the generation of other runs when this one began; None where they had questions in flight then.
        self._generation_at_start: dict[str, int | None] = {}

    def start(self, group: asyncio.TaskGroup) -> None:
        stages = {stage.provider: stage for stage in self._run.spec.stages}
        for name in self._run.providers:
            stage = stages.get(name)
            handler = VerifierAnswers(self._run, name) if stage is None else FinderAnswers(self._run, name, stage)
            self._admissions[name] = admission = Admission(self._run, self._ledger, name, stage)
            self._workers[name] = worker = ProviderWorker(self._run, self._ledger, admission, name, handler, self._disk)
            others_ask = self._run.questions().others_ask(name)
            self._generation_at_start[name] = None if others_ask else admission.generation_of_others()
            group.create_task(self._work(name, worker))

    def kept(self) -> list[KeptAnswer]:
        """What came and could not be written, once every worker has ended."""
        return [each for worker in self._workers.values() for each in worker.kept]

    def close(self) -> None:
        """Nothing more will be asked."""
        for worker in self._workers.values():
            worker.close()

    def flush(self, provider: str) -> None:
        """No partition will come any more: batches need not wait until they are full."""
        self._workers[provider].flush()

    def generation_of_others(self, provider: str) -> int:
        """How often questions of other runs were let through to this provider."""
        return self._admissions[provider].generation_of_others()

    def is_alone(self, provider: str) -> bool:
        """Whether no other run can have had a question in flight there since this one began."""
        return self._generation_at_start[provider] == self.generation_of_others(provider)

    async def until_idle(self, provider: str) -> None:
        """Until all that was put in for this provider has been read."""
        await self._workers[provider].until_idle()

    def ask(self, provider: str, questions: Callable[[], Iterator[Question]]) -> QuestionSet:
        """`questions` is called when it is their turn. Suppressed people are left out."""
        return self._workers[provider].put(self._allowed(questions))

    def _allowed(self, questions: Callable[[], Iterator[Question]]) -> Iterator[Question]:
        suppressions = self._run.suppressions
        suppressions.refresh()
        for question in questions():
            allowed = question.allowed(suppressions)
            self._run.report.suppressed += len(question.keys) - len(allowed.keys)
            if allowed.keys:
                yield allowed

    async def answered(self, questions: QuestionSet) -> int:
        """Waits until the set is done. What is reserved in the run's budget for verifying it is released, so that the
        verifier can reserve it. Gives how many of its questions other runs asked first."""
        await questions.done.wait()
        self._ledger.budget.release(questions.verification_usd)
        return questions.asked_by_others

    async def others_answered(self, in_flight: Callable[[], int]) -> bool:
        """Waits while other runs ask what this one wants to know. Whether there was anything to wait for. Calls of a
        run that died meanwhile are in doubt, which is an answer too."""
        run = self._run
        pause, waited = _LOOK_S, False
        while not run.has_stopped and in_flight():
            waited = True
            await run.ctx.clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_S)
            run.report.recovered_in_doubt += await recover(run.ctx.warehouse, run.ctx.clock)
        return waited

    def expect(self, provider: str, questions: int) -> None:
        """For whoever watches: so many will be asked in all."""
        self._workers[provider].expected = questions

    async def _work(self, name: str, worker: ProviderWorker) -> None:
        await worker.work()
        report = self._run.report
        if worker.denied:
            report.denied[name] = worker.denied
        if worker.gave_up:
            report.unavailable[name] = worker.gave_up
        if worker.out_of_budget:
            refused_by = worker.refused_by
            limit = refused_by or f"the budget of ${self._ledger.budget.limit_usd}"
            reason = f"{limit} is spent or reserved: nothing more was asked"
            if refused_by is not None and refused_by.provider is not None:
                report.exhausted[name] = reason
            else:
                report.stopped = reason
        # After the report is filled: whoever waited for the worker looks there first.
        worker.abandon()
