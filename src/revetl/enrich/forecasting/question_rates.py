"""How often a provider finds whom a list asks about, by what the question was before it was asked.

Who is in the ledger already says nothing of who is not: rows of a list that are answered are so because they look like
those that were asked before. So a list is not followed through its own answers, as a model is. What is counted is, over
all questions to the provider, how many of each shape (`selection/cohorts.py`) were hits. Of somebody whom others have
answered about, and this provider has not, that tells less: the waterfall never brought him here. Whom others found is
likely to be found, and whom they did not find is hard for all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from revetl.enrich.forecasting.rates import ENOUGH_ANSWERS, LOOSE_WEIGHT, UncertainRate
from revetl.enrich.selection.cohorts import OthersAnswers, QuestionKind
from revetl.enrich.selection.identities import identities_of
from revetl.enrich.waterfall import WaterfallSpec
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table

# In answers: what the rate over all shapes counts beside those of one shape.
_ALL_SHAPES_WEIGHT = 6.0
# A list's people may be known better or worse than the ledger's, all of them: by so much on the logistic scale, as one
# standard deviation. At a rate of 78 % it is what about 30 answers would leave open.
_SHIFT = 0.45
# Whom one vendor knows others know too, and whom it does not know is hard for all: mean and standard deviation, on the
# same scale. Two vendors of a rate of 60 % whose knowledge correlates with 0.6 are one above and one below it; a later
# stage's rate is of hard people already, so it may be less.
_FOUND_BY_OTHERS, _MISSED_BY_OTHERS = (0.7, 0.7), (-0.7, 0.7)
# Whom a provider did not know by less: of those it knows by more two in five, which about five answers would tell.
_AGAIN = UncertainRate(2.0, 3.0)


@dataclass(frozen=True, slots=True)
class KindRates:
    """Of one provider. `answers`: shape → (hits, answers). `nearby`: they were given under the present order of the
    waterfall; else they tell less."""

    answers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    nearby: bool = True

    def is_assumed(self, kind: QuestionKind) -> bool:
        """Whether there are too few answers to go by."""
        return kind.again or self.answers.get(kind.shape, (0, 0))[1] < ENOUGH_ANSWERS

    def drawn(self, rng: random.Random, all_shapes: UncertainRate) -> DrawnKindRates:
        return DrawnKindRates(rng, self, all_shapes)

    def of(self, kind: QuestionKind, guess: float) -> UncertainRate:
        hits, answers = self.answers.get(kind.shape, (0, 0))
        rate = UncertainRate.of(guess, _ALL_SHAPES_WEIGHT, hits, answers)
        return rate if self.nearby and not kind.others else rate.known_from(LOOSE_WEIGHT)


class DrawnKindRates:
    """The rates of one provider as they may be for one list: drawn once for all its questions."""

    def __init__(self, rng: random.Random, rates: KindRates, all_shapes: UncertainRate) -> None:
        self._rng = rng
        self._rates = rates
        self._guess = rng.betavariate(all_shapes.yes, all_shapes.no)
        self._shift = rng.gauss(0.0, _SHIFT)
        easier, harder = rng.gauss(*_FOUND_BY_OTHERS), rng.gauss(*_MISSED_BY_OTHERS)
        self._easier: dict[OthersAnswers, float] = {"": 0.0, "found": easier, "missed": harder}
        self._again = rng.betavariate(_AGAIN.yes, _AGAIN.no)
        self._drawn: dict[tuple[str, OthersAnswers], float] = {}

    def hit(self, kind: QuestionKind) -> float:
        alike = kind.shape, kind.others
        if alike not in self._drawn:
            rate = self._rates.of(kind, self._guess)
            self._drawn[alike] = _shifted(
                self._rng.betavariate(rate.yes, rate.no), self._shift + self._easier[kind.others]
            )
        return self._drawn[alike] * (self._again if kind.again else 1.0)


def read_kind_rates(
    warehouse: Warehouse, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]
) -> dict[str, KindRates]:
    """By the provider of each stage. Makes no call and writes nothing."""
    return {stage.provider: _read(warehouse, spec, providers[stage.provider]) for stage in spec.stages}


def _read(warehouse: Warehouse, spec: WaterfallSpec, provider: ProviderSpec) -> KindRates:
    flags = " || ".join(
        f"CASE WHEN max(CASE WHEN identity = {literal(name)} THEN 1 ELSE 0 END) = 1 THEN '1' ELSE '0' END"
        for name in sorted(identities_of(provider, spec.inputs))
    )
    rows = warehouse.rows(
        f"""
        SELECT
            n.shape,
            sum(CASE WHEN c.status = 'hit' THEN c.near ELSE 0 END),
            sum(c.near),
            sum(CASE WHEN c.status = 'hit' THEN 1 ELSE 0 END),
            count(*)
        FROM (
            SELECT
                request_hash,
                status,
                CASE WHEN waterfall = ? AND order_version = ? THEN 1 ELSE 0 END AS near
            FROM {table(relation(warehouse, "enrichment_calls"))}
            WHERE provider = ?
              AND status IN ('hit', 'miss')
        ) AS c
        JOIN (
            SELECT request_hash, {flags} AS shape
            FROM {table(relation(warehouse, "enrichment_identities"))}
            WHERE provider = ?
            GROUP BY request_hash
        ) AS n ON n.request_hash = c.request_hash
        GROUP BY n.shape
        """,
        [spec.name, spec.order_version, provider.name, provider.name],
    )
    near, all_ = dict[str, tuple[int, int]](), dict[str, tuple[int, int]]()
    for shape, *numbers in rows:
        near_hits, near_answers, hits, answers = (int(str(n)) for n in numbers)
        near[str(shape)], all_[str(shape)] = (near_hits, near_answers), (hits, answers)
    if sum(answers for _, answers in near.values()) >= ENOUGH_ANSWERS:
        return KindRates(near)
    return KindRates(all_, nearby=False)


def _shifted(rate: float, by: float) -> float:
    rate = min(max(rate, 1e-6), 1 - 1e-6)
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + by)))
