"""What a waterfall would cost and find, and how long that takes, before anything is spent."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from revetl.context import RunContext
from revetl.enrich.forecasting.drawn_stage import StageModel
from revetl.enrich.forecasting.forecast import SimulatedRun, forecast
from revetl.enrich.forecasting.makespan import ProviderLoad, load_of, seconds_together
from revetl.enrich.forecasting.paths import ObservedOutcomes, observed_outcomes
from revetl.enrich.forecasting.question_rates import read_kind_rates
from revetl.enrich.forecasting.rates import ProviderRates, UncertainRate, read_rates
from revetl.enrich.forecasting.sampling import quantile
from revetl.enrich.forecasting.suppressed import suppressed_left_out
from revetl.enrich.limits import limits_of, lowest, project_limits
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.ordering.history import HistoryFilter, read_history
from revetl.enrich.project_budget import ProjectBudget
from revetl.enrich.report import Estimate, FieldCoverage, StageEstimate, VerifierEstimate
from revetl.enrich.selection.cohorts import CohortSelection
from revetl.enrich.selection.columns import check_columns
from revetl.enrich.selection.scope import Scope
from revetl.enrich.selection.verifications import VerificationSelection
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.seeded_random import Seeded
from revetl.state.schema import create_all

DEFAULT = WaterfallOptions()
CENT = Decimal("0.0001")
_SEED = 20_260_102
# What verifiers find false of lists' own values, until many were asked about: 1 in 5, as 10 of them would tell. And no
# more is known of the next list than so many would tell.
_FALSE_GUESS, _FALSE_GUESS_WEIGHT, _MOST_VERDICTS = 1 / 5, 10.0, 60.0


def estimate(
    ctx: RunContext,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    entity: Relation,
    options: WaterfallOptions = DEFAULT,
) -> Estimate:
    """Lookups, money, coverage and time of the run that gets the same arguments. Makes no call and writes nothing under
    `ctx.run_id`. Raises ConfigError for a column that is not there, and WarehouseError.

    Greatest: every record that lacks a field of a stage is asked there at the greatest price, all that is found is
    verified, and all that a list holds itself is found false. The rest is a forecast from the ledger's rates and
    prices, or from guesses where it is too young: a stage is asked for what is left after answers that are already paid
    for and after the stages before it. Nobody is asked about who is suppressed or erased.
    """
    warehouse, now = ctx.warehouse, ctx.clock.now()
    create_all(warehouse)
    check_columns(warehouse, spec, entity)
    scope = Scope(
        warehouse=warehouse,
        spec=spec,
        providers=providers,
        relation=entity,
        entity=options.entity_name or spec.entity,
        run_id=ctx.run_id,
        now=now,
        limit=options.limit,
    )
    limit_usd = lowest(options.max_spend_usd, spec.budget.per_run_usd)
    is_list = scope.entity != spec.entity
    # Of a list all may be asked about, as if what it holds were false.
    with suppressed_left_out(replace(scope, doubted_own=is_list)) as (allowed, suppressed):
        found = _Estimator(replace(allowed, doubted_own=False), entity, options.project_budget)
        return replace(found.estimate(limit_usd), suppressed=suppressed)


class _Estimator:
    """Of one scope. `cohorts` are its records, counted: of a list as if all that it holds might be found false."""

    def __init__(self, scope: Scope, entity: Relation, project_budget: ProjectBudget) -> None:
        self.spec = spec = scope.spec
        self.providers = providers = scope.providers
        self.fields = list(spec.fields)
        self.limits = (*limits_of(spec.budget, spec.name), *project_limits(project_budget))
        self.rates = read_rates(scope.warehouse, spec, providers)
        self.selection = CohortSelection(scope)
        most = CohortSelection(replace(scope, doubted_own=True)) if self.selection.is_list else self.selection
        self.cohorts = list(most.cohorts())
        self.counts = [most.counts(stage) for stage in spec.stages]
        self.kinds = read_kind_rates(scope.warehouse, spec, providers) if self.selection.is_list else {}
        self.owed = _unverified(scope)
        observed = _observed(self.selection, entity)
        self.models = [self._model(i, observed[i]) for i, _ in enumerate(spec.stages)]
        self.draws = forecast(self.cohorts, self.models, self.fields, own_false=self._own_false())
        rng = Seeded(_SEED)
        verifiers = {v for stage in spec.stages for v in stage.verify.values()}
        # By draw: what verifying costs on average. A verifier may charge nothing where it can say nothing.
        self.prices = [{v: _price(self.rates[v], rng) for v in sorted(verifiers)} for _ in self.draws]

    def estimate(self, limit_usd: Decimal | None) -> Estimate:
        spec = self.spec
        stages = tuple(self._stage(i) for i, _ in enumerate(spec.stages))
        checks = tuple(
            self._verifier(name) for name in dict.fromkeys(v for s in spec.stages for v in s.verify.values())
        )
        totals = [self._usd(draw, prices) for draw, prices in zip(self.draws, self.prices, strict=True)]

        def usd(share: float) -> Decimal:
            found = Decimal(str(quantile(totals, share))).quantize(CENT)
            return found if limit_usd is None else min(found, limit_usd)

        asked = max(sum(c.records for c in self.cohorts if c.open_ >> i & 1) for i, _ in enumerate(spec.stages))
        said = Estimate(
            spec.name,
            stages,
            checks,
            limit_usd,
            low_usd=usd(0.025),
            p95_usd=usd(0.95),
            high_usd=usd(0.975),
            coverage=self._coverage(),
        )
        limits = [limit.usd for limit in self.limits] + [each for each in (limit_usd,) if each is not None]
        # As the run's own limits tell: what is spent of them today does not count.
        paid = all(said.unlimited_usd <= each for each in limits)
        return replace(said, minutes=self._minutes(asked, paid=paid))

    # --- what the draws are made from ---

    def _model(self, number: int, observed: ObservedOutcomes) -> StageModel:
        stage = self.spec.stages[number]
        records = sum(c.records for c in self.cohorts if c.open_ >> number & 1)
        fills = sum(1 << self.fields.index(f) for f in self.spec.fills(stage, self.providers[stage.provider]))
        checks = {self.fields.index(field): name for field, name in stage.verify.items()}
        share = self.counts[number].questions / records if records else 1.0
        kinds = self.kinds.get(stage.provider)
        return StageModel(self.rates[stage.provider], fills, share, checks, observed, kinds)

    def _own_false(self) -> dict[int, UncertainRate]:
        """By field's place, of what is doubtful. What a verifier could not tell of stays doubtful, and is not asked
        about again."""
        verdicts = self.selection.own_verdicts()
        rate = UncertainRate.of(_FALSE_GUESS, _FALSE_GUESS_WEIGHT, verdicts.found_false, verdicts.asked)
        rate = rate.known_from(_MOST_VERDICTS)
        found = {}
        for i, field in enumerate(self.fields):
            doubtful = sum(c.records for c in self.cohorts if c.doubtful >> i & 1)
            if doubtful:
                asked = sum(n for (name, _), n in self.owed.items() if name == field)
                share = min(1.0, asked / doubtful)
                found[i] = UncertainRate(max(rate.yes * share, 0.01), rate.no + rate.yes * (1 - share))
        return found

    # --- what they say ---

    def _usd(self, draw: SimulatedRun, prices: Mapping[str, float]) -> float:
        """Of one run that might be: lookups, the verification of what they find, and of what waits for it already."""
        usd = sum(draw.usd) + sum(n * prices[verifier] for (_, verifier), n in self.owed.items())
        for checked, model in zip(draw.checked, self.models, strict=True):
            usd += sum(n * prices[model.checks[place]] for place, n in checked.items())
        return usd

    def _stage(self, number: int) -> StageEstimate:
        """Its lookups alone: lookups times hit rate times price is what they cost."""
        stage = self.spec.stages[number]
        count = self.counts[number]
        lookups = _mean(draw.lookups[number] for draw in self.draws)
        expected = Decimal(str(_mean(draw.usd[number] for draw in self.draws))).quantize(CENT)
        greatest = count.questions * self.providers[stage.provider].greatest_usd
        return StageEstimate(
            stage.provider,
            count.questions,
            _rounded(lookups),
            self._hit_rate(number),
            self._is_assumed(number),
            min(expected, greatest),
            greatest,
            sum(load.seconds for load in self._loads(number)) / 60,
            count.spared,
            count.again,
        )

    def _hit_rate(self, number: int) -> float:
        """Of the lookups that are foreseen; of a model that is a guess the guess itself, without the draws' noise."""
        rate = self.rates[self.spec.stages[number].provider]
        lookups = _mean(draw.lookups[number] for draw in self.draws)
        if rate.assumed and not self.kinds:
            return rate.hit.mean
        if lookups:
            return _mean(draw.hits[number] for draw in self.draws) / lookups
        return rate.hit.mean if rate.assumed else rate.hits / rate.answers

    def _is_assumed(self, number: int) -> bool:
        """Of a list: where more than half of its questions are of a kind that was asked too seldom."""
        provider = self.spec.stages[number].provider
        asked = [c for c in self.cohorts if c.open_ >> number & 1]
        if provider not in self.kinds or not asked:
            return self.rates[provider].assumed
        guessed = sum(c.records for c in asked if self.kinds[provider].is_assumed(c.kinds[number]))
        return 2 * guessed > sum(c.records for c in asked)

    def _verifier(self, name: str) -> VerifierEstimate:
        """What waits for it, and what the stages are likely to give it."""
        places = [
            (i, self.fields.index(f)) for i, s in enumerate(self.spec.stages) for f, v in s.verify.items() if v == name
        ]
        owed = sum(n for (_, verifier), n in self.owed.items() if verifier == name)
        expected = owed + sum(_mean(draw.checked[i].get(place, 0.0) for draw in self.draws) for i, place in places)
        waits = sum(c.records for c in self.cohorts for i, place in places if c.waits and c.waits[place] == i + 1)
        most = owed + waits + sum(self.counts[i].questions for i, _ in places)
        greatest = most * self.providers[name].greatest_usd
        usd = Decimal(str(expected * _mean(prices[name] for prices in self.prices))).quantize(CENT)
        return VerifierEstimate(name, most, _rounded(expected), min(usd, greatest), greatest)

    def _minutes(self, records: int, *, paid: bool) -> float:
        checks: dict[str, float] = {}
        for number, stage in enumerate(self.spec.stages):
            for field, verifier in stage.verify.items():
                checks[verifier] = checks.get(verifier, 0.0) + self._checked(number, self.fields.index(field))
        alone = [load_of(self.providers[v], number, self.rates[v].latency_s) for v, number in checks.items()]
        steps = [load for number, _ in enumerate(self.spec.stages) for load in self._loads(number)]
        return seconds_together(steps, alone, records, paid=paid) / 60

    def _loads(self, number: int) -> list[ProviderLoad]:
        """The stage's own questions, and each verification that follows."""
        stage = self.spec.stages[number]
        asked = [(stage.provider, _mean(draw.lookups[number] for draw in self.draws))]
        asked += [(v, self._checked(number, self.fields.index(f))) for f, v in stage.verify.items()]
        return [load_of(self.providers[name], lookups, self.rates[name].latency_s) for name, lookups in asked]

    def _checked(self, stage: int, place: int) -> float:
        """How many values of the stage are verified, on average."""
        return _mean(draw.checked[stage].get(place, 0.0) for draw in self.draws)

    def _coverage(self) -> dict[str, FieldCoverage]:
        found = {}
        lacking = [
            sum(c.records for c in self.cohorts if (c.lacks | c.doubtful) >> i & 1) for i, _ in enumerate(self.fields)
        ]
        doubtful = [sum(c.records for c in self.cohorts if c.doubtful >> i & 1) for i, _ in enumerate(self.fields)]
        for i, (field, (total, before)) in enumerate(self.selection.filled().items()):
            held = max(before, total - lacking[i] + doubtful[i])
            after = [min(total, held - draw.lost[i] + draw.found[i]) for draw in self.draws]
            low, high = quantile(after, 0.025), quantile(after, 0.975)
            found[field] = FieldCoverage(total, before, round(_mean(after)), math.floor(low), math.ceil(high))
        return found


