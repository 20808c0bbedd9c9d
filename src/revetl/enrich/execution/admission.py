"""Who may ask now. One transaction decides, under the locks of the waterfall's money and of the provider's questions:
the budgets that runs share have room, no other run asks the same, the intents stand. Only then do calls leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count

from revetl.context import RunContext
from revetl.enrich.execution.budget import Budget, Limit, fitting, limits_of
from revetl.enrich.selection.query import Question
from revetl.enrich.waterfall import WaterfallSpec
from revetl.state import locks, spend
from revetl.state.calls import Call, CallOutcome, append_intents, append_outcomes, ended_among
from revetl.state.values import ValueRow, append_values

ZERO = Decimal(0)
Changes = dict[tuple[str, str], tuple[Decimal, Decimal]]  # (provider, day) → by how much committed and held change


@dataclass(frozen=True, slots=True)
class Job:
    """A question with its row in the ledger. `holds`: what was set aside with it, by verifier."""

    question: Question
    call: Call
    holds: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """A job with its outcome and the values that its answer gave. `keeps_hold`: they have to be verified."""

    job: Job
    outcome: CallOutcome
    values: Sequence[ValueRow]
    keeps_hold: bool


@dataclass(frozen=True, slots=True)
class Admitted:
    """`jobs` are in the ledger and may leave. `elsewhere`: questions that another run asks or has asked just now.
    `refused`: the limit that kept the rest out, if one did."""

    jobs: Sequence[Job]
    elsewhere: Sequence[Question] = ()
    refused: Limit | None = None


class RunLedger:
    """What one run writes about its calls and money. `budget` is the run's own; the spec's other limits are shared."""

    def __init__(
        self, ctx: RunContext, spec: WaterfallSpec, budget: Budget, is_late: Callable[[], bool] = lambda: False
    ) -> None:
        self.warehouse = ctx.warehouse
        self.clock = ctx.clock
        self.spec = spec
        self.run_id = ctx.run_id
        self.budget = budget
        self.limits = limits_of(spec.budget)
        self.set_aside: dict[tuple[str, str], Decimal] = {}
        self.turns: Counter[str] = Counter()  # by provider: how often this run was let through
        self._is_late = is_late
        self._numbers = count(1)

    @property
    def lock(self) -> str:
        """Under which this waterfall's money is spent."""
        return f"enrich: money of {self.spec.name}"

    def new_call(self, provider: str, question: Question, expected_usd: Decimal) -> Call:
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

    def lines(self, now: datetime) -> list[spend.Line]:
        """Inside the transaction that has the lock: what the waterfall's runs have committed this month."""
        return spend.lines(self.warehouse, self.spec.name, f"{spend.day_of(now)[:7]}-01", self.run_id)

    def has_room(self, need: Mapping[str, Decimal]) -> bool:
        """Whether so much, by provider, may be spent now under the run's own budget and all that it shares."""
        own = self.budget
        if own.limit_usd is not None and own.committed_usd + sum(need.values()) > own.limit_usd:
            return False
        day = spend.day_of(self.clock.now())
        lines = spend.lines(self.warehouse, self.spec.name, f"{day[:7]}-01", self.run_id) if self.limits else []
        return all(
            limit.used(lines, self.run_id, day) + sum(usd for name, usd in need.items() if limit.is_about(name))
            <= limit.usd
            for limit in self.limits
        )

    def write(self, ended: Sequence[Ended]) -> None:
        """Outcomes, values and money, inside the caller's transaction. Where this run was away for so long that others
        took it for dead, what they have settled meanwhile stands."""
        if self._is_late():
            settled = ended_among(self.warehouse, [e.job.call for e in ended])
            ended = [e for e in ended if e.job.call.call_id not in settled]
        append_outcomes(self.warehouse, [(e.job.call, e.outcome) for e in ended])
        append_values(self.warehouse, [value for e in ended for value in e.values])
        changes: Changes = {}
        for e in ended:
            call, day = e.job.call, spend.day_of(e.job.call.asked_at)
            if e.outcome.charged_usd is not None:
                _add(changes, (call.provider, day), e.outcome.charged_usd - call.expected_usd, ZERO)
            for verifier, usd in e.job.holds.items():
                if not e.keeps_hold:
                    _add(changes, (verifier, day), ZERO, -usd)
        self.change(changes)

    def change(self, changes: Changes) -> None:
        """Inside the caller's transaction."""
        spend.change(self.warehouse, self.run_id, self.spec.name, {k: v for k, v in changes.items() if any(v)})

    def release(self, verifier: str) -> None:
        """Nothing has to be asked of this verifier any more: gives back what is set aside for it."""
        spend.drop_held(self.warehouse, self.run_id, verifier)


