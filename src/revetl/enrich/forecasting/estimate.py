"""What a waterfall would cost and find, and how long that takes, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from revetl.context import RunContext
from revetl.enrich.forecasting.forecast import Cohort, SimulatedRun, StageModel, forecast, quantile
from revetl.enrich.forecasting.makespan import ProviderLoad, load_of, seconds_together
from revetl.enrich.forecasting.paths import ObservedOutcomes, observed_outcomes
from revetl.enrich.forecasting.rates import ProviderRates, read_rates
from revetl.enrich.limits import limits_of, lowest
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.ordering.history import HistoryFilter, read_history
from revetl.enrich.report import Estimate, FieldCoverage, StageEstimate
from revetl.enrich.selection.columns import check_columns
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.selection.verifications import VerificationSelection
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import create_all

DEFAULT = WaterfallOptions()
CENT = Decimal("0.0001")


def estimate(
    ctx: RunContext,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    entity: Relation,
    options: WaterfallOptions = DEFAULT,
) -> Estimate:
    """Lookups, money, coverage and time of the run that gets the same arguments. Makes no call and writes nothing under
    `ctx.run_id`. Raises ConfigError for a column that is not there, and WarehouseError.

    Greatest: every record that lacks a field of a stage is asked there at the greatest price, and all it finds is
    verified. The rest is a forecast from the ledger's rates and prices, or from guesses where it is too young: a stage
    is asked for what is left after answers that are already paid for and after the stages before it.
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
    questions = QuestionSelection(scope)
    rates = read_rates(warehouse, spec, providers)
    fields = list(spec.fields)
    most = QuestionSelection(replace(scope, doubted_own=True)) if questions.is_list else questions
    cohorts = _cohorts(questions, most)
    counts = [most.count(stage) for stage in spec.stages]
    observed = _observed(questions, entity)
    models = [
        _stage_model(spec, i, providers, rates, cohorts, counts[i], observed[i]) for i, _ in enumerate(spec.stages)
    ]
    draws = forecast(cohorts, models, fields)
    owed = _owed(scope)
    stages = tuple(
        _stage_estimate(spec, i, providers, rates, counts[i], draws, owed[i], questions)
        for i, _ in enumerate(spec.stages)
    )
    filled = questions.filled()
    asked = max(sum(c.records for c in cohorts if c.open_ >> i & 1) for i, _ in enumerate(spec.stages))
    limit_usd = lowest(options.max_spend_usd, spec.budget.per_run_usd)
    owed_usd = sum(owed, Decimal(0))
    totals = [sum(draw.usd) + float(owed_usd) for draw in draws]

    def usd(share: float) -> Decimal:
        found = Decimal(str(quantile(totals, share))).quantize(CENT)
        return found if limit_usd is None else min(found, limit_usd)

    return Estimate(
        spec.name,
        stages,
        limit_usd,
        low_usd=usd(0.025),
        p95_usd=usd(0.95),
        high_usd=usd(0.975),
        minutes=_minutes(spec, providers, rates, draws, asked, paid=_can_pay_for_all(spec, stages, limit_usd)),
        coverage=_coverage(filled, fields, cohorts, draws),
    )


def _cohorts(questions: QuestionSelection, most: QuestionSelection) -> list[Cohort]:
    """Who lacks what. What a list holds itself and wants verified is lacking as often as verifiers found such values
    false; `most`: were all of them false."""
    if most is questions:
        return [Cohort(_mask(lacks), _mask(may), audited, n) for lacks, may, audited, n in questions.cohorts()]
    share, found = questions.share_found_false(), []
    for selection, weight in ((questions, 1 - share), (most, share)):
        for lacks, may, audited, n in selection.cohorts():
            if records := round(n * weight):
                found.append(Cohort(_mask(lacks), _mask(may), audited, records))
    return found


def _stage_model(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, ProviderRates],
    cohorts: Sequence[Cohort],
    count: int,
    observed: ObservedOutcomes,
) -> StageModel:
    stage, fields = spec.stages[number], list(spec.fields)
    records = sum(c.records for c in cohorts if c.open_ >> number & 1)
    fills = sum(1 << fields.index(f) for f in spec.fills(stage, providers[stage.provider]))
    checks = {
        fields.index(f): rates[v].hit.mean * rates[v].hit_usd + (1 - rates[v].hit.mean) * rates[v].miss_usd
        for f, v in stage.verify.items()
    }
    return StageModel(rates[stage.provider], fills, count / records if records else 1.0, checks, observed)


