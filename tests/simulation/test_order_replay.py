"""Replaying an order over history gives what running it gives: call for call, cent for cent."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from revetl.enrich.ordering.asked_records import record_count
from revetl.enrich.ordering.history import History, read_history
from revetl.enrich.ordering.replay import replay
from revetl.enrich.ordering.solve import solve
from tests.support.enrich_fakes import PEOPLE, START
from tests.support.order_world import CHECK, MARKET, cascade, market, run_market

pytestmark = pytest.mark.xdist_group("order_replay")  # one history for all
LISTED = tuple(MARKET)
N = 140


@pytest.fixture(scope="module")
def history() -> History:
    """Everybody asked of everybody, in the listed order."""
    warehouse, _, _ = run_market(LISTED, N, audit={"share": 1})
    return learned(warehouse, LISTED, audit={"share": 1})


def learned(warehouse, order, **more) -> History:
    terms = {name: vendor.spec for name, vendor in market().items()}
    return read_history(warehouse, cascade(order, **more), terms, PEOPLE, now=START + timedelta(days=1))


def test_of_the_audited_everything_is_known(history):
    (asked_records,) = history.segments.values()
    assert record_count(asked_records) == N
    assert all(case.complete and case.audited for case in asked_records)
    assert len(asked_records) < N  # counts, not records


@pytest.mark.parametrize(
    # Third: the vendor that judges its own values comes first, so that what it calls false is verified for nobody.
    "order",
    [*[*permutations(LISTED, 4)][::9], LISTED[:1], ("late.email", "big.person")],
)
def test_a_replay_is_the_run(history, order):
    place = {candidate.name: i for i, candidate in enumerate(history.candidates)}
    told = replay(history.candidates, history.asked_records, [place[name] for name in order])
    _, vendors, report = run_market(order, N)
    assert {name: told.asked[name] for name in order} == {name: len(vendors[name].bill) for name in order}
    assert {name: told.hits[name] for name in order} == {name: report.providers[name].hits for name in order}
    assert told.checks == len(vendors[CHECK].bill)
    assert told.usd == pytest.approx(float(report.spent_usd), abs=1e-9)
    assert told.filled == sum(f.filled_after for f in report.fields.values())
    assert (told.records, told.unknown) == (N, 0)


def test_the_order_that_is_solved_is_the_cheapest_that_can_be_run(history):
    best = solve(history.candidates, history.asked_records).cheapest()
    order = [history.candidates[i].name for i in best.order]
    _, _, report = run_market(order, N)
    assert float(report.spent_usd) == pytest.approx(best.usd, abs=1e-9)
    assert sum(f.filled_after for f in report.fields.values()) == best.filled
    others = [replay(history.candidates, history.asked_records, o) for o in permutations(range(4))]
    assert best.usd == pytest.approx(min(o.usd for o in others if o.filled == best.filled))


def test_without_an_audit_only_the_order_that_ran_is_known():
    warehouse, _, report = run_market(LISTED, N)
    seen = learned(warehouse, LISTED)
    told = replay(seen.candidates, seen.asked_records, range(4))
    assert told.unknown == 0
    assert told.usd == pytest.approx(float(report.spent_usd), abs=1e-9)
    assert replay(seen.candidates, seen.asked_records, (3, 2, 1, 0)).unknown > N / 10
    for stop in range(1, 4):
        assert replay(seen.candidates, seen.asked_records, range(stop)).unknown == 0  # every prefix is known too
