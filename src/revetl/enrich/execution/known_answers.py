"""What records are given without a call, and what is asked of verifiers before a value counts."""

from __future__ import annotations

from itertools import islice

from revetl.enrich.execution.answers import reused_value
from revetl.enrich.execution.dispatcher import Dispatcher
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.selection.partition import Partition
from revetl.enrich.waterfall import Stage
from revetl.state.values import append_values, apply_verdicts

REUSE_ROWS = 5_000


class KnownAnswers:
    """Of one run. Both steps are safe to repeat: what a record has already is not given again."""

    def __init__(self, run: WaterfallRun, dispatcher: Dispatcher) -> None:
        self._run = run
        self._dispatcher = dispatcher

    async def give(self, stage: Stage, partition: Partition) -> None:
        """Gives records what is known by now, and verifies what has to be."""
        self._reuse(stage, partition)
        await self.verify(stage, partition)

    async def verify(self, stage: Stage, partition: Partition) -> None:
        for field, verifier in stage.verify.items():
            await self._verify(field, verifier, partition)

    def _reuse(self, stage: Stage, partition: Partition) -> None:
        """Gives records the values of an equal question that was paid for somebody else's record."""
        run = self._run
        found = run.reusable(partition).reusable(stage)
        served: set[str] = set()
        while piece := list(islice(found, REUSE_ROWS)):
            values = [
                reused_value(run, stage.provider, value) for value in piece if not run.suppressions.is_erased(value.key)
            ]
            if not values:
                continue
            with run.ctx.warehouse.transaction():
                append_values(run.ctx.warehouse, values)
            # Rows come ordered by key: only the last key of a piece can come again.
            keys = {value.key for value in values}
            run.report.providers[stage.provider].reused += len(keys - served)
            served = {values[-1].key}

    async def _verify(self, field: str, verifier: str, partition: Partition) -> None:
        """Decides what waits: from verdicts that are known, then by asking for those that are not."""
        run, dispatcher = self._run, self._dispatcher
        again = True
        while again and (waiting := run.verifications(partition).count_waiting(field, verifier)):
            dispatcher.expect(verifier, run.report.providers[verifier].asked + waiting)
            apply_verdicts(run.ctx.warehouse, field, run.ctx.clock.now())
            if not run.may_ask(verifier):
                return
            # Also where nothing seems to be open: another partition may be asking about the same address.
            asked = dispatcher.ask(verifier, lambda: run.verifications(partition).stream_unverified(field, verifier))
            by_others = await dispatcher.answered(asked)
            waited = await dispatcher.others_answered(lambda: self._verified_by_others(field, verifier, partition))
            apply_verdicts(run.ctx.warehouse, field, run.ctx.clock.now())
            again = bool(by_others or waited) and not run.has_stopped

    def _verified_by_others(self, field: str, verifier: str, partition: Partition) -> int:
        """How many of the values other runs have verified at this moment."""
        if self._dispatcher.is_alone(verifier):
            return 0
        return self._run.verifications(partition).unverified_in_flight(field, verifier)
