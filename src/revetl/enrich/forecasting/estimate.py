"""What a waterfall would cost and find, and how long that takes, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from revetl.context import RunContext
from revetl.enrich.execution.budget import limits_of
from revetl.enrich.execution.engine import check_columns, least
from revetl.enrich.forecasting.forecast import Cohort, Draw, Step, forecast, quantile
from revetl.enrich.forecasting.makespan import Work, seconds_together, work_of
from revetl.enrich.forecasting.paths import Seen, seen_along
from revetl.enrich.forecasting.rates import Rates, read_rates
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.ordering.learn import HistoryFilter, learn
from revetl.enrich.report import Coverage, Estimate, StageEstimate
from revetl.enrich.selection.questions import Questions
from revetl.enrich.selection.scope import Scope
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
    questions = Questions(
        Scope(
            warehouse=warehouse,
            spec=spec,
            providers=providers,
            relation=entity,
            entity=options.entity_name or spec.entity,
            run_id=ctx.run_id,
            now=now,
            limit=options.limit,
        )
    )
    rates = read_rates(warehouse, spec, providers)
    fields = list(spec.fields)
    cohorts = [Cohort(_mask(lacks), _mask(may), audited, n) for lacks, may, audited, n in questions.cohorts()]
    counts = [questions.count(stage) for stage in spec.stages]
    seen = _seen(questions, entity)
    steps = [_step(spec, i, providers, rates, cohorts, counts[i], seen[i]) for i, _ in enumerate(spec.stages)]
    draws = forecast(cohorts, steps, fields)
    owed = _owed(spec, questions, providers)
    stages = tuple(
        _stage(spec, i, providers, rates, counts[i], draws, owed[i], questions) for i, _ in enumerate(spec.stages)
    )
    filled = questions.filled()
    records = max(total for total, _ in filled.values())
    held = least(options.max_spend_usd, spec.budget.per_run_usd)
    already = sum(owed, Decimal(0))
    totals = [sum(draw.usd) + float(already) for draw in draws]

    def usd(share: float) -> Decimal:
        found = Decimal(str(quantile(totals, share))).quantize(CENT)
        return found if held is None else min(found, held)

    return Estimate(
        spec.name,
        stages,
        held,
        low_usd=usd(0.025),
        p95_usd=usd(0.95),
        high_usd=usd(0.975),
        minutes=_minutes(spec, providers, rates, draws, records, paid=_can_pay_for_all(spec, stages, held)),
        coverage=_coverage(filled, fields, cohorts, draws),
    )


def _step(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, Rates],
    cohorts: Sequence[Cohort],
    count: int,
    seen: Seen,
) -> Step:
    stage, fields = spec.stages[number], list(spec.fields)
    records = sum(c.records for c in cohorts if c.open_ >> number & 1)
    fills = sum(1 << fields.index(f) for f in spec.fills(stage, providers[stage.provider]))
    checks = {
        fields.index(f): rates[v].hit.mean * rates[v].hit_usd + (1 - rates[v].hit.mean) * rates[v].miss_usd
        for f, v in stage.verify.items()
    }
    return Step(rates[stage.provider], fills, count / records if records else 1.0, checks, seen)


def _seen(questions: Questions, entity: Relation) -> list[Seen]:
    """By stage: what the ledger shows of the entity's own records. Nothing where a field is found by a rule of its own:
    history knows there who ended the search, and not who gave a value that counts."""
    spec = questions.spec
    if any(want.stop != "first_accepted" for want in spec.fields.values()):
        return [{} for _ in spec.stages]
    filter_ = HistoryFilter(entity_name=questions.entity)
    history = learn(questions.warehouse, spec, questions.providers, entity, now=questions.now, only=filter_)
    return seen_along(history.arms, history.cases)


def _stage(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, Rates],
    count: int,
    draws: Sequence[Draw],
    owed: Decimal,
    questions: Questions,
) -> StageEstimate:
    stage = spec.stages[number]
    rate = rates[stage.provider]
    lookups = _asked(draws, number)
    seconds = sum(work.seconds for work in _steps(spec, number, providers, rates, draws))
    expected = Decimal(str(sum(d.usd[number] for d in draws) / len(draws))).quantize(CENT) + owed
    greatest = count * questions.greatest(stage) + owed
    hit_rate = rate.hits / rate.answers if not rate.assumed else rate.hit.mean
    return StageEstimate(
        stage.provider, count, round(lookups), hit_rate, rate.assumed, min(expected, greatest), greatest, seconds / 60
    )


def _owed(spec: WaterfallSpec, questions: Questions, providers: Mapping[str, ProviderSpec]) -> list[Decimal]:
    """By stage: values that an earlier run left unverified are verified first, whether or not anything is looked up."""
    owed, seen = [], set[tuple[str, str]]()
    for stage in spec.stages:
        usd = Decimal(0)
        for place in stage.verify.items():
            if place not in seen:
                seen.add(place)
                usd += questions.count_unverified(*place) * providers[place[1]].greatest_usd
        owed.append(usd)
    return owed


def _minutes(
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, Rates],
    draws: Sequence[Draw],
    records: int,
    *,
    paid: bool,
) -> float:
    checks: dict[str, float] = {}
    for number, stage in enumerate(spec.stages):
        for field, verifier in stage.verify.items():
            checks[verifier] = checks.get(verifier, 0.0) + _checked(draws, number, list(spec.fields).index(field))
    alone = [work_of(providers[v], number, rates[v].latency_s) for v, number in checks.items()]
    steps = [s for number, _ in enumerate(spec.stages) for s in _steps(spec, number, providers, rates, draws)]
    return seconds_together(steps, alone, records, paid=paid) / 60


def _steps(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, Rates],
    draws: Sequence[Draw],
) -> list[Work]:
    """The stage's own questions, and each verification that follows."""
    stage, fields = spec.stages[number], list(spec.fields)
    asked = [(stage.provider, _asked(draws, number))]
    asked += [(v, _checked(draws, number, fields.index(f))) for f, v in stage.verify.items()]
    return [work_of(providers[name], lookups, rates[name].latency_s) for name, lookups in asked]


