"""One stage as it may be: what is known of it as a distribution, and draws from that."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revetl.enrich.forecasting.paths import LookupOutcome, ObservedOutcomes, RecordState
from revetl.enrich.forecasting.question_rates import KindRates
from revetl.enrich.forecasting.rates import LOOSE_WEIGHT, MOST_WEIGHT, ProviderRates, UncertainRate
from revetl.enrich.forecasting.sampling import binomial, bits
from revetl.enrich.selection.cohorts import QuestionKind

# In records: what a guess, and what others that lack the same but came another way, count beside those of one state.
_GUESS_WEIGHT = 1.0
_KIN_WEIGHT = 4.0
# What a hit gives is known of a list's people no better than so many of them would tell: they are not the ledger's.
_LIST_WEIGHT = 40.0


@dataclass(frozen=True, slots=True)
class StageModel:
    """One stage. `fills`: fields as bits; `share`: lookups per record, below 1 where records share a question;
    `checks`: field's place → its verifier; `seen`: what became of records that came to it; `kinds`: of a list,
    whose records nobody came with."""

    rates: ProviderRates
    fills: int
    share: float
    checks: Mapping[int, str]
    seen: ObservedOutcomes = field(default_factory=dict)
    kinds: KindRates | None = None


class StagePrior:
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

    def drawn_stage(self, rng: random.Random) -> DrawnStage:
        return DrawnStage(rng, self)

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


class DrawnStage:
    """One stage as it may be: its rates are drawn once, and hold for all records of the draw."""

    def __init__(self, rng: random.Random, prior: StagePrior) -> None:
        self._rng = rng
        self._prior = prior
        self._rates: dict[_Similarity, _DrawnRates] = {}
        self._shares: dict[RecordState, list[tuple[LookupOutcome | None, float]]] = {}
        stage = prior.stage
        self._kinds = None if stage.kinds is None else stage.kinds.drawn(rng, stage.rates.hit)
        self._valid: dict[int, float] = {}

    def valid(self, place: int) -> float:
        """How often a value of the field, which a provider gave and nobody has verified, is found true."""
        if place not in self._valid:
            rate = self._prior.stage.rates.passed[self._prior.fields[place]].known_from(LOOSE_WEIGHT)
            self._valid[place] = self._rng.betavariate(rate.yes, rate.no)
        return self._valid[place]

    def outcomes_of(
        self, state: RecordState, asked_for: int, records: int, kind: QuestionKind | None = None
    ) -> Counter[LookupOutcome]:
        """What becomes of so many records. Those that share a question share its answer. `kind`: of a list's."""
        share = self._prior.stage.share
        questions = records if share >= 1 else max(1, round(records * share))
        found: Counter[LookupOutcome] = Counter()
        for outcome, n in self._split(questions, self._probabilities(state)):
            if outcome is None:
                found.update(self._unseen(state, asked_for, n, kind))
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
            part = n if share >= left else binomial(self._rng, n, share / left)
            if part:
                found.append((outcome, part))
            n -= part
            left -= share
        if n:
            found.append((probabilities[-1][0], n))
        return found

    def _unseen(
        self, state: RecordState, asked_for: int, records: int, kind: QuestionKind | None
    ) -> Counter[LookupOutcome]:
        """By the provider's rates as a whole: a hit or not, and each field on its own."""
        similar = self._prior.similarity(state)
        if similar not in self._rates:
            self._rates[similar] = _DrawnRates.of(self._rng, self._prior, similar)
        rates = self._rates[similar]
        of_kind = None if self._kinds is None or kind is None else self._kinds.hit(kind)
        hits = binomial(self._rng, records, rates.hit if of_kind is None else of_kind)
        groups: Counter[LookupOutcome] = Counter({LookupOutcome(True, 0, 0): hits})
        for i in bits(asked_for):
            for outcome, n in (+groups).items():  # who is nobody has no parts: there would be 3 ** fields of them
                filled = binomial(self._rng, n, rates.accepted[i]) if state.lacks >> i & 1 else 0
                for part, more in ((filled, 1 << i), (n - filled, 0)):
                    checked = binomial(self._rng, part, rates.checked[i]) if i in rates.checked else 0
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
                for i in bits(mask):
                    counts[i] += n


@dataclass(frozen=True, slots=True)
class _DrawnRates:
    """A provider's rates as a whole, as they may be: of hits, and per field's place."""

    hit: float
    accepted: Mapping[int, float]
    checked: Mapping[int, float]

    @classmethod
    def of(cls, rng: random.Random, prior: StagePrior, similarity: _Similarity) -> _DrawnRates:
        rates, fields, similar = (
            prior.stage.rates,
            prior.fields,
            prior.similar_records.get(similarity, _SimilarRecords()),
        )
        # Where the stage is known for other records, what it does with these is known less well.
        weight = math.inf
        if prior.stage.seen:
            weight = LOOSE_WEIGHT
        elif prior.stage.kinds is not None:
            weight = _LIST_WEIGHT

        def drawn(share: UncertainRate, yes: float, of: float) -> float:
            rate = share.known_from(weight)
            if of:
                rate = share.known_from(_GUESS_WEIGHT).after(yes, of)
            return rng.betavariate(rate.yes, rate.no)

        return cls(
            drawn(rates.hit, similar.hits, similar.answers),
            {
                i: drawn(rates.accepted[fields[i]], similar.filled[i], similar.lacked[i])
                for i in bits(prior.stage.fills)
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
