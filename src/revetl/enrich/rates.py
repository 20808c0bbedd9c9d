"""How often a provider knows something and what that costs, out of the ledger; where that is too young, a guess.

Calls of the same order of the same waterfall say most, since a later provider sees only what the earlier ones missed;
then those of the waterfall, then all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from revetl.enrich.spec import WaterfallSpec
from revetl.providers.spec import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

ENOUGH_ANSWERS = 20  # below this a group of calls says less than a wider one
ASSUMED_HIT_RATE = 0.5
ASSUMED_LATENCY_S = 0.5
_ASSUMED_FIELD_RATE = 0.8
_GUESS_WEIGHT = 2.0  # a guess counts as so many answers, a declared rate as twice that
# However much was answered, tomorrow's records are not quite yesterday's: no rate is known better than so many tell.
_MOST_WEIGHT = 2000.0


@dataclass(frozen=True, slots=True)
class Share:
    """A rate that is not known exactly: Beta(yes, no)."""

    yes: float
    no: float

    @classmethod
    def of(cls, guess: float, weight: float, yes: int, answers: int) -> Share:
        scale = min(1.0, _MOST_WEIGHT / answers) if answers else 1.0
        guess = min(max(guess, 0.01), 0.99)
        return cls(guess * weight + yes * scale, (1 - guess) * weight + (answers - yes) * scale)

    @property
    def mean(self) -> float:
        return self.yes / (self.yes + self.no)


@dataclass(frozen=True, slots=True)
class Rates:
    """One provider. `accepted` and `checked` are per field and hit: a value that is accepted in the end, and one that
    has to be verified. Costs are per call in US dollars, `spread_usd` their standard deviation on a hit."""

    hit: Share
    answers: int
    hits: int
    hit_usd: float
    miss_usd: float
    spread_usd: float
    latency_s: float
    accepted: Mapping[str, Share] = field(default_factory=dict)
    checked: Mapping[str, Share] = field(default_factory=dict)

    @property
    def assumed(self) -> bool:
        return self.answers < ENOUGH_ANSWERS


@dataclass(slots=True)
class _Seen:
    hits: int = 0
    misses: int = 0
    hit_usd: float = 0.0
    hit_usd_squared: float = 0.0
    miss_usd: float = 0.0
    latency_s: float = 0.0
    accepted: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    unsettled: dict[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return self.hits + self.misses


def read_rates(warehouse: Warehouse, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]) -> dict[str, Rates]:
    """By provider and verifier of the waterfall. Makes no call and writes nothing."""
    seen = _read(warehouse, spec)
    found = {}
    for name in spec.provider_names:
        near = [_Seen() if (name, nearness) not in seen else seen[name, nearness] for nearness in (2, 1, 0)]
        chosen = next((s for s in near if s.answers >= ENOUGH_ANSWERS), near[-1])
        found[name] = _rates(providers[name], chosen)
    return found


def _rates(terms: ProviderSpec, seen: _Seen) -> Rates:
    declared = terms.expected_hit_rate
    guess, weight = (ASSUMED_HIT_RATE, _GUESS_WEIGHT) if declared is None else (declared, 2 * _GUESS_WEIGHT)
    dearest = float(terms.greatest_usd)
    hit_usd = seen.hit_usd / seen.hits if seen.hits else dearest
    variance = seen.hit_usd_squared / seen.hits - hit_usd**2 if seen.hits else 0.0
    fields = terms.fields

    def shares(counts: Mapping[str, int], guess: float, left_out: Mapping[str, int]) -> dict[str, Share]:
        of = {f: max(0, seen.hits - left_out.get(f, 0)) for f in fields}
        return {f: Share.of(guess, _GUESS_WEIGHT, min(counts.get(f, 0), of[f]), of[f]) for f in fields}

    return Rates(
        Share.of(guess, weight, seen.hits, seen.answers),
        seen.answers,
        seen.hits,
        hit_usd,
        seen.miss_usd / seen.misses if seen.misses else float(terms.price_per_call),
        max(variance, 0.0) ** 0.5,
        seen.latency_s or ASSUMED_LATENCY_S,
        # Values of records that had one already are never verified, and say nothing of those that lack it.
        shares(seen.accepted, _ASSUMED_FIELD_RATE, seen.unsettled),
        shares(seen.checked, 1.0, {}),
    )


def _read(warehouse: Warehouse, spec: WaterfallSpec) -> dict[tuple[str, int], _Seen]:
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
    seen: dict[tuple[str, int], _Seen] = {}
    cost = "CAST(coalesce(c.charged_usd, 0) AS DOUBLE)"
    rows: list[Any] = warehouse.rows(
        f"SELECT provider, nearness, status, count(*), sum(usd), sum(usd * usd), sum(latency_s) FROM ("
        f"SELECT c.provider, {nearness}, c.status, {cost} AS usd, coalesce(c.latency_ms, 0) / 1000.0 AS latency_s"
        f" FROM {calls} c WHERE c.status IN ('hit', 'miss')) AS a GROUP BY provider, nearness, status",
        here,
    )
    for provider, near, status, n, usd, squared, latency in rows:
        for wider in range(int(near) + 1):
            one = seen.setdefault((str(provider), wider), _Seen())
            if status == "hit":
                one.hits, one.hit_usd = one.hits + n, one.hit_usd + usd
                one.hit_usd_squared += squared
            else:
                one.misses, one.miss_usd = one.misses + n, one.miss_usd + usd
            one.latency_s += float(latency)
    for one in seen.values():
        one.latency_s /= max(one.answers, 1)
    rows = warehouse.rows(
        "SELECT provider, nearness, field, count(DISTINCT CASE WHEN rejected_reason IS NULL THEN call_id END),"
        " count(DISTINCT CASE WHEN verified_by IS NOT NULL OR rejected_reason = 'not_verified' THEN call_id END),"
        " count(DISTINCT CASE WHEN rejected_reason = 'not_verified' THEN call_id END) FROM ("
        f"SELECT v.provider, {nearness}, v.field, v.call_id, v.rejected_reason, v.verified_by FROM {values} v"
        f" JOIN {calls} c ON c.call_id = v.call_id WHERE c.status = 'hit' AND v.entity <> 'verification') AS a"
        " GROUP BY provider, nearness, field",
        here,
    )
    for provider, near, name, *counts in rows:
        accepted, checked, unsettled = (int(cast(int, n)) for n in counts)
        for wider in range(int(cast(int, near)) + 1):
            one = seen.setdefault((str(provider), wider), _Seen())
            one.accepted[str(name)] = one.accepted.get(str(name), 0) + accepted
            one.checked[str(name)] = one.checked.get(str(name), 0) + checked
            one.unsettled[str(name)] = one.unsettled.get(str(name), 0) + unsettled
    return seen