def _asked(draws: Sequence[Draw], stage: int) -> float:
    """How many questions the stage asks, on average."""
    return sum(draw.lookups[stage] for draw in draws) / len(draws)


def _checked(draws: Sequence[Draw], stage: int, field: int) -> float:
    """How many values of the stage are verified, on average."""
    return sum(draw.checked[stage].get(field, 0.0) for draw in draws) / len(draws)


def _can_pay_for_all(spec: WaterfallSpec, stages: Sequence[StageEstimate], held: Decimal | None) -> bool:
    """Whether no budget can end the run, as its own limits tell: what is spent of them today does not count."""
    total = sum((stage.greatest_usd for stage in stages), Decimal(0))
    return all(total <= limit.usd for limit in limits_of(spec.budget)) and (held is None or total <= held)


def _coverage(
    filled: Mapping[str, tuple[int, int]], fields: Sequence[str], cohorts: Sequence[Cohort], draws: Sequence[Draw]
) -> dict[str, Coverage]:
    found = {}
    lacking = [sum(c.records for c in cohorts if c.lacks >> i & 1) for i, _ in enumerate(fields)]
    for i, (field, (total, before)) in enumerate(filled.items()):
        # What is neither held nor lacking will be given by an answer that is already paid for.
        after = [min(total, max(before, total - lacking[i]) + draw.found[i]) for draw in draws]
        low, high = quantile(after, 0.025), quantile(after, 0.975)
        found[field] = Coverage(total, before, round(sum(after) / len(after)), math.floor(low), math.ceil(high))
    return found


def _mask(flags: Sequence[int]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)
