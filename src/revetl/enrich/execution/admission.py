"""Who may ask now. One transaction decides, under the locks of the waterfall's money and of the provider's questions:
the budgets that runs share have room, no other run asks the same, the intents are written. Only then do calls leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from revetl.enrich.execution.budget import ZERO, SharedSpend
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import ReservedCall, RunLedger, SpendChanges
from revetl.enrich.limits import BudgetLimit
from revetl.enrich.selection.question import Question
from revetl.enrich.waterfall import Stage
from revetl.errors import WarehouseLost
from revetl.state import locks
from revetl.state.appending import append_rows
from revetl.state.calls import append_intents


@dataclass(frozen=True, slots=True)
class Admitted:
    """`calls` are in the ledger and may leave. `asked_by_others`: questions that another run asks, or has asked just
    now. `refused_by`: the limit that kept the rest out, if one did."""

    calls: Sequence[ReservedCall] = ()
    asked_by_others: Sequence[Question] = ()
    refused_by: BudgetLimit | None = None


class Admission:
    """The way to one provider, for one stage; `stage` None: a verifier.

    The lock of a provider's questions counts how often it was taken: its *generation*. As long as only this run has
    taken it since the questions were read, the ledger need not be searched for equal ones.
    """

    def __init__(self, run: WaterfallRun, ledger: RunLedger, provider: str, stage: Stage | None) -> None:
        self._run = run
        self._ledger = ledger
        self._provider = provider
        self._price = run.providers[provider].spec.greatest_usd
        self._for_verifying: dict[str, Decimal] = {}
        self._deciding: Sequence[ReservedCall] = ()
        self.unsure: Sequence[ReservedCall] = ()  # the answer of their COMMIT was lost, so none of them left
        for verifier in () if stage is None else stage.verify.values():
            usd = run.providers[verifier].spec.greatest_usd
            if usd:
                self._for_verifying[verifier] = self._for_verifying.get(verifier, ZERO) + usd
        self._question_lock = f"enrich: questions to {provider}"
        self._locks = (self._question_lock, *ledger.money_locks)
        locks.ensure(ledger.warehouse, self._locks)
        self._seen_generation = self.generation_of_others()

    @property
    def verification_usd(self) -> Decimal:
        """What is reserved with each question for verifying its answer."""
        return sum(self._for_verifying.values(), ZERO)

    @property
    def greatest_usd(self) -> Decimal:
        """What one question takes out of the run's own budget."""
        return self._price + self.verification_usd

    def generation_of_others(self) -> int:
        """How often questions of other runs were let through to this provider so far."""
        return locks.generation(self._ledger.warehouse, self._question_lock) - self._ledger.generations[self._provider]

    def before_reading(self) -> None:
        """To be called before questions are read, while none is left of those read before: what others ask from here on
        is left out by `admit`."""
        self._seen_generation = self.generation_of_others()

    async def admit(self, questions: Sequence[Question]) -> Admitted:
        """As many of the questions as there is money for, from the first on; their intents are durable when this
        returns. What the run's own budget has no room for is neither admitted nor named."""
        budget = self._ledger.budget
        fits = 0
        while fits < len(questions) and budget.reserve(self.greatest_usd):
            fits += 1
        if not fits:
            return Admitted()
        admitted = Admitted()
        # Those decided on before have left: where the connection is lost before we decide, they are not unsure.
        self._deciding = ()
        try:
            admitted = await locks.locked(
                self._ledger.warehouse, self._ledger.clock, self._locks, lambda: self._decide(questions[:fits])
            )
            self._ledger.generations[self._provider] += 1
        except WarehouseLost:
            self.unsure = self._deciding
            raise
        finally:
            for _ in range(fits - len(admitted.calls)):
                budget.release(self.greatest_usd)
        return admitted

    def _decide(self, wanted: Sequence[Question]) -> Admitted:
        """Inside the transaction that has the locks. It runs again from the start where another run was first."""
        ledger = self._ledger
        taken = set() if self._is_alone() else self._asked_by_others(wanted)
        free = [question for question in wanted if question.request_hash not in taken]
        # A finder of a waterfall without shared limits spends nothing that was reserved before: no sums are needed.
        needs_sums = bool(ledger.limits) or not self._for_verifying
        shared = ledger.shared_spend() if needs_sums else SharedSpend((), ledger.run_id, ledger.today())
        each = {self._provider: self._price, **self._for_verifying}
        room, refused_by = shared.fitting(ledger.limits, len(free), each, self._provider)
        calls = [
            ReservedCall(question, ledger.new_call(self._provider, question, self._price), self._for_verifying)
            for question in free[:room]
        ]
        self._deciding = calls
        append_intents(ledger.warehouse, [reserved.call for reserved in calls])
        append_rows(
            ledger.warehouse,
            "enrichment_identities",
            [
                (self._provider, reserved.question.request_hash, name, digest)
                for reserved in calls
                for name, digest in reserved.question.digests.items()
            ],
        )
        ledger.change(self._spent_by(len(calls), shared))
        return Admitted(calls, [question for question in wanted if question.request_hash in taken], refused_by)

    def _is_alone(self) -> bool:
        """Whether nobody else was let through since the questions were read. The lock counts us already."""
        now = locks.generation(self._ledger.warehouse, self._question_lock)
        return now == self._seen_generation + self._ledger.generations[self._provider] + 1

    def _asked_by_others(self, questions: Sequence[Question]) -> set[str]:
        # They may also have been told not to ask about somebody.
        self._run.suppressions.refresh()
        return self._run.questions().asked_lately(self._provider, [question.request_hash for question in questions])

    def _spent_by(self, calls: int, shared: SharedSpend) -> SpendChanges:
        """The price is committed, out of what is reserved for this provider as far as that goes. What verifying may
        cost is reserved."""
        changes = SpendChanges()
        today, left = self._ledger.today(), calls * self._price
        changes.add(self._provider, today, committed=left)
        for line in shared.reserved_for(self._provider):
            used = min(line.reserved_usd, left)
            left -= used
            changes.add(line.provider, line.day, reserved=-used)
        for verifier, usd in self._for_verifying.items():
            changes.add(verifier, today, reserved=calls * usd)
        return changes
