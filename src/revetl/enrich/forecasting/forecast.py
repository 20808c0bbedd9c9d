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

from revetl.enrich.forecasting.paths import Outcome, Seen, State
from revetl.enrich.forecasting.rates import LOOSE_WEIGHT, MOST_WEIGHT, Rates, Share
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
class Step:
    """One stage. `fills`: fields as bits; `share`: lookups per record, below 1 where records share a question;
    `checks`: field's place → price of verifying it; `seen`: what became of records that came to it."""

    rates: Rates
    fills: int
    share: float
    checks: Mapping[int, float]
    seen: Seen = field(default_factory=dict)


@dataclass(slots=True)
class Draw:
    """One run that might be."""

    usd: list[float]
    lookups: list[float]
    checked: list[dict[int, float]]
    found: Counter[int] = field(default_factory=Counter)  # field's place → records that it is found for


def forecast(cohorts: Sequence[Cohort], steps: Sequence[Step], fields: Sequence[str], draws: int = DRAWS) -> list[Draw]:
    """`draws` runs, each with cost and lookups per step and what is found per field."""
    chance = Seeded(_SEED)
    beliefs = [_Belief(step, fields) for step in steps]
    return [_draw(chance, cohorts, beliefs) for _ in range(draws)]


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sample, between its neighbours: where one more draw is below with a chance of `share`."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _draw(chance: random.Random, cohorts: Sequence[Cohort], beliefs: Sequence[_Belief]) -> Draw:
    draw = Draw([0.0] * len(beliefs), [0.0] * len(beliefs), [{} for _ in beliefs])
    waiting: Counter[tuple[int, int, bool, int]] = Counter()  # (wanted, open stages, audited, still lacking)
    for cohort in cohorts:
        waiting[cohort.lacks, cohort.open_, cohort.audited, cohort.lacks] += cohort.records
    for number, belief in enumerate(beliefs):
        step, world = belief.step, belief.world(chance)
        after: Counter[tuple[int, int, bool, int]] = Counter()
        for (wants, open_, audited, lacks), records in waiting.items():
            # Of the audited everything is asked that was ever lacking, found or not.
            asked_for = step.fills if audited else lacks & step.fills
            if not (open_ >> number & 1 and asked_for):
                after[wants, open_, audited, lacks] += records
                continue
            state = State(wants, open_ & ((1 << number) - 1), lacks & step.fills, audited)
            hits = 0
            for outcome, n in world.meets(state, asked_for, records).items():
                hits += n * outcome.hit
                for i in _bits(outcome.checked):
                    draw.checked[number][i] = draw.checked[number].get(i, 0.0) + n * step.share
                    draw.usd[number] += n * step.share * step.checks.get(i, 0.0)
                for i in _bits(outcome.filled):
                    draw.found[i] += n
                after[wants, open_, audited, lacks & ~outcome.filled] += n
            _spend(chance, draw, number, step, records, hits)
        waiting = after
    return draw


def _spend(chance: random.Random, draw: Draw, number: int, step: Step, records: int, hits: int) -> None:
    rates = step.rates
    draw.lookups[number] += records * step.share
    paid = hits * step.share
    spread = rates.spread_usd * math.sqrt(paid)
    draw.usd[number] += max(0.0, chance.gauss(paid * rates.hit_usd, spread)) if spread else paid * rates.hit_usd
    draw.usd[number] += (records - hits) * step.share * rates.miss_usd


class _Belief:
    """What is believed of one stage before anything is drawn."""

    def __init__(self, step: Step, fields: Sequence[str]) -> None:
        self.step = step
        self.fields = fields
        self._kin: dict[tuple[int, bool], Counter[Outcome]] = {}
        for state, outcomes in step.seen.items():
            self._kin.setdefault((state.lacks, state.audited), Counter()).update(outcomes)
        self._weights: dict[State, dict[Outcome, float]] = {}
        self.likes: dict[_Likeness, _Like] = {}
        for state, outcomes in step.seen.items():
            like = self.likes.setdefault(self.likeness(state), _Like())
            for outcome, n in outcomes.items():
                like.add(state, outcome, n)

    def likeness(self, state: State) -> _Likeness:
        return state.lacks == state.wants & self.step.fills, state.audited

    def world(self, chance: random.Random) -> _World:
        return _World(chance, self)

    def weights(self, state: State) -> dict[Outcome, float]:
        """The parameters of the Dirichlet distribution, but for what was never seen."""
        if state not in self._weights:
            own = self.step.seen.get(state, {})
            kin = self._kin.get((state.lacks, state.audited), Counter())
            number = sum(own.values())
            others = sum(kin.values()) - number
            here = min(1.0, MOST_WEIGHT / number) if number else 0.0
            there = min(1.0, _KIN_WEIGHT / others) if others > 0 else 0.0
            found = {o: here * own.get(o, 0.0) + there * (n - own.get(o, 0.0)) for o, n in kin.items()}
            self._weights[state] = {o: weight for o, weight in found.items() if weight > 0}
        return self._weights[state]


