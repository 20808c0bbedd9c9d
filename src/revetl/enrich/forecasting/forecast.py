"""What a run will cost and find, as a distribution: rates are drawn from what is known of them, then records meet them.

A draw takes, stage by stage, for the records that come to it in the same state, what becomes of them from a Dirichlet
distribution over all that became of such records before (`paths.py`), and then how many of them it befalls from a
multinomial one. So both kinds of doubt are in it: that the rates are not known, and that chance is chance. What was
never seen is left to the provider's rates, of records that are alike where there were such: they weigh little beside
what was seen, and are all there is where nothing was. Records with the same blanks and the same open stages are
counted, not told apart. Seeded: the same ledger gives the same forecast.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revetl.enrich.forecasting.paths import LookupOutcome, ObservedOutcomes, RecordState
from revetl.enrich.forecasting.rates import LOOSE_WEIGHT, MOST_WEIGHT, ProviderRates, UncertainRate
from revetl.seeded_random import Seeded

DRAWS = 400
_SEED = 20_260_101
_EXACT_BELOW = 30
# In records: what a guess, and what others that lack the same but came another way, count beside those of one state.
_GUESS_WEIGHT = 1.0
_KIN_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Cohort:
    """`lacks`: which fields are blank; `open_`: which stages may ask (bits, by place). `audited`: all stages do."""

    lacks: int
    open_: int
    audited: bool
    records: int


@dataclass(frozen=True, slots=True)
class StageModel:
    """One stage. `fills`: fields as bits; `share`: lookups per record, below 1 where records share a question;
    `checks`: field's place → price of verifying it; `seen`: what became of records that came to it."""

    rates: ProviderRates
    fills: int
    share: float
    checks: Mapping[int, float]
    seen: ObservedOutcomes = field(default_factory=dict)


@dataclass(slots=True)
class SimulatedRun:
    """One run that might be."""

    usd: list[float]
    lookups: list[float]
    checked: list[dict[int, float]]
    found: Counter[int] = field(default_factory=Counter)  # field's place → records that it is found for


def forecast(
    cohorts: Sequence[Cohort], stages: Sequence[StageModel], fields: Sequence[str], draws: int = DRAWS
) -> list[SimulatedRun]:
    """`draws` runs, each with cost and lookups per step and what is found per field."""
    rng = Seeded(_SEED)
    priors = [_StagePrior(stage, fields) for stage in stages]
    return [_simulate(rng, cohorts, priors) for _ in range(draws)]


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sample, between its neighbours: where one more draw is below with a chance of `share`."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _simulate(rng: random.Random, cohorts: Sequence[Cohort], priors: Sequence[_StagePrior]) -> SimulatedRun:
    draw = SimulatedRun([0.0] * len(priors), [0.0] * len(priors), [{} for _ in priors])
    waiting: Counter[tuple[int, int, bool, int]] = Counter()  # (wanted, open stages, audited, still lacking)
    for cohort in cohorts:
        waiting[cohort.lacks, cohort.open_, cohort.audited, cohort.lacks] += cohort.records
    for number, prior in enumerate(priors):
        stage, drawn_stage = prior.stage, prior.drawn_stage(rng)
        after: Counter[tuple[int, int, bool, int]] = Counter()
        for (wants, open_, audited, lacks), records in waiting.items():
            # Of the audited everything is asked that was ever lacking, found or not.
            asked_for = stage.fills if audited else lacks & stage.fills
            if not (open_ >> number & 1 and asked_for):
                after[wants, open_, audited, lacks] += records
                continue
            state = RecordState(wants, open_ & ((1 << number) - 1), lacks & stage.fills, audited)
            hits = 0
            for outcome, n in drawn_stage.outcomes_of(state, asked_for, records).items():
                hits += n * outcome.hit
                for i in _bits(outcome.checked):
                    draw.checked[number][i] = draw.checked[number].get(i, 0.0) + n * stage.share
                    draw.usd[number] += n * stage.share * stage.checks.get(i, 0.0)
                for i in _bits(outcome.filled):
                    draw.found[i] += n
                after[wants, open_, audited, lacks & ~outcome.filled] += n
            _spend(rng, draw, number, stage, records, hits)
        waiting = after
    return draw


def _spend(rng: random.Random, draw: SimulatedRun, number: int, stage: StageModel, records: int, hits: int) -> None:
    rates = stage.rates
    draw.lookups[number] += records * stage.share
    paid = hits * stage.share
    spread = rates.spread_usd * math.sqrt(paid)
    draw.usd[number] += max(0.0, rng.gauss(paid * rates.hit_usd, spread)) if spread else paid * rates.hit_usd
    draw.usd[number] += (records - hits) * stage.share * rates.miss_usd


