"""What providers cost, as the ledger was charged; as declared where it holds no charge yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table


@dataclass(frozen=True, slots=True)
class ObservedPrice:
    """US dollars of a question: whatever comes back, and what a hit adds, on average, at least and at most (vendors
    charge by what they found). From the ledger where it has charges, else as declared.

    `free_share` of the calls repeat a paid question inside the vendor's free window and cost nothing.
    `questions_per_record` is below 1 where records share a question (a company's contacts): they share its price.
    """

    per_call: float
    per_hit: float
    least_hit: float
    greatest_hit: float
    free_share: float = 0.0
    questions_per_record: float = 1.0

    @property
    def factor(self) -> float:
        """From what a question costs to what it costs for one record."""
        return (1 - self.free_share) * self.questions_per_record

    @property
    def miss(self) -> float:
        return self.per_call * self.factor

    @property
    def hit(self) -> float:
        return (self.per_call + self.per_hit) * self.factor

    @property
    def cheapest_hit(self) -> float:
        return (self.per_call + self.least_hit) * self.factor

    @property
    def dearest_hit(self) -> float:
        return (self.per_call + self.greatest_hit) * self.factor


@dataclass(frozen=True, slots=True)
class _Charges:
    """None where the ledger has no such answer. `hit`: mean, least, greatest."""

    miss: float | None = None
    hit: tuple[float, float, float] | None = None
    free_share: float = 0.0


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The charges of the whole ledger, whichever waterfall asked, beside the declared prices."""

    declared: Mapping[str, ProviderSpec]
    charged: Mapping[str, _Charges]

    @classmethod
    def read(cls, warehouse: Warehouse, providers: Mapping[str, ProviderSpec], since: datetime) -> PriceBook:
        """Repeats that were free do not count as prices, nor does what was answered before `since` (UTC, naive)."""
        calls = table(relation(warehouse, "enrichment_calls"))
        free = [literal(n) for n, p in providers.items() if p.free_repeat_days > 0]
        windowed = f"provider IN ({', '.join(free)})" if free else "1 = 0"
        cells = ["avg(CASE WHEN status = 'miss' AND again = 0 THEN charged_usd END)"]
        cells += [f"{of}(CASE WHEN status = 'hit' AND again = 0 THEN charged_usd END)" for of in ("avg", "min", "max")]
        rows = warehouse.rows(
            f"""
            SELECT provider, {", ".join(cells)}, avg(CAST(again AS DOUBLE))
            FROM (
                SELECT
                    provider,
                    status,
                    charged_usd,
                    CASE WHEN {windowed}
                        AND charged_usd = 0
                        AND row_number() OVER (PARTITION BY provider, request_hash ORDER BY answered_at, call_id) > 1
                        THEN 1 ELSE 0
                    END AS again
                FROM {calls}
                WHERE status IN ('hit', 'miss')
                  AND answered_at >= ?
            ) AS answered
            GROUP BY provider
            """,
            [since],
        )
        charged = {}
        for name, miss, *hit, again in rows:
            mean, least, greatest = (_number(usd) for usd in hit)
            paid = None if mean is None or least is None or greatest is None else (mean, least, greatest)
            charged[str(name)] = _Charges(_number(miss), paid, _number(again) or 0.0)
        return cls(providers, charged)

    def price(self, provider: str, questions_per_record: float) -> ObservedPrice:
        declared, seen = self.declared[provider], self.charged.get(provider, _Charges())
        base = float(declared.price_per_call) if seen.miss is None else seen.miss
        whole = float(declared.price_per_call + declared.price_per_hit)
        mean, least, greatest = seen.hit or (whole, whole, float(declared.greatest_usd))
        return ObservedPrice(
            per_call=base,
            per_hit=max(mean - base, 0.0),
            least_hit=max(least - base, 0.0),
            greatest_hit=max(greatest - base, 0.0),
            free_share=seen.free_share,
            questions_per_record=questions_per_record,
        )

    def verification(self, verifier: str) -> tuple[float, float]:
        """What a verification costs without and with a verdict."""
        declared, seen = self.declared[verifier], self.charged.get(verifier, _Charges())
        base = float(declared.price_per_call) if seen.miss is None else seen.miss
        return base, base + float(declared.price_per_hit) if seen.hit is None else seen.hit[0]


def _number(value: Any) -> float | None:
    """Databases add in different orders: what differs after the ninth digit is rounding."""
    return None if value is None else round(float(value), 9)