class _World:
    """One stage as it may be: its rates are drawn once, and hold for all records of the draw."""

    def __init__(self, chance: random.Random, belief: _Belief) -> None:
        self._chance = chance
        self._belief = belief
        self._rates: dict[_Likeness, _Drawn] = {}
        self._shares: dict[State, list[tuple[Outcome | None, float]]] = {}

    def meets(self, state: State, asked_for: int, records: int) -> Counter[Outcome]:
        """What becomes of so many records. Those that share a question share its answer."""
        share = self._belief.step.share
        questions = records if share >= 1 else max(1, round(records * share))
        found: Counter[Outcome] = Counter()
        for outcome, n in self._split(questions, self._chances(state)):
            if outcome is None:
                found.update(self._unseen(state, asked_for, n))
            else:
                found[outcome] += n
        return found if questions == records else _scaled(found, questions, records)

    def _chances(self, state: State) -> list[tuple[Outcome | None, float]]:
        """Outcomes with their probabilities; None stands for what was never seen."""
        if state not in self._shares:
            weights = self._belief.weights(state)
            drawn: list[tuple[Outcome | None, float]] = [
                (outcome, self._chance.gammavariate(weight, 1.0)) for outcome, weight in weights.items()
            ]
            drawn.append((None, self._chance.gammavariate(_GUESS_WEIGHT, 1.0) if drawn else 1.0))
            total = sum(weight for _, weight in drawn)
            self._shares[state] = [(outcome, weight / total) for outcome, weight in drawn]
        return self._shares[state]

    def _split(self, n: int, chances: Sequence[tuple[Outcome | None, float]]) -> list[tuple[Outcome | None, int]]:
        """`n` over the outcomes: a multinomial distribution, one binomial after the other."""
        found, left = [], 1.0
        for outcome, share in chances:
            if not n:
                break
            part = n if share >= left else _binomial(self._chance, n, share / left)
            if part:
                found.append((outcome, part))
            n -= part
            left -= share
        if n:
            found.append((chances[-1][0], n))
        return found

    def _unseen(self, state: State, asked_for: int, records: int) -> Counter[Outcome]:
        """By the provider's rates as a whole: a hit or not, and each field on its own."""
        like = self._belief.likeness(state)
        if like not in self._rates:
            self._rates[like] = _Drawn.of(self._chance, self._belief, like)
        rates = self._rates[like]
        hits = _binomial(self._chance, records, rates.hit)
        groups: Counter[Outcome] = Counter({Outcome(True, 0, 0): hits})
        for i in _bits(asked_for):
            for outcome, n in (+groups).items():  # who is nobody has no parts: there would be 3 ** fields of them
                filled = _binomial(self._chance, n, rates.accepted[i]) if state.lacks >> i & 1 else 0
                for part, more in ((filled, 1 << i), (n - filled, 0)):
                    checked = _binomial(self._chance, part, rates.checked[i]) if i in rates.checked else 0
                    groups[outcome] -= part
                    groups[Outcome(True, outcome.filled | more, outcome.checked | 1 << i)] += checked
                    groups[Outcome(True, outcome.filled | more, outcome.checked)] += part - checked
        groups[Outcome(False, 0, 0)] += records - hits
        return +groups


# Whether of what the stage is there for nothing was found yet: who knows one thing of a record often knows more. And
# whether the record is audited.
_Likeness = tuple[bool, bool]


def _zeros() -> defaultdict[int, float]:
    return defaultdict(float)


@dataclass(slots=True)
class _Like:
    """What was seen of a stage with records that are alike, whatever it is that they want."""

    answers: float = 0.0
    hits: float = 0.0
    lacked: defaultdict[int, float] = field(default_factory=_zeros)  # per field's place: hits for who lacked it
    filled: defaultdict[int, float] = field(default_factory=_zeros)
    checked: defaultdict[int, float] = field(default_factory=_zeros)

    def add(self, state: State, outcome: Outcome, n: float) -> None:
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
class _Drawn:
    """A provider's rates as a whole, as they may be: of hits, and per field's place."""

    hit: float
    accepted: Mapping[int, float]
    checked: Mapping[int, float]

    @classmethod
    def of(cls, chance: random.Random, belief: _Belief, likeness: _Likeness) -> _Drawn:
        rates, fields, like = belief.step.rates, belief.fields, belief.likes.get(likeness, _Like())
        # Where the stage is known for other records, what it does with these is known less well.
        loose = bool(belief.step.seen)

        def drawn(share: Share, yes: float, of: float) -> float:
            known = share.known_from(LOOSE_WEIGHT) if loose else share
            if of:
                known = share.known_from(_GUESS_WEIGHT).after(yes, of)
            return chance.betavariate(known.yes, known.no)

        return cls(
            drawn(rates.hit, like.hits, like.answers),
            {i: drawn(rates.accepted[fields[i]], like.filled[i], like.lacked[i]) for i in _bits(belief.step.fills)},
            {i: drawn(rates.checked[fields[i]], like.checked[i], like.lacked[i]) for i in belief.step.checks},
        )


def _scaled(found: Counter[Outcome], questions: int, records: int) -> Counter[Outcome]:
    """Numbers of questions as numbers of records, all of them."""
    scaled: Counter[Outcome] = Counter()
    asked = served = 0
    for outcome, n in found.items():
        asked += n
        scaled[outcome] = round(records * asked / questions) - served
        served += scaled[outcome]
    return +scaled


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _binomial(chance: random.Random, n: int, rate: float) -> int:
    """Exact where few happen or few don't, else the normal distribution with the same mean and variance."""
    if rate > 0.5:
        return n - _binomial(chance, n, 1 - rate)
    if n * rate <= _EXACT_BELOW:
        return _rare(chance, n, rate)
    drawn = chance.gauss(n * rate, math.sqrt(n * rate * (1 - rate)))
    return min(n, max(0, round(drawn)))


def _rare(chance: random.Random, n: int, rate: float) -> int:
    """From one success to the next: the gaps are geometric."""
    if n <= 0 or rate <= 0:
        return 0
    scale, at, found = math.log1p(-rate), 0, 0
    while True:
        at += math.floor(math.log(1.0 - chance.random()) / scale) + 1
        if at > n:
            return found
        found += 1
