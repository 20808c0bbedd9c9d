"""What is foreseen of a run against what it does: cost and coverage of ten runs inside their intervals.

`python -m verification calibration` plays hundreds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from decimal import Decimal

import pytest

from revetl.enrich.forecasting.drawn_stage import StageModel
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.forecasting.forecast import forecast
from revetl.enrich.forecasting.rates import ProviderRates, UncertainRate
from revetl.enrich.forecasting.sampling import quantile
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.selection.cohorts import Cohort
from revetl.providers.base import Answer
from revetl.providers.grammar import EndpointLimits, RateWindow
from tests.simulation.test_enrich_engine import check, enrich, number, providers
from tests.support.enrich_fakes import PEOPLE, clock, context, hit, load_people, miss, person, warehouse_with, waterfall

RUNS = 10


def known(n: int, salt: str) -> random.Random:
    return random.Random(f"{salt}{n}")


def big(inputs: Mapping[str, str]) -> Answer:
    n, chance = number(inputs), known(number(inputs), "big")
    if chance.random() > 0.6:
        return miss()
    found = {"phone": f"+1{n}"} if chance.random() < 0.7 else {}
    found |= {"email": f"{'bad' if chance.random() < 0.2 else 'good'}{n}@acme.example"}
    return hit("0.20", **found)


def small(inputs: Mapping[str, str]) -> Answer:
    """Resells what the big one has: of those whom that one does not know it knows few."""
    n = number(inputs)
    more = 0.7 if known(n, "big").random() <= 0.6 else 0.2
    return hit("0.03", email=f"good{n}@small.example") if known(n, "small").random() < more else miss()


def test_cost_and_coverage_of_ten_runs_are_inside_the_interval():
    warehouse = warehouse_with([])
    vendors = providers(big=big, small=small, check=check)
    specs = {name: v.spec for name, v in vendors.items()}
    load_people(warehouse, [person(n) for n in range(100)])
    enrich(warehouse, vendors, run_id="first")  # so that there is something to go by
    inside = {"usd": 0, "email": 0, "phone": 0}
    widths = []
    for run in range(RUNS):
        size = 60 + 20 * (run % 5)
        load_people(warehouse, [person(1000 * (run + 1) + n) for n in range(size)])
        told = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
        report = enrich(warehouse, vendors, run_id=f"r{run:02d}", foreseen=told)
        inside["usd"] += told.low_usd <= report.spent_usd <= told.high_usd
        for field in ("email", "phone"):
            c = told.coverage[field]
            inside[field] += c.low <= report.fields[field].filled_after <= c.high
        assert told.low_usd <= told.expected_usd <= told.p95_usd <= told.high_usd <= told.greatest_usd
        assert report.spent_usd <= told.greatest_usd
        widths.append(float(told.high_usd - told.low_usd) / float(told.expected_usd))
    assert min(inside.values()) >= RUNS - 1, inside
    assert max(widths) < 0.8, "an interval that holds anything says nothing"
    kept = warehouse.rows("SELECT run_id, low_usd, high_usd, coverage FROM revetl.enrichment_estimates ORDER BY run_id")
    assert len(kept) == RUNS
    assert set(json.loads(str(kept[0][3]))) == {"email", "phone"}
    held = warehouse.rows(
        "SELECT count(*) FROM revetl.enrichment_estimates e JOIN revetl.runs r ON r.run_id = e.run_id"
        " WHERE r.spend_usd BETWEEN e.low_usd AND e.high_usd"
    )
    assert held == [(inside["usd"],)], "predicted and actual can be compared in SQL"


def test_a_forecast_sees_what_will_be_served_by_answers_that_are_paid_for():
    warehouse = warehouse_with([person(n) for n in range(50)])
    vendors = providers()
    specs = {name: v.spec for name, v in vendors.items()}
    enrich(warehouse, vendors)
    load_people(warehouse, [person(n, golden_id=f"twin{n}") for n in range(50)])
    told = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    report = enrich(warehouse, vendors, run_id="r2", foreseen=told)
    assert report.asked == 0
    assert told.expected_usd == 0
    assert told.coverage["email"].expected == report.fields["email"].filled_after
    assert told.coverage["email"].before == 0


def test_the_budget_bounds_the_forecast_and_minutes_follow_the_limits():
    warehouse = warehouse_with([person(n) for n in range(1200)])
    specs = {name: v.spec for name, v in providers().items()}
    limits = EndpointLimits(concurrency=4, windows=(RateWindow(calls=10, seconds=60),))
    slow = specs["big.person"].model_copy(update={"limits": limits})
    free = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    told = estimate(
        context(warehouse, clock()),
        waterfall(),
        specs | {"big.person": slow},
        PEOPLE,
        WaterfallOptions(max_spend_usd=Decimal(1)),
    )
    assert told.high_usd == told.expected_usd == 1
    assert told.minutes >= 1190 / 10
    assert free.minutes < told.minutes / 5
    assert free == estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE), "the same ledger says the same"


def test_what_a_second_vendor_adds_is_learnt_among_those_that_the_first_left():
    """Both know the same people: whoever the first has no phone of is as unknown to the second."""

    def first(inputs: Mapping[str, str]) -> Answer:
        n = number(inputs)
        return (
            hit("0.20", email=f"{'bad' if n % 2 else 'good'}{n}@acme.example", phone=f"+{n}") if n % 10 < 6 else miss()
        )

    def second(inputs: Mapping[str, str]) -> Answer:
        n = number(inputs)
        return hit("0.03", email=f"good{n}@small.example", phone=f"+{n}") if n % 10 < 6 else miss()

    vendors = providers(big=first, small=second, check=check)
    small = vendors["small.email"]
    small.spec = small.spec.model_copy(update={"fields": ("email", "phone")})
    specs = {name: v.spec for name, v in vendors.items()}
    warehouse = warehouse_with([person(n) for n in range(200)])
    enrich(warehouse, vendors, run_id="first")
    load_people(warehouse, [person(n) for n in range(400)])
    told = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    report = enrich(warehouse, vendors, run_id="second", foreseen=told)
    assert {name: f.filled_after for name, f in report.fields.items()} == {"email": 240, "phone": 240}
    for field in ("email", "phone"):
        assert told.coverage[field].expected == pytest.approx(240, abs=2)
        assert told.coverage[field].low <= 240 <= told.coverage[field].high
    assert float(told.expected_usd) == pytest.approx(float(report.spent_usd), rel=0.02)


def test_a_declared_rate_is_a_better_guess_than_none():
    warehouse = warehouse_with([person(n) for n in range(100)])
    specs = {name: v.spec for name, v in providers().items()}
    declared = specs["big.person"].model_copy(update={"expected_hit_rate": 0.9})
    none = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    told = estimate(context(warehouse, clock()), waterfall(), specs | {"big.person": declared}, PEOPLE)
    assert none.stages[0].hit_rate == pytest.approx(0.5)
    assert told.stages[0].hit_rate == pytest.approx(0.9)
    assert told.expected_usd > none.expected_usd


def test_the_forecast_is_the_binomial_distribution_where_rates_are_known():
    exact = UncertainRate(6e9, 4e9)
    rates = ProviderRates(
        exact, 100, 60, 0.2, 0.0, 0.0, 1.0, {"email": UncertainRate(1e9, 1)}, {"email": UncertainRate(1, 1e9)}
    )
    draws = forecast([Cohort(1, 1, False, 100)], [StageModel(rates, 1, 1.0, {})], ["email"], draws=4000)
    found = [draw.found[0] for draw in draws]
    mean = sum(found) / len(found)
    variance = sum((f - mean) ** 2 for f in found) / len(found)
    assert mean == pytest.approx(60, abs=0.4)
    assert variance == pytest.approx(24, rel=0.1)
    assert quantile([float(f) for f in found], 0.975) == pytest.approx(69.6, abs=1.5)
    assert all(draw.usd[0] == pytest.approx(0.2 * draw.found[0]) for draw in draws)