class _StagePrior:
    """What is believed of one stage before anything is drawn."""

    def __init__(self, stage: StageModel, fields: Sequence[str]) -> None:
        self.stage = stage
        self.fields = fields
        self._kin: dict[tuple[int, bool], Counter[LookupOutcome]] = {}
        for state, outcomes in stage.seen.items():
            self._kin.setdefault((state.lacks, state.audited), Counter()).update(outcomes)
        self._weights: dict[RecordState, dict[LookupOutcome, float]] = {}
        self.similar_records: dict[_Similarity, _SimilarRecords] = {}
        for state, outcomes in stage.seen.items():
            similar = self.similar_records.setdefault(self.similarity(state), _SimilarRecords())
            for outcome, n in outcomes.items():
                similar.add(state, outcome, n)

    def similarity(self, state: RecordState) -> _Similarity:
        return state.lacks == state.wants & self.stage.fills, state.audited

    def drawn_stage(self, rng: random.Random) -> _DrawnStage:
        return _DrawnStage(rng, self)

    def weights(self, state: RecordState) -> dict[LookupOutcome, float]:
        """The parameters of the Dirichlet distribution, but for what was never seen."""
        if state not in self._weights:
            own = self.stage.seen.get(state, {})
            kin = self._kin.get((state.lacks, state.audited), Counter())
            number = sum(own.values())
            others = sum(kin.values()) - number
            here = min(1.0, MOST_WEIGHT / number) if number else 0.0
            there = min(1.0, _KIN_WEIGHT / others) if others > 0 else 0.0
            found = {o: here * own.get(o, 0.0) + there * (n - own.get(o, 0.0)) for o, n in kin.items()}
            self._weights[state] = {o: weight for o, weight in found.items() if weight > 0}
        return self._weights[state]


class _DrawnStage:
    """One stage as it may be: its rates are drawn once, and hold for all records of the draw."""

    def __init__(self, rng: random.Random, prior: _StagePrior) -> None:
        self._rng = rng
        self._prior = prior
        self._rates: dict[_Similarity, _DrawnRates] = {}
        self._shares: dict[RecordState, list[tuple[LookupOutcome | None, float]]] = {}

    def outcomes_of(self, state: RecordState, asked_for: int, records: int) -> Counter[LookupOutcome]:
        """What becomes of so many records. Those that share a question share its answer."""
        share = self._prior.stage.share
        questions = records if share >= 1 else max(1, round(records * share))
        found: Counter[LookupOutcome] = Counter()
        for outcome, n in self._split(questions, self._probabilities(state)):
            if outcome is None:
                found.update(self._unseen(state, asked_for, n))
            else:
                found[outcome] += n
        return found if questions == records else _scaled(found, questions, records)

    def _probabilities(self, state: RecordState) -> list[tuple[LookupOutcome | None, float]]:
        """Outcomes with their probabilities; None stands for what was never seen."""
        if state not in self._shares:
            weights = self._prior.weights(state)
            drawn: list[tuple[LookupOutcome | None, float]] = [
                (outcome, self._rng.gammavariate(weight, 1.0)) for outcome, weight in weights.items()
            ]
            drawn.append((None, self._rng.gammavariate(_GUESS_WEIGHT, 1.0) if drawn else 1.0))
            total = sum(weight for _, weight in drawn)
            self._shares[state] = [(outcome, weight / total) for outcome, weight in drawn]
        return self._shares[state]

    def _split(
        self, n: int, probabilities: Sequence[tuple[LookupOutcome | None, float]]
    ) -> list[tuple[LookupOutcome | None, int]]:
        """`n` over the outcomes: a multinomial distribution, one binomial after the other."""
        found, left = [], 1.0
        for outcome, share in probabilities:
            if not n:
                break
            part = n if share >= left else _binomial(self._rng, n, share / left)
            if part:
                found.append((outcome, part))
            n -= part
            left -= share
        if n:
            found.append((probabilities[-1][0], n))
        return found

    def _unseen(self, state: RecordState, asked_for: int, records: int) -> Counter[LookupOutcome]:
        """By the provider's rates as a whole: a hit or not, and each field on its own."""
        similar = self._prior.similarity(state)
        if similar not in self._rates:
            self._rates[similar] = _DrawnRates.of(self._rng, self._prior, similar)
        rates = self._rates[similar]
        hits = _binomial(self._rng, records, rates.hit)
        groups: Counter[LookupOutcome] = Counter({LookupOutcome(True, 0, 0): hits})
        for i in _bits(asked_for):
            for outcome, n in (+groups).items():  # who is nobody has no parts: there would be 3 ** fields of them
                filled = _binomial(self._rng, n, rates.accepted[i]) if state.lacks >> i & 1 else 0
                for part, more in ((filled, 1 << i), (n - filled, 0)):
                    checked = _binomial(self._rng, part, rates.checked[i]) if i in rates.checked else 0
                    groups[outcome] -= part
                    groups[LookupOutcome(True, outcome.filled | more, outcome.checked | 1 << i)] += checked
                    groups[LookupOutcome(True, outcome.filled | more, outcome.checked)] += part - checked
        groups[LookupOutcome(False, 0, 0)] += records - hits
        return +groups


