"""What one run writes about its calls and its money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count

from revetl.enrich.execution.budget import ZERO, SharedSpend
from revetl.enrich.execution.heartbeat import Heartbeat
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.limits import limits_of, project_limits
from revetl.enrich.selection.question import Question
from revetl.state import spend
from revetl.state.calls import CallOutcome, PaidCall, append_outcomes, ended_among
from revetl.state.values import ValueRow, append_values


@dataclass(frozen=True, slots=True)
class ReservedCall:
    """A question with its row in the ledger: its greatest price is reserved, its intent is durable. `for_verifying`:
    what is reserved beside it for verifying what it may find, by verifier."""

    question: Question
    call: PaidCall
    for_verifying: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call with its outcome and the values that its answer gave. `verification_follows`: some of them have to be
    verified, so what was reserved for that is kept."""

    reserved: ReservedCall
    outcome: CallOutcome
    values: Sequence[ValueRow]
    verification_follows: bool


class SpendChanges:
    """By how much the sums of `enrichment_spend` change, collected so that each row changes once."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}

    def add(self, provider: str, day: str, *, committed: Decimal = ZERO, reserved: Decimal = ZERO) -> None:
        before = self._changes.get((provider, day), (ZERO, ZERO))
        self._changes[provider, day] = before[0] + committed, before[1] + reserved

    @property
    def rows(self) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        """(provider, day) → by how much what is committed and what is reserved changes; none that does not."""
        return {place: change for place, change in self._changes.items() if any(change)}


class RunLedger:
    """Of one run. `generations` counts by provider how often this run's questions were let through; the lock of the
    provider's questions counts those of all runs."""

    def __init__(self, run: WaterfallRun, heartbeat: Heartbeat) -> None:
        self.warehouse = run.ctx.warehouse
        self.clock = run.ctx.clock
        self.run_id = run.ctx.run_id
        self.spec = run.spec
        self.budget = run.budget
        together = project_limits(run.options.project_budget)
        self.limits = (*limits_of(run.spec.budget, run.spec.name), *together)
        self.zone = run.options.project_budget.zone
        self._is_shared = bool(together)
        self.generations: Counter[str] = Counter()
        self._heartbeat = heartbeat
        self._numbers = count(1)

    @property
    def money_locks(self) -> tuple[str, ...]:
        """Under which this waterfall's money is spent, and the project's where that has a budget."""
        own = f"enrich: money of {self.spec.name}"
        return (own, "enrich: money of all waterfalls") if self._is_shared else (own,)

    def new_call(self, provider: str, question: Question, expected_usd: Decimal) -> PaidCall:
        return PaidCall(
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

    def today(self) -> str:
        """The day, in the project's time zone, on which money is spent now."""
        return self.day_of(self.clock.now())

    def day_of(self, moment: datetime) -> str:
        return spend.day_of(moment, self.zone)

    def shared_spend(self) -> SharedSpend:
        """What the waterfall's runs have committed and reserved this month, and all others' where the project has a
        budget. To decide by it, read it inside the transaction that has the money locks."""
        day = self.today()
        of = None if self._is_shared else self.spec.name
        lines = spend.lines(self.warehouse, of, f"{day[:7]}-01", self.run_id)
        return SharedSpend(lines, self.run_id, day)

    def can_pay(self, need: Mapping[str, Decimal]) -> bool:
        """Whether so much, by provider, may be spent now under the run's own budget and all limits that it shares."""
        own = self.budget
        if own.limit_usd is not None and own.committed_usd + sum(need.values()) > own.limit_usd:
            return False
        if not self.limits:
            return True
        shared = self.shared_spend()
        return all(
            shared.used(limit) + sum(usd for name, usd in need.items() if limit.covers(name)) <= limit.usd
            for limit in self.limits
        )

    def write(self, finished: Sequence[FinishedCall]) -> None:
        """Outcomes, values and money, inside the caller's transaction.

        Where no heartbeat came for too long, other runs may have taken this one for dead and have fetched what it had
        submitted: what they wrote stands, and only the rest is written.
        """
        if self._heartbeat.was_missed:
            ended = ended_among(self.warehouse, [each.reserved.call for each in finished])
            finished = [each for each in finished if each.reserved.call.call_id not in ended]
        append_outcomes(self.warehouse, [(each.reserved.call, each.outcome) for each in finished])
        append_values(self.warehouse, [value for each in finished for value in each.values])
        changes = SpendChanges()
        for each in finished:
            call, day = each.reserved.call, self.day_of(each.reserved.call.asked_at)
            if each.outcome.charged_usd is not None:
                changes.add(call.provider, day, committed=each.outcome.charged_usd - call.expected_usd)
            if not each.verification_follows:
                for verifier, usd in each.reserved.for_verifying.items():
                    changes.add(verifier, day, reserved=-usd)
        self.change(changes)

    def change(self, changes: SpendChanges) -> None:
        """Inside the caller's transaction."""
        spend.add(self.warehouse, self.run_id, self.spec.name, changes.rows)

    def release(self, verifier: str) -> None:
        """Nothing has to be asked of this verifier any more: gives back what is reserved for it."""
        spend.release_reserved(self.warehouse, self.run_id, verifier)
