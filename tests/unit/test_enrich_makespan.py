"""Stages that work at the same time take about as long as the slowest of them; those that can't, all together."""

from __future__ import annotations

import pytest

from revetl.enrich.forecasting.makespan import ProviderLoad, load_of, seconds_together
from revetl.providers.grammar import EndpointLimits, RateWindow
from tests.support.enrich_fakes import terms

TERMS = {"a.person": terms("a.person", ("email",))}


def together(*steps: float, records: int = 100_000, verifiers: tuple[float, ...] = (), paid: bool = True) -> float:
    return seconds_together([ProviderLoad(s) for s in steps], [ProviderLoad(s) for s in verifiers], records, paid=paid)


def test_many_records_take_as_long_as_the_slowest_stage():
    assert together(1000, 4000, 2000) == pytest.approx(4000, rel=0.02)
    assert together(1000, 4000, 2000) > 4000


def test_nothing_overlaps_with_one_part_or_where_money_may_not_suffice():
    assert together(10, 40, 20, records=900) == 70
    assert together(10, 40, 20, paid=False) == pytest.approx(70)


def test_a_verifier_that_all_stages_share_may_be_the_slowest():
    assert together(1000, 1000, verifiers=(5000,)) == 5000


def test_alone_a_vendor_takes_what_its_limits_allow():
    limits = EndpointLimits(concurrency=4, windows=(RateWindow(calls=10, seconds=60),))
    slow = TERMS["a.person"].model_copy(update={"limits": limits})
    assert load_of(slow, 110, 0.1).seconds == 600
    assert load_of(slow, 8, 10) == ProviderLoad(20, 10)
    assert load_of(slow, 1, 10).seconds == 10
    assert load_of(slow, 0, 10).seconds == 0


def test_every_part_waits_for_its_own_answer():
    """As for a job: the vendor takes the next while the last is at work."""
    took = seconds_together([ProviderLoad(100, 60), ProviderLoad(100, 60)], [], 100_000, paid=True)
    assert took == pytest.approx(220, rel=0.02)
