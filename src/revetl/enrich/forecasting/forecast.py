"""What a run will cost and find, as a distribution: rates are drawn from what is known of them, then records meet them.

A draw takes, stage by stage, for the records that come to it in the same state, what becomes of them from a Dirichlet
distribution over all that became of such records before (`paths.py`), and then how many of them it befalls from a
multinomial one. So both kinds of doubt are in it: that the rates are not known, and that chance is chance. What was
never seen is left to the provider's rates, of records that are alike where there were such: they weigh little beside
what was seen, and are all there is where nothing was. Of a list these rates are by the kind of its questions
(`question_rates.py`). Records with the same blanks and the same open stages are counted, not told apart. Seeded: the
same ledger gives the same forecast.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revetl.enrich.forecasting.drawn_stage import DrawnStage, StageModel, StagePrior
from revetl.enrich.forecasting.paths import RecordState
from revetl.enrich.forecasting.rates import UncertainRate
from revetl.enrich.forecasting.sampling import binomial, bits
from revetl.enrich.selection.cohorts import Cohort
from revetl.seeded_random import Seeded

DRAWS = 400
# Of a list with many kinds of rows each draw takes long, and its cohorts even each other out.
_MANY_COHORTS = 200
_FEW_DRAWS = 150
_SEED = 20_260_101


@dataclass(slots=True)
class SimulatedRun:
    """One run that might be. By stage: `usd` and `hits` of its lookups, `checked` values that it gave, by field's
    place. By field's place: `found` and `lost` are records for which a value was found, and whose own was found false.
    """

    usd: list[float]
    lookups: list[float]
    hits: list[float]
    checked: list[dict[int, float]]
    found: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)

    def check(self, stage: int, place: int, values: float) -> None:
        self.checked[stage][place] = self.checked[stage].get(place, 0.0) + values


def forecast(
    cohorts: Sequence[Cohort],
    stages: Sequence[StageModel],
    fields: Sequence[str],
    draws: int = DRAWS,
    *,
    own_false: Mapping[int, UncertainRate] | None = None,
) -> list[SimulatedRun]:
    """`draws` runs, or fewer of many cohorts. `own_false`: by field's place, how often what a list holds is found false
    of all that is doubtful; needed where a cohort has something doubtful."""
    rng = Seeded(_SEED)
    priors = [StagePrior(stage, fields) for stage in stages]
    number = draws if len(cohorts) <= _MANY_COHORTS else min(draws, _FEW_DRAWS)
    return [_simulate(rng, cohorts, priors, own_false or {}) for _ in range(number)]


# A cohort by its place, and which fields its records still lack → how many they are.
_Waiting = Counter[tuple[int, int]]


def _simulate(
    rng: random.Random,
    cohorts: Sequence[Cohort],
    priors: Sequence[StagePrior],
    own_false: Mapping[int, UncertainRate],
) -> SimulatedRun:
    number = len(priors)
    draw = SimulatedRun([0.0] * number, [0.0] * number, [0.0] * number, [{} for _ in priors])
    waiting = _verified_own(rng, cohorts, own_false, draw)
    for place, prior in enumerate(priors):
        waiting = _ask(rng, cohorts, waiting, place, prior.drawn_stage(rng), prior.stage, draw)
    return draw


def _verified_own(
    rng: random.Random, cohorts: Sequence[Cohort], own_false: Mapping[int, UncertainRate], draw: SimulatedRun
) -> _Waiting:
    """What a list holds is verified first; what is found false is lacking from then on."""
    false = {place: rng.betavariate(rate.yes, rate.no) for place, rate in own_false.items()}
    waiting: _Waiting = Counter()
    for number, cohort in enumerate(cohorts):
        groups = Counter({cohort.lacks: cohort.records})
        for place in bits(cohort.doubtful):
            split: Counter[int] = Counter()
            for lacks, records in groups.items():
                lost = binomial(rng, records, false[place])
                draw.lost[place] += lost
                split[lacks | 1 << place] += lost
                split[lacks] += records - lost
            groups = split
        for lacks, records in (+groups).items():
            waiting[number, lacks] += records
    return waiting


def _ask(
    rng: random.Random,
    cohorts: Sequence[Cohort],
    waiting: _Waiting,
    place: int,
    drawn: DrawnStage,
    stage: StageModel,
    draw: SimulatedRun,
) -> _Waiting:
    """One stage: what its paid answers give is taken and verified, then it asks about what is still lacking."""
    after: _Waiting = Counter()
    for (number, before), n in waiting.items():
        cohort = cohorts[number]
        for lacks, records in _given(rng, cohort, before, n, place, drawn, draw).items():
            # Of the audited everything is asked that was ever lacking, found or not.
            asked_for = stage.fills if cohort.audited else lacks & stage.fills
            if not (cohort.open_ >> place & 1 and asked_for):
                after[number, lacks] += records
                continue
            wants = cohort.lacks | lacks
            state = RecordState(wants, cohort.open_ & ((1 << place) - 1), lacks & stage.fills, cohort.audited)
            kind = cohort.kinds[place] if cohort.kinds else None
            hits = 0
            for outcome, m in drawn.outcomes_of(state, asked_for, records, kind).items():
                hits += m * outcome.hit
                for i in bits(outcome.checked):
                    draw.check(place, i, m * stage.share)
                for i in bits(outcome.filled):
                    draw.found[i] += m
                after[number, lacks & ~outcome.filled] += m
            _spend(rng, draw, place, stage, records, hits)
    return after


def _given(
    rng: random.Random,
    cohort: Cohort,
    lacks: int,
    records: int,
    place: int,
    drawn: DrawnStage,
    draw: SimulatedRun,
) -> Counter[int]:
    """What is still lacking when the stage's paid answers were given, and those that nobody has verified were."""
    for i, stage in enumerate(cohort.given):
        if stage == place + 1 and lacks >> i & 1:
            draw.found[i] += records
            lacks &= ~(1 << i)
    groups = Counter({lacks: records})
    for i, stage in enumerate(cohort.waits):
        if stage != place + 1 or not lacks >> i & 1:
            continue
        split: Counter[int] = Counter()
        for still, n in groups.items():
            valid = binomial(rng, n, drawn.valid(i))
            draw.check(place, i, n)
            draw.found[i] += valid
            split[still & ~(1 << i)] += valid
            split[still] += n - valid
        groups = split
    return +groups


def _spend(rng: random.Random, draw: SimulatedRun, number: int, stage: StageModel, records: int, hits: int) -> None:
    rates = stage.rates
    draw.lookups[number] += records * stage.share
    paid = hits * stage.share
    draw.hits[number] += paid
    spread = rates.spread_usd * math.sqrt(paid)
    draw.usd[number] += max(0.0, rng.gauss(paid * rates.hit_usd, spread)) if spread else paid * rates.hit_usd
    draw.usd[number] += (records - hits) * stage.share * rates.miss_usd