def questions_lock(provider: str) -> str:
    """Under which questions to this provider are let through, whatever waterfall they are of."""
    return f"enrich: questions to {provider}"


class Admission:
    """The way to one provider, for one stage. `holds`: what is set aside with each question, by verifier. `asked`
    says which of some questions are answered or under way by now, whoever asked them."""

    def __init__(
        self,
        ledger: RunLedger,
        provider: str,
        price_usd: Decimal,
        *,
        holds: Mapping[str, Decimal],
        asked: Callable[[Sequence[str]], set[str]],
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._price = price_usd
        self._holds = {name: usd for name, usd in holds.items() if usd}
        self._asked = asked
        self._lock = questions_lock(provider)
        self._names = (self._lock, ledger.lock)
        locks.ensure(ledger.warehouse, self._names)
        self._others = self.others()

    def others(self) -> int:
        """How often other runs were let through so far."""
        return locks.turn(self._ledger.warehouse, self._lock) - self._ledger.turns[self._provider]

    def look_again(self) -> None:
        """To be called before questions are read, while none is left of those read before: what others ask from here on
        is left out."""
        self._others = self.others()

    @property
    def hold_usd(self) -> Decimal:
        return sum(self._holds.values(), ZERO)

    @property
    def greatest_usd(self) -> Decimal:
        """What one question takes out of the run's own budget."""
        return self._price + self.hold_usd

    async def admit(self, questions: Sequence[Question]) -> Admitted:
        """As many of the questions as there is money for, from the first on; their intents are durable. What the run's
        own budget has no room for is left without a word."""
        ledger = self._ledger
        money = ledger.budget
        fits = 0
        while fits < len(questions) and money.reserve(self.greatest_usd):
            fits += 1
        if not fits:
            return Admitted(())

        def decide() -> Admitted:
            now = ledger.clock.now()
            alone = locks.turn(ledger.warehouse, self._lock) == self._others + ledger.turns[self._provider] + 1
            wanted = questions[:fits]
            taken = set() if alone else self._asked([q.request_hash for q in wanted])
            free = [q for q in wanted if q.request_hash not in taken]
            lines = ledger.lines(now) if ledger.limits or not self._holds else []
            aside = [line for line in lines if line.run_id == ledger.run_id and line.provider == self._provider]
            each = {self._provider: self._price, **self._holds}
            room, refused = fitting(ledger.limits, lines, aside, ledger.run_id, spend.day_of(now), len(free), each)
            calls = [ledger.new_call(self._provider, question, self._price) for question in free[:room]]
            jobs = [Job(q, call, self._holds) for q, call in zip(free, calls, strict=False)]
            append_intents(ledger.warehouse, calls)
            ledger.change(self._taken(len(jobs), aside, now))
            return Admitted(jobs, [q for q in wanted if q.request_hash in taken], refused)

        admitted = Admitted(())
        try:
            admitted = await locks.locked(ledger.warehouse, ledger.clock, self._names, decide)
            ledger.turns[self._provider] += 1
        finally:
            for _ in range(fits - len(admitted.jobs)):
                money.release(self.greatest_usd)
        return admitted

    def _taken(self, jobs: int, aside: Sequence[spend.Line], now: datetime) -> Changes:
        """The price is committed, out of what is set aside for this provider as far as that goes; holds are added."""
        changes: Changes = {}
        day, left = spend.day_of(now), jobs * self._price
        _add(changes, (self._provider, day), left, ZERO)
        for line in aside:
            used = min(line.held, left)
            left -= used
            _add(changes, (line.provider, line.day), ZERO, -used)
        for verifier, usd in self._holds.items():
            _add(changes, (verifier, day), ZERO, jobs * usd)
        return changes


def _add(changes: Changes, place: tuple[str, str], committed: Decimal, held: Decimal) -> None:
    before = changes.get(place, (ZERO, ZERO))
    changes[place] = (before[0] + committed, before[1] + held)
