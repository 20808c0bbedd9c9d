"""What all steps of one run of a waterfall share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from revetl.context import RunContext
from revetl.enrich.execution.budget import RunBudget
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Progress, ProviderReport
from revetl.enrich.selection.partition import EVERYTHING, Partition
from revetl.enrich.selection.question import Question
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.reusable_answers import ReusableSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.selection.verifications import VerificationSelection
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.privacy.suppressions import OBJECTED, Suppressions
from revetl.providers.base import Provider
from revetl.providers.grammar import ProviderSpec


class ConnectedProvider(Provider, Protocol):
    """A provider with the file that declares it: its price, its limits, what it gives."""

    @property
    def spec(self) -> ProviderSpec: ...


@dataclass(slots=True, kw_only=True)
class WaterfallRun:
    """`providers` are those that the waterfall asks, and no others. `suppressions` are set when the run has begun."""

    ctx: RunContext
    spec: WaterfallSpec
    providers: Mapping[str, ConnectedProvider]
    relation: Relation
    options: WaterfallOptions
    budget: RunBudget
    # The warehouse failed while calls were in flight: nothing more leaves until what came is written.
    warehouse_failed: bool = field(init=False, default=False)
    # Why the disk may not take more answers: what is in flight is awaited and written.
    disk_shortage: str | None = field(init=False, default=None)
    report: EnrichReport = field(init=False)
    suppressions: Suppressions = field(init=False)

    def __post_init__(self) -> None:
        self.report = EnrichReport(self.spec.name, self.ctx.run_id)
        self.report.providers = {name: ProviderReport() for name in self.providers}

    @property
    def entity(self) -> str:
        """The name under which values are kept."""
        return self.options.entity_name or self.spec.entity

    @property
    def provider_specs(self) -> dict[str, ProviderSpec]:
        return {name: provider.spec for name, provider in self.providers.items()}

    @property
    def has_stopped(self) -> bool:
        """Nothing more is asked of anybody: a budget is spent, the operator said stop, or answers can't be written."""
        return bool(self.report.stopped) or self._can_ask_nobody

    def may_ask(self, provider: str) -> bool:
        report = self.report
        lost = provider in report.denied or provider in report.unavailable or provider in report.exhausted
        return not lost and not self._can_ask_nobody

    @property
    def _can_ask_nobody(self) -> bool:
        return self.warehouse_failed or self.disk_shortage is not None or self.ctx.stop.is_set()

    def questions(self, partition: Partition = EVERYTHING) -> QuestionSelection:
        """As of now: what an earlier stage brought counts."""
        return QuestionSelection(self._scope(partition))

    def reusable(self, partition: Partition = EVERYTHING) -> ReusableSelection:
        """As of now, likewise."""
        return ReusableSelection(self._scope(partition))

    def verifications(self, partition: Partition = EVERYTHING) -> VerificationSelection:
        """As of now, likewise."""
        return VerificationSelection(self._scope(partition))

    def _scope(self, partition: Partition) -> Scope:
        return Scope(
            warehouse=self.ctx.warehouse,
            spec=self.spec,
            providers=self.provider_specs,
            relation=self.relation,
            entity=self.entity,
            run_id=self.ctx.run_id,
            now=self.ctx.clock.now(),
            limit=self.options.limit,
            partition=partition,
        )

    def suppress(self, question: Question) -> None:
        """The people behind it asked a vendor not to be processed: nobody is asked about them any more. To be called in
        the transaction that writes the vendor's answer."""
        for identity in question.identities:
            self.suppressions.add(identity, OBJECTED, self.ctx.clock.now())
        self.report.suppressed += len(question.keys)

    def show_progress(self, provider: str, expected: int) -> None:
        """`expected`: how many questions this provider will be asked in all, as far as can be told."""
        if self.options.on_progress is not None:
            done = self.report.providers[provider]
            self.options.on_progress(
                Progress(provider, max(expected, done.asked), done.asked, done.hits, done.misses, done.spent_usd)
            )