def _price(rates: ProviderRates, rng: random.Random) -> float:
    verdicts = rng.betavariate(rates.hit.yes, rates.hit.no)
    return verdicts * rates.hit_usd + (1 - verdicts) * rates.miss_usd


def _rounded(lookups: float) -> float:
    """Of a few a decimal, so that a row agrees with itself."""
    return round(lookups, 1) if lookups < 10 else round(lookups)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _observed(questions: CohortSelection, entity: Relation) -> list[ObservedOutcomes]:
    """By stage: what the ledger shows of the entity's own records. Nothing of a list, whose rows are known by how they
    look (`question_rates.py`), nor where a field is found by a rule of its own: history knows there who ended the
    search, and not who gave a value that counts."""
    spec = questions.spec
    if questions.is_list or any(want.stop != "first_accepted" for want in spec.fields.values()):
        return [{} for _ in spec.stages]
    only = HistoryFilter(entity_name=questions.entity)
    history = read_history(questions.warehouse, spec, questions.providers, entity, now=questions.now, only=only)
    return observed_outcomes(history.candidates, history.asked_records)


def _unverified(scope: Scope) -> dict[tuple[str, str], int]:
    """(field, verifier) → values that an earlier run, or a list, left to be verified: they are first, whether or not
    anything is looked up."""
    verifications = VerificationSelection(scope)
    places = dict.fromkeys(place for stage in scope.spec.stages for place in stage.verify.items())
    return {place: verifications.count_unverified(*place) for place in places}
