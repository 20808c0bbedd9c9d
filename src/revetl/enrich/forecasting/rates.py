"""How often a provider knows something and what that costs, out of the ledger; where that is too young, a guess.

Calls of the same order of the same waterfall say most, since a later provider sees only what the earlier ones missed;
then those of the waterfall, then all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from revetl.enrich.waterfall import WaterfallSpec
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table

ENOUGH_ANSWERS = 20  # below this a group of calls says less than a wider one
ASSUMED_HIT_RATE = 0.5
ASSUMED_VERDICT_RATE = 0.98  # a verifier has something to say of almost every value
ASSUMED_LATENCY_S = 0.5
_ASSUMED_FIELD_RATE = 0.8
_GUESS_WEIGHT = 2.0  # a guess counts as so many answers, a declared rate as twice that
# However much was answered, tomorrow's records are not quite yesterday's: no rate is known better than so many tell.
MOST_WEIGHT = 2000.0
# What was seen under another order, or of records in another state, tells no more than so many answers would.
LOOSE_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class UncertainRate:
    """A rate that is not known exactly: Beta(yes, no)."""

    yes: float
    no: float

    @classmethod
    def of(cls, guess: float, weight: float, yes: float, answers: float) -> UncertainRate:
        scale = min(1.0, MOST_WEIGHT / answers) if answers else 1.0
        guess = min(max(guess, 0.01), 0.99)
        return cls(guess * weight + yes * scale, (1 - guess) * weight + (answers - yes) * scale)

    def known_from(self, answers: float) -> UncertainRate:
        """The same rate, known no better than from so many answers."""
        scale = min(1.0, answers / (self.yes + self.no))
        return UncertainRate(self.yes * scale, self.no * scale)

    def after(self, yes: float, answers: float) -> UncertainRate:
        """What is known when so many more answers have come."""
        scale = min(1.0, MOST_WEIGHT / answers)
        return UncertainRate(self.yes + yes * scale, self.no + max(answers - yes, 0.0) * scale)

    @property
    def mean(self) -> float:
        return self.yes / (self.yes + self.no)


@dataclass(frozen=True, slots=True)
class ProviderRates:
    """One provider. `accepted` and `checked` are per field and hit: a value that is accepted in the end, and one that
    has to be verified. `passed`: of those that a verifier judged, how many it found true; they are fewer than of all,
    since what the vendor vouches for itself is not among them. Costs are per call in US dollars, `spread_usd` their
    standard deviation on a hit."""

    hit: UncertainRate
    answers: int
    hits: int
    hit_usd: float
    miss_usd: float
    spread_usd: float
    latency_s: float
    accepted: Mapping[str, UncertainRate] = field(default_factory=dict)
    checked: Mapping[str, UncertainRate] = field(default_factory=dict)
    passed: Mapping[str, UncertainRate] = field(default_factory=dict)

    @property
    def assumed(self) -> bool:
        return self.answers < ENOUGH_ANSWERS


@dataclass(slots=True)
class _AnswerCounts:
    hits: int = 0
    misses: int = 0
    hit_usd: float = 0.0
    hit_usd_squared: float = 0.0
    miss_usd: float = 0.0
    latency_s: float = 0.0
    lacked: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    unsettled: dict[str, int] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return self.hits + self.misses


def read_rates(
    warehouse: Warehouse, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]
) -> dict[str, ProviderRates]:
    """By provider and verifier of the waterfall. Makes no call and writes nothing."""
    counted = _read(warehouse, spec)
    found = {}
    for name in spec.provider_names:
        near = [
            _AnswerCounts() if (name, nearness) not in counted else counted[name, nearness] for nearness in (2, 1, 0)
        ]
        chosen = next((s for s in near if s.answers >= ENOUGH_ANSWERS), near[-1])
        # What a verifier says does not depend on the order.
        exact = chosen is near[0] or providers[name].kind == "verifier"
        found[name] = _rates(providers[name], chosen, exact=exact)
    return found


def _rates(provider: ProviderSpec, counted: _AnswerCounts, *, exact: bool) -> ProviderRates:
    """`exact`: the answers were given in this order, so the next records will be like those."""
    declared, assumed = provider.expected_hit_rate, ASSUMED_HIT_RATE
    if provider.kind == "verifier":
        assumed = ASSUMED_VERDICT_RATE
    guess, weight = (assumed, _GUESS_WEIGHT) if declared is None else (declared, 2 * _GUESS_WEIGHT)
    dearest = float(provider.greatest_usd)
    hit_usd = counted.hit_usd / counted.hits if counted.hits else dearest
    variance = counted.hit_usd_squared / counted.hits - hit_usd**2 if counted.hits else 0.0

    def shares(counts: Mapping[str, int], guess: float, settled: Mapping[str, float]) -> dict[str, UncertainRate]:
        of = {f: counted.lacked.get(f, 0) * settled.get(f, 1.0) for f in provider.fields}
        shares = {f: UncertainRate.of(guess, _GUESS_WEIGHT, counts.get(f, 0), n) for f, n in of.items()}
        return shares if exact else {f: share.known_from(LOOSE_WEIGHT) for f, share in shares.items()}

    # Values of records that had one already are never verified. How many would have been accepted is seen at the
    # others, which are that share of all hits, whether these had a value or none.
    settled = {f: 1 - counted.unsettled.get(f, 0) / n for f, n in counted.given.items() if n}
    passed = {
        f: UncertainRate.of(_ASSUMED_FIELD_RATE, _GUESS_WEIGHT, counted.passed.get(f, 0), counted.judged.get(f, 0))
        for f in provider.fields
    }
    hit = UncertainRate.of(guess, weight, counted.hits, counted.answers)
    return ProviderRates(
        hit if exact else hit.known_from(LOOSE_WEIGHT),
        counted.answers,
        counted.hits,
        hit_usd,
        counted.miss_usd / counted.misses if counted.misses else float(provider.price_per_call),
        max(variance, 0.0) ** 0.5,
        counted.latency_s or ASSUMED_LATENCY_S,
        shares(counted.accepted, _ASSUMED_FIELD_RATE, settled),
        shares(counted.checked, 1.0, {}),
        passed,
    )


def _read(warehouse: Warehouse, spec: WaterfallSpec) -> dict[tuple[str, int], _AnswerCounts]:
    """(provider, nearness) → what was seen; nearness 2: this order, 1: this waterfall, 0: anywhere."""
    d = warehouse.dialect
    calls, values = (
        table(relation(warehouse, "enrichment_calls"), d),
        table(relation(warehouse, "enrichment_values"), d),
    )
    nearness = (
        "CASE WHEN c.waterfall = ? AND c.order_version = ? THEN 2 WHEN c.waterfall = ? THEN 1 ELSE 0 END AS nearness"
    )
    here = [spec.name, spec.order_version, spec.name]
    counted: dict[tuple[str, int], _AnswerCounts] = {}
    rows: list[Any] = warehouse.rows(
        f"""
        SELECT provider, nearness, status, count(*), sum(usd), sum(usd * usd), sum(latency_s)
        FROM (
            SELECT
                c.provider,
                {nearness},
                c.status,
                CAST(coalesce(c.charged_usd, 0) AS DOUBLE) AS usd,
                coalesce(c.latency_ms, 0) / 1000.0 AS latency_s
            FROM {calls} c
            WHERE c.status IN ('hit', 'miss')
        ) AS a
        GROUP BY provider, nearness, status
        """,
        here,
    )
    for provider, near, status, n, usd, squared, latency in rows:
        for wider in range(int(near) + 1):
            one = counted.setdefault((str(provider), wider), _AnswerCounts())
            if status == "hit":
                one.hits, one.hit_usd = one.hits + n, one.hit_usd + usd
                one.hit_usd_squared += squared
            else:
                one.misses, one.miss_usd = one.misses + n, one.miss_usd + usd
            one.latency_s += float(latency)
    for one in counted.values():
        one.latency_s /= max(one.answers, 1)
    for provider, near, *counts in _read_values(warehouse, spec, values, calls, nearness, here):
        cells = iter(int(cast(int, n)) for n in counts)
        for name in spec.fields:
            lacked, accepted, checked, unsettled, given, judged, passed = (next(cells) for _ in range(7))
            for wider in range(int(cast(int, near)) + 1):
                one = counted.setdefault((str(provider), wider), _AnswerCounts())
                one.lacked[name] = one.lacked.get(name, 0) + lacked
                one.accepted[name] = one.accepted.get(name, 0) + accepted
                one.checked[name] = one.checked.get(name, 0) + checked
                one.unsettled[name] = one.unsettled.get(name, 0) + unsettled
                one.given[name] = one.given.get(name, 0) + given
                one.judged[name] = one.judged.get(name, 0) + judged
                one.passed[name] = one.passed.get(name, 0) + passed
    return counted


def _read_values(
    warehouse: Warehouse, spec: WaterfallSpec, values: str, calls: str, nearness: str, here: list[str]
) -> list[Any]:
    """provider, nearness, and per field the hits for records that no earlier answer had filled it for: how many, with
    an accepted value, with one that had to be verified, with one that is not yet, with any that may be accepted, with
    one that a verifier judged, and with one that it found true."""
    first, cells, sums = [], [], []
    for i, name in enumerate(spec.fields):
        this = f"v.field = {literal(name, warehouse.dialect)}"
        flags = {
            "accepted": "v.rejected_reason IS NULL",
            "checked": "(v.verified_by IS NOT NULL OR v.rejected_reason = 'not_verified')",
            "unsettled": "v.rejected_reason = 'not_verified'",
            "given": "(v.rejected_reason IS NULL OR v.verified_by IS NOT NULL OR v.rejected_reason = 'not_verified')",
            "judged": "(v.verified_by IS NOT NULL AND coalesce(v.rejected_reason, '') <> 'not_verified')",
            "passed": "(v.verified_by IS NOT NULL AND v.rejected_reason IS NULL)",
        }
        first.append(
            f"min(CASE WHEN {this} AND v.rejected_reason IS NULL THEN v.observed_at END)"
            f" OVER (PARTITION BY v.entity, v.key) AS first_{i}"
        )
        lacked = f"(v.first_{i} IS NULL OR v.first_{i} >= v.observed_at)"
        cells.append(f"max(CASE WHEN {lacked} THEN 1 ELSE 0 END) AS lacked_{i}")
        cells += [
            f"max(CASE WHEN {this} AND {lacked} AND {of} THEN 1 ELSE 0 END) AS {n}_{i}" for n, of in flags.items()
        ]
        sums += [f"sum({n}_{i})" for n in ("lacked", *flags)]
    return warehouse.rows(
        f"""
        SELECT provider, nearness, {", ".join(sums)}
        FROM (
            SELECT v.provider, {nearness}, {", ".join(cells)}
            FROM (SELECT v.*, {", ".join(first)} FROM {values} v WHERE v.entity <> ?) AS v
            JOIN {calls} c ON c.call_id = v.call_id
            WHERE c.status = 'hit'
            GROUP BY v.provider, nearness, v.call_id, v.entity, v.key
        ) AS a
        GROUP BY provider, nearness
        """,
        [*here, VERIFICATION],
    )
