"""What a waterfall would cost, before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from revetl.clock import Clock
from revetl.enrich.engine import check_columns, least
from revetl.enrich.questions import Questions
from revetl.enrich.report import Estimate, StageEstimate
from revetl.enrich.spec import WaterfallSpec
from revetl.model import Relation
from revetl.providers.spec import ProviderSpec
from revetl.state.calls import HitRate, hit_rates
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse

ASSUMED_HIT_RATE = 0.5
ENOUGH_ANSWERS = 20  # below this the ledger's hit rate is noise


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
    """Lookups and money per stage; makes no call.

    Greatest: every record that lacks a field of a stage is asked there at the greatest price, and all it finds is
    verified. Expected: a stage is asked for what the stages before it did not find, taking hits as independent; rates
    are the ledger's where it holds enough answers, else assumed.
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
    rates = hit_rates(warehouse)
    stages: list[StageEstimate] = []
    waiting: dict[tuple[str, str], None] = {}
    for i, stage in enumerate(spec.stages):
        terms = providers[stage.provider]
        fills = set(spec.fills(stage, terms))
        lookups = questions.count(stage)
        expected = float(lookups)
        for j, earlier in enumerate(stages):
            if fills <= set(spec.fills(spec.stages[j], providers[earlier.provider])):
                found = earlier.hit_rate * min(earlier.expected_lookups, expected)
                expected -= found * (1 - spec.audit.share)
        rate, assumed = _rate(rates.get(stage.provider))
        verifiers = [providers[name] for name in stage.verify.values()]
        hit_usd = terms.price_per_hit + sum((v.greatest_usd for v in verifiers), Decimal(0))
        asked = round(expected)
        cost = asked * terms.price_per_call + Decimal(str(round(asked * rate, 6))) * hit_usd
        greatest = lookups * questions.greatest(stage)
        # Values that an earlier run left unverified are verified first, whether or not anything is looked up.
        for field, verifier in stage.verify.items():
            if (field, verifier) not in waiting:
                waiting[field, verifier] = None
                owed = questions.count_unverified(field, verifier) * providers[verifier].greatest_usd
                cost += owed
                greatest += owed
        stages.append(StageEstimate(spec.stages[i].provider, lookups, asked, rate, assumed, cost, greatest))
    return Estimate(spec.name, tuple(stages), least(max_spend_usd, spec.budget.per_run_usd))


def _rate(known: HitRate | None) -> tuple[float, bool]:
    if known is None or known.answers < ENOUGH_ANSWERS:
        return ASSUMED_HIT_RATE, True
    return known.hits / known.answers, False