def _observed(questions: QuestionSelection, entity: Relation) -> list[ObservedOutcomes]:
    """By stage: what the ledger shows of the entity's own records. Nothing where a field is found by a rule of its own:
    history knows there who ended the search, and not who gave a value that counts."""
    spec = questions.spec
    if any(want.stop != "first_accepted" for want in spec.fields.values()):
        return [{} for _ in spec.stages]
    only = HistoryFilter(entity_name=questions.entity)
    history = read_history(questions.warehouse, spec, questions.providers, entity, now=questions.now, only=only)
    return observed_outcomes(history.candidates, history.asked_records)


def _stage_estimate(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, ProviderRates],
    count: int,
    draws: Sequence[SimulatedRun],
    owed: Decimal,
    questions: QuestionSelection,
) -> StageEstimate:
    stage = spec.stages[number]
    rate = rates[stage.provider]
    lookups = _asked(draws, number)
    seconds = sum(load.seconds for load in _loads(spec, number, providers, rates, draws))
    expected = Decimal(str(sum(d.usd[number] for d in draws) / len(draws))).quantize(CENT) + owed
    greatest = count * questions.greatest(stage) + owed
    hit_rate = rate.hits / rate.answers if not rate.assumed else rate.hit.mean
    return StageEstimate(
        stage.provider,
        count,
        round(lookups),
        hit_rate,
        rate.assumed,
        min(expected, greatest),
        greatest,
        seconds / 60,
        questions.count_spared(stage),
        questions.count_again(stage),
    )


def _owed(scope: Scope) -> list[Decimal]:
    """By stage: values that an earlier run left unverified are verified first, whether or not anything is looked up."""
    verifications = VerificationSelection(scope)
    owed, counted = [], set[tuple[str, str]]()
    for stage in scope.spec.stages:
        usd = Decimal(0)
        for place in stage.verify.items():
            if place not in counted:
                counted.add(place)
                usd += verifications.count_unverified(*place) * scope.providers[place[1]].greatest_usd
        owed.append(usd)
    return owed


def _minutes(
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, ProviderRates],
    draws: Sequence[SimulatedRun],
    records: int,
    *,
    paid: bool,
) -> float:
    checks: dict[str, float] = {}
    for number, stage in enumerate(spec.stages):
        for field, verifier in stage.verify.items():
            checks[verifier] = checks.get(verifier, 0.0) + _checked(draws, number, list(spec.fields).index(field))
    alone = [load_of(providers[v], number, rates[v].latency_s) for v, number in checks.items()]
    models = [s for number, _ in enumerate(spec.stages) for s in _loads(spec, number, providers, rates, draws)]
    return seconds_together(models, alone, records, paid=paid) / 60


def _loads(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, ProviderRates],
    draws: Sequence[SimulatedRun],
) -> list[ProviderLoad]:
    """The stage's own questions, and each verification that follows."""
    stage, fields = spec.stages[number], list(spec.fields)
    asked = [(stage.provider, _asked(draws, number))]
    asked += [(v, _checked(draws, number, fields.index(f))) for f, v in stage.verify.items()]
    return [load_of(providers[name], lookups, rates[name].latency_s) for name, lookups in asked]


def _asked(draws: Sequence[SimulatedRun], stage: int) -> float:
    """How many questions the stage asks, on average."""
    return sum(draw.lookups[stage] for draw in draws) / len(draws)


def _checked(draws: Sequence[SimulatedRun], stage: int, field: int) -> float:
    """How many values of the stage are verified, on average."""
    return sum(draw.checked[stage].get(field, 0.0) for draw in draws) / len(draws)


def _can_pay_for_all(spec: WaterfallSpec, stages: Sequence[StageEstimate], limit_usd: Decimal | None) -> bool:
    """Whether no budget can end the run, as its own limits tell: what is spent of them today does not count."""
    total = sum((stage.greatest_usd for stage in stages), Decimal(0))
    return all(total <= limit.usd for limit in limits_of(spec.budget)) and (limit_usd is None or total <= limit_usd)


def _coverage(
    filled: Mapping[str, tuple[int, int]],
    fields: Sequence[str],
    cohorts: Sequence[Cohort],
    draws: Sequence[SimulatedRun],
) -> dict[str, FieldCoverage]:
    found = {}
    lacking = [sum(c.records for c in cohorts if c.lacks >> i & 1) for i, _ in enumerate(fields)]
    for i, (field, (total, before)) in enumerate(filled.items()):
        # What is neither held nor lacking will be given by an answer that is already paid for.
        after = [min(total, max(before, total - lacking[i]) + draw.found[i]) for draw in draws]
        low, high = quantile(after, 0.025), quantile(after, 0.975)
        found[field] = FieldCoverage(total, before, round(sum(after) / len(after)), math.floor(low), math.ceil(high))
    return found


def _mask(flags: Sequence[int]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)
