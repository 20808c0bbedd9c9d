"""What a run of a waterfall did, and what it would cost before it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(slots=True)
class ProviderReport:
    """`asked` are calls that left. `reused`: records served by an answer that was already paid for."""

    asked: int = 0
    hits: int = 0
    misses: int = 0
    errors: int = 0
    in_doubt: int = 0
    reused: int = 0
    spent_usd: Decimal = Decimal(0)
    in_doubt_usd: Decimal = Decimal(0)

    @property
    def usd_per_hit(self) -> Decimal | None:
        """Misses that were charged included; None where nothing was found now."""
        return self.spent_usd / self.hits if self.hits else None


@dataclass(slots=True)
class FieldReport:
    """Records that hold a value, of `total`: in their own column or accepted from a provider."""

    total: int = 0
    filled_before: int = 0
    filled_after: int = 0
    by_provider: dict[str, int] = field(default_factory=dict)  # records whose blank an accepted value of theirs fills


@dataclass(slots=True)
class EnrichReport:
    """`stopped`: why nothing more was asked though more was wanted (budget). `denied`, `unavailable` and `exhausted`
    (its own budget is spent): provider → the reason. `recovered_in_doubt`: calls of an earlier run that never ended;
    `resumed`: calls in doubt of earlier runs whose result was fetched now; `taken_up`: answers that an earlier run paid
    for and could not write, written now. Money is in US dollars."""

    waterfall: str
    run_id: str
    providers: dict[str, ProviderReport] = field(default_factory=dict)
    fields: dict[str, FieldReport] = field(default_factory=dict)
    recovered_in_doubt: int = 0
    resumed: int = 0
    taken_up: int = 0
    suppressed: int = 0
    stopped: str | None = None
    denied: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    exhausted: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    @property
    def asked(self) -> int:
        return sum(p.asked for p in self.providers.values())

    @property
    def spent_usd(self) -> Decimal:
        return sum((p.spent_usd for p in self.providers.values()), Decimal(0))

    @property
    def in_doubt_usd(self) -> Decimal:
        return sum((p.in_doubt_usd for p in self.providers.values()), Decimal(0))

    @property
    def filled(self) -> int:
        """Blanks that hold a value now, over all fields."""
        return sum(max(0, f.filled_after - f.filled_before) for f in self.fields.values())

    @property
    def exit_code(self) -> int:
        """As the commands' contract says: 4 credentials, 3 budget, 1 unknown outcomes, 0 done."""
        if self.denied:
            return 4
        if self.stopped or self.exhausted:
            return 3
        doubtful = any(p.in_doubt or p.errors for p in self.providers.values())
        return 1 if doubtful or self.unavailable else 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `expected` is how many questions this stage has in all."""

    provider: str
    expected: int
    asked: int
    hits: int
    misses: int
    spent_usd: Decimal


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """The lookups of one stage; what verifying their values costs is a `VerifierEstimate`'s.

    `lookups`: the most that may be asked now. `expected_lookups`, with a decimal below ten, leaves out what earlier
    stages will have filled; of them `hit_rate` are hits, and times the price that is `expected_usd`. `assumed`: the
    ledger holds too few answers, so the hit rate is a guess. Of a list: `spared` are lookups that are not made since
    the provider has answered about the same people, asked with other inputs; `again` are those of `lookups` about
    people whom it did not find, and may find by what is new.
    """

    provider: str
    lookups: int
    expected_lookups: float
    hit_rate: float
    assumed: bool
    expected_usd: Decimal
    greatest_usd: Decimal
    minutes: float = 0.0
    spared: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class VerifierEstimate:
    """What one verifier is asked about: values of a list and of earlier runs that wait for it, and what stages give."""

    provider: str
    lookups: int
    expected_lookups: float
    expected_usd: Decimal
    greatest_usd: Decimal


@dataclass(frozen=True, slots=True)
class FieldCoverage:
    """Records that hold a value of one field, of `total`: now, and afterwards with what is likely (95 of 100 runs end
    between `low` and `high`)."""

    total: int
    before: int
    expected: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Costs of stages and verifiers are before the budget; `limit_usd` is the budget that will hold, None where there
    is none.

    19 of 20 runs cost less than `p95_usd`, and 95 of 100 between `low_usd` and `high_usd`. `coverage` is by field, as
    if there were no budget. `minutes` are those that the providers' limits allow, at the least. `suppressed`: records
    about which nobody is asked, since their people objected or were erased.
    """

    waterfall: str
    stages: tuple[StageEstimate, ...]
    verifiers: tuple[VerifierEstimate, ...] = ()
    limit_usd: Decimal | None = None
    low_usd: Decimal = Decimal(0)
    p95_usd: Decimal = Decimal(0)
    high_usd: Decimal = Decimal(0)
    minutes: float = 0.0
    coverage: Mapping[str, FieldCoverage] = field(default_factory=dict)
    suppressed: int = 0

    @property
    def lookups(self) -> int:
        return sum(s.lookups for s in self.stages)

    @property
    def expected_usd(self) -> Decimal:
        usd = [*(s.expected_usd for s in self.stages), *(v.expected_usd for v in self.verifiers)]
        return self._within(sum(usd, Decimal(0)))

    @property
    def greatest_usd(self) -> Decimal:
        return self._within(self.unlimited_usd)

    @property
    def unlimited_usd(self) -> Decimal:
        """The greatest that it may cost if no budget holds."""
        usd = [*(s.greatest_usd for s in self.stages), *(v.greatest_usd for v in self.verifiers)]
        return sum(usd, Decimal(0))

    @property
    def assumed(self) -> bool:
        return any(s.assumed and s.lookups for s in self.stages)

    def _within(self, usd: Decimal) -> Decimal:
        return usd if self.limit_usd is None else min(usd, self.limit_usd)
