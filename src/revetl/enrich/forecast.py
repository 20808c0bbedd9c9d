"""What a run will cost and find, as a distribution: rates are drawn from what is known of them, then records meet them.

A draw takes every rate from its Beta distribution, and then, stage by stage, how many of the records that still lack
something are hits, and which fields these fill, from binomial distributions. So both kinds of doubt are in it: that the
rates are not known, and that chance is chance. Records with the same blanks and the same open stages are counted, not
told apart. Seeded: the same ledger gives the same forecast.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revetl.enrich.rates import Rates, Share

DRAWS = 400
_SEED = 20_260_101
_EXACT_BELOW = 30


@dataclass(frozen=True, slots=True)
class Cohort:
    """`lacks`: which fields are blank; `open_`: which stages may ask (bits, by place). `audited`: all stages do."""

    lacks: int
    open_: int
    audited: bool
    records: int


@dataclass(frozen=True, slots=True)
class Step:
    """One stage. `fills`: fields as bits; `share`: lookups per record, below 1 where records share a question;
    `checks`: field's place → price of verifying it."""

    rates: Rates
    fills: int
    share: float
    checks: Mapping[int, float]


@dataclass(slots=True)
class Draw:
    """One run that might be."""

    usd: list[float]
    lookups: list[float]
    checked: list[dict[int, float]]
    found: Counter[int] = field(default_factory=Counter)  # field's place → records that it is found for


def forecast(cohorts: Sequence[Cohort], steps: Sequence[Step], fields: Sequence[str], draws: int = DRAWS) -> list[Draw]:
    """`draws` runs, each with cost and lookups per step and what is found per field."""
    chance = random.Random(_SEED)  # noqa: S311 - not a secret
    return [_draw(chance, cohorts, steps, fields) for _ in range(draws)]


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sample, between its neighbours."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _draw(chance: random.Random, cohorts: Sequence[Cohort], steps: Sequence[Step], fields: Sequence[str]) -> Draw:
    draw = Draw([0.0] * len(steps), [0.0] * len(steps), [{} for _ in steps])
    waiting: Counter[tuple[int, int, int]] = Counter()  # (open stages, asked whatever was found, still lacking)
    for cohort in cohorts:
        waiting[cohort.open_, cohort.lacks if cohort.audited else 0, cohort.lacks] += cohort.records
    for number, step in enumerate(steps):
        rate = _rate(chance, step.rates.hit)
        accepted = {i: _rate(chance, step.rates.accepted[f]) for i, f in _filled(step, fields)}
        checked = {i: _rate(chance, step.rates.checked[fields[i]]) for i in step.checks}
        after: Counter[tuple[int, int, int]] = Counter()
        for (open_, audited, lacks), records in waiting.items():
            if not (open_ >> number & 1 and (lacks | audited) & step.fills):
                after[open_, audited, lacks] += records
                continue
            hits = _binomial(chance, records, rate)
            after[open_, audited, lacks] += records - hits
            _spend(chance, draw, number, step, records, hits)
            for i, price in step.checks.items():
                if (lacks | audited) >> i & 1:
                    verified = _binomial(chance, hits, checked[i]) * step.share
                    draw.checked[number][i] = draw.checked[number].get(i, 0.0) + verified
                    draw.usd[number] += verified * price
            for left, n in _fill(chance, lacks, hits, accepted).items():
                for i in _bits(lacks & ~left):
                    draw.found[i] += n
                after[open_, audited, left] += n
        waiting = after
    return draw


def _spend(chance: random.Random, draw: Draw, number: int, step: Step, records: int, hits: int) -> None:
    rates = step.rates
    draw.lookups[number] += records * step.share
    paid = hits * step.share
    spread = rates.spread_usd * math.sqrt(paid)
    draw.usd[number] += max(0.0, chance.gauss(paid * rates.hit_usd, spread)) if spread else paid * rates.hit_usd
    draw.usd[number] += (records - hits) * step.share * rates.miss_usd


def _fill(chance: random.Random, lacks: int, hits: int, accepted: Mapping[int, float]) -> Counter[int]:
    """What hits leave lacking: each field is filled or not, on its own."""
    groups: Counter[int] = Counter({lacks: hits})
    for i, rate in accepted.items():
        if not lacks >> i & 1:
            continue
        split: Counter[int] = Counter()
        for left, n in groups.items():
            filled = _binomial(chance, n, rate)
            split[left & ~(1 << i)] += filled
            split[left] += n - filled
        groups = +split
    return groups


def _filled(step: Step, fields: Sequence[str]) -> list[tuple[int, str]]:
    return [(i, fields[i]) for i in _bits(step.fills)]


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _rate(chance: random.Random, share: Share) -> float:
    return chance.betavariate(share.yes, share.no)


def _binomial(chance: random.Random, n: int, rate: float) -> int:
    """Exact where few can happen, else the normal distribution with the same mean and variance."""
    if n <= _EXACT_BELOW:
        return sum(chance.random() < rate for _ in range(n))
    drawn = chance.gauss(n * rate, math.sqrt(n * rate * (1 - rate)))
    return min(n, max(0, round(drawn)))
