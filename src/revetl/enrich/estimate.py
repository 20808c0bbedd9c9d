"""What a waterfall would cost and find, and how long that takes, before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from revetl.clock import Clock
from revetl.enrich.engine import check_columns, least
from revetl.enrich.forecast import Cohort, Draw, Step, forecast, quantile
from revetl.enrich.questions import Questions
from revetl.enrich.rates import Rates, read_rates
from revetl.enrich.report import Coverage, Estimate, StageEstimate
from revetl.enrich.spec import WaterfallSpec
from revetl.model import Relation
from revetl.providers.spec import ProviderSpec
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse

CENT = Decimal("0.0001")


def estimate(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    entity: Relation,
    *,
    clock: Clock,
    max_spend_usd: Decimal | None = None,
    limit: int | None = None,
    entity_name: str | None = None,
) -> Estimate:
    """Lookups, money, coverage and time; makes no call.

    Greatest: every record that lacks a field of a stage is asked there at the greatest price, and all it finds is
    verified. The rest is a forecast from the ledger's rates and prices, or from guesses where it is too young: a stage
    is asked for what is left after answers that are already paid for and after the stages before it.
    """
    create_all(warehouse)
    check_columns(warehouse, spec, entity)
    questions = Questions(
        warehouse,
        spec,
        providers,
        entity,
        entity=entity_name or spec.entity,
        run_id="",
        now=clock.now(),
        limit=limit,
    )
    rates = read_rates(warehouse, spec, providers)
    fields = list(spec.fields)
    cohorts = [Cohort(_mask(lacks), _mask(may), audited, n) for lacks, may, audited, n in questions.cohorts()]
    counts = [questions.count(stage) for stage in spec.stages]
    steps = [_step(spec, i, providers, rates, cohorts, counts[i]) for i, _ in enumerate(spec.stages)]
    draws = forecast(cohorts, steps, fields)
    owed = _owed(spec, questions, providers)
    stages = tuple(
        _stage(spec, i, providers, rates, counts[i], draws, owed[i], questions) for i, _ in enumerate(spec.stages)
    )
    held = least(max_spend_usd, spec.budget.per_run_usd)
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
        minutes=sum(stage.minutes for stage in stages),
        coverage=_coverage(questions, fields, cohorts, draws),
    )


def _step(
    spec: WaterfallSpec,
    number: int,
    providers: Mapping[str, ProviderSpec],
    rates: Mapping[str, Rates],
    cohorts: Sequence[Cohort],
    count: int,
) -> Step:
    stage, fields = spec.stages[number], list(spec.fields)
    records = sum(c.records for c in cohorts if c.open_ >> number & 1)
    fills = sum(1 << fields.index(f) for f in spec.fills(stage, providers[stage.provider]))
    checks = {
        fields.index(f): rates[v].hit.mean * rates[v].hit_usd + (1 - rates[v].hit.mean) * rates[v].miss_usd
        for f, v in stage.verify.items()
    }
    return Step(rates[stage.provider], fills, count / records if records else 1.0, checks)


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
    lookups = sum(d.lookups[number] for d in draws) / len(draws)
    checks = {f: sum(d.checked[number].get(i, 0.0) for d in draws) / len(draws) for i, f in enumerate(spec.fields)}
    seconds = _seconds(providers[stage.provider], lookups, rate.latency_s)
    seconds += sum(_seconds(providers[v], checks[f], rates[v].latency_s) for f, v in stage.verify.items())
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


def _seconds(terms: ProviderSpec, lookups: float, latency_s: float) -> float:
    """How long so many lookups take at the vendor's limits: its windows, and how many may wait at once."""
    if lookups < 1:
        return 0.0
    requests = lookups / (terms.batch.size if terms.batch else 1)
    if terms.job is not None:
        latency_s = max(latency_s, terms.job.poll.every_s)
    slowest = max((w.seconds / w.calls * max(0.0, requests - w.calls) for w in terms.limits.windows), default=0.0)
    return max(slowest, requests * latency_s / terms.at_once, latency_s)


def _coverage(
    questions: Questions, fields: Sequence[str], cohorts: Sequence[Cohort], draws: Sequence[Draw]
) -> dict[str, Coverage]:
    found = {}
    lacking = [sum(c.records for c in cohorts if c.lacks >> i & 1) for i, _ in enumerate(fields)]
    for i, (field, (total, before)) in enumerate(questions.filled().items()):
        # What is neither held nor lacking will be given by an answer that is already paid for.
        after = [min(total, max(before, total - lacking[i]) + draw.found[i]) for draw in draws]
        low, high = quantile(after, 0.025), quantile(after, 0.975)
        found[field] = Coverage(total, before, round(sum(after) / len(after)), round(low), round(high))
    return found


def _mask(flags: Sequence[int]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)