# Whether of what the stage is there for nothing was found yet: who knows one thing of a record often knows more. And
# whether the record is audited.
_Similarity = tuple[bool, bool]


def _zeros() -> defaultdict[int, float]:
    return defaultdict(float)


@dataclass(slots=True)
class _SimilarRecords:
    """What was seen of a stage with records that are alike, whatever it is that they want."""

    answers: float = 0.0
    hits: float = 0.0
    lacked: defaultdict[int, float] = field(default_factory=_zeros)  # per field's place: hits for who lacked it
    filled: defaultdict[int, float] = field(default_factory=_zeros)
    checked: defaultdict[int, float] = field(default_factory=_zeros)

    def add(self, state: RecordState, outcome: LookupOutcome, n: float) -> None:
        self.answers += n
        if outcome.hit:
            self.hits += n
            for counts, mask in (
                (self.lacked, state.lacks),
                (self.filled, outcome.filled),
                (self.checked, outcome.checked),
            ):
                for i in _bits(mask):
                    counts[i] += n


@dataclass(frozen=True, slots=True)
class _DrawnRates:
    """A provider's rates as a whole, as they may be: of hits, and per field's place."""

    hit: float
    accepted: Mapping[int, float]
    checked: Mapping[int, float]

    @classmethod
    def of(cls, rng: random.Random, prior: _StagePrior, similarity: _Similarity) -> _DrawnRates:
        rates, fields, similar = (
            prior.stage.rates,
            prior.fields,
            prior.similar_records.get(similarity, _SimilarRecords()),
        )
        # Where the stage is known for other records, what it does with these is known less well.
        uncertain = bool(prior.stage.seen)

        def drawn(share: UncertainRate, yes: float, of: float) -> float:
            rate = share.known_from(LOOSE_WEIGHT) if uncertain else share
            if of:
                rate = share.known_from(_GUESS_WEIGHT).after(yes, of)
            return rng.betavariate(rate.yes, rate.no)

        return cls(
            drawn(rates.hit, similar.hits, similar.answers),
            {
                i: drawn(rates.accepted[fields[i]], similar.filled[i], similar.lacked[i])
                for i in _bits(prior.stage.fills)
            },
            {i: drawn(rates.checked[fields[i]], similar.checked[i], similar.lacked[i]) for i in prior.stage.checks},
        )


def _scaled(found: Counter[LookupOutcome], questions: int, records: int) -> Counter[LookupOutcome]:
    """Numbers of questions as numbers of records, all of them."""
    scaled: Counter[LookupOutcome] = Counter()
    asked = served = 0
    for outcome, n in found.items():
        asked += n
        scaled[outcome] = round(records * asked / questions) - served
        served += scaled[outcome]
    return +scaled


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _binomial(rng: random.Random, n: int, rate: float) -> int:
    """Exact where few happen or few don't, else the normal distribution with the same mean and variance."""
    if rate > 0.5:
        return n - _binomial(rng, n, 1 - rate)
    if n * rate <= _EXACT_BELOW:
        return _rare(rng, n, rate)
    drawn = rng.gauss(n * rate, math.sqrt(n * rate * (1 - rate)))
    return min(n, max(0, round(drawn)))


def _rare(rng: random.Random, n: int, rate: float) -> int:
    """From one success to the next: the gaps are geometric."""
    if n <= 0 or rate <= 0:
        return 0
    scale, at, found = math.log1p(-rate), 0, 0
    while True:
        at += math.floor(math.log(1.0 - rng.random()) / scale) + 1
        if at > n:
            return found
        found += 1
