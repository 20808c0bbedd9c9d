"""The whole waterfall against providers that bill, on virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.execution.usable_answers import EMPTY_AT_MOST
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.options import WaterfallOptions
from revetl.errors import Ambiguous, Denied, Unavailable
from revetl.providers.base import Answer
from tests.support.enrich_fakes import (
    PEOPLE,
    FakeProvider,
    clock,
    context,
    hit,
    load_people,
    miss,
    person,
    terms,
    verdict,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual


def number(inputs: Mapping[str, str]) -> int:
    return int(inputs["first_name"].lower().removeprefix("first"))


def big(inputs: Mapping[str, str]) -> Answer:
    """Knows two of three, and every other of its emails is false."""
    n = number(inputs)
    return miss() if n % 3 == 0 else hit("0.20", email=f"{'bad' if n % 2 else 'good'}{n}@acme.example", phone=f"+1{n}")


def small(inputs: Mapping[str, str]) -> Answer:
    n = number(inputs)
    return hit("0.03", email=f"good{n}@small.example") if n % 5 else miss()


def check(inputs: Mapping[str, str]) -> Answer:
    return verdict("invalid" if inputs["email"].lower().startswith("bad") else "valid", inputs["email"], "0.01")


def providers(**scripts: Any) -> dict[str, FakeProvider]:
    made = [
        FakeProvider(terms("big.person", ("email", "phone"), per_hit="0.20"), scripts.get("big", big)),
        FakeProvider(terms("small.email", ("email",), per_hit="0.03"), scripts.get("small", small)),
        FakeProvider(
            terms("check.email", ("email",), inputs=("email",), per_hit="0.01", kind="verifier"),
            scripts.get("check", check),
        ),
    ]
    return {p.name: p for p in made}


def enrich(
    warehouse: Any, vendors: dict[str, FakeProvider], *, run_id: str = "r1", spec: Any = None, **more: Any
) -> Any:
    ctx = context(warehouse, more.pop("clock", clock()), run_id)
    return run_virtual(run_waterfall(ctx, spec or waterfall(), vendors, PEOPLE, WaterfallOptions(**more)))


def bills(vendors: dict[str, FakeProvider]) -> dict[str, int]:
    return {name: len(v.bill) for name, v in vendors.items()}


def test_a_waterfall_fills_what_is_missing_and_a_second_run_asks_nothing():
    warehouse = warehouse_with([person(n) for n in range(60)] + [person(100, email="own@acme.example", phone="1")])
    vendors = providers()
    report = enrich(warehouse, vendors)
    # 60 asked at big: 20 misses, 40 hits, of which those with an odd number hold a false email.
    false = sum(1 for n in range(60) if n % 3 and n % 2)
    assert report.providers["big.person"].asked == 60
    assert report.providers["big.person"].hits == 40
    assert report.providers["small.email"].asked == 20 + false
    assert report.fields["phone"].filled_after - report.fields["phone"].filled_before == 40
    expected_emails = sum(1 for n in range(60) if (n % 3 and n % 2 == 0) or n % 5)
    assert report.fields["email"].filled_after == 1 + expected_emails
    assert report.spent_usd == sum((v.billed_usd for v in vendors.values()), Decimal(0))
    losers = warehouse.rows("SELECT count(*) FROM revetl.enrichment_values WHERE rejected_reason = 'invalid'")[0][0]
    assert losers == false
    before = bills(vendors)
    again = enrich(warehouse, vendors, run_id="r2")
    assert bills(vendors) == before
    assert again.asked == 0
    assert again.fields["email"].filled_before == again.fields["email"].filled_after == 1 + expected_emails
    assert warehouse.rows("SELECT count(*) FROM revetl.runs WHERE status = 'done' AND command = 'enrich'") == [(2,)]


def test_equal_lookups_are_one_call_and_later_ones_are_served_from_it():
    twins = [person(1, golden_id="a"), person(1, golden_id="b", first_name=" FIRST1 "), person(2, golden_id="c")]
    warehouse = warehouse_with(twins)
    vendors = providers()
    enrich(warehouse, vendors)
    assert len(vendors["big.person"].bill) == 2
    assert warehouse.rows(
        "SELECT keys FROM revetl.enrichment_calls WHERE provider = 'big.person' AND keys LIKE '%a%' AND status = 'hit'"
    ) == [('["a", "b"]',)]
    before = bills(vendors)
    load_people(warehouse, [*twins, person(1, golden_id="d")])
    report = enrich(warehouse, vendors, run_id="r2")
    assert bills(vendors) == before
    assert report.providers["big.person"].reused == 1
    rows = (
        "SELECT field, value, verification, rejected_reason, call_id"
        " FROM revetl.enrichment_values WHERE key = '{}' ORDER BY field, value, call_id"
    )
    assert warehouse.rows(rows.format("d")) == warehouse.rows(rows.format("a")) != []


def test_one_false_email_of_two_people_is_verified_once():
    warehouse = warehouse_with([person(n) for n in (1, 5, 7, 11)])
    vendors = providers(
        big=lambda i: hit("0.2", email="Bad@acme.example"), small=lambda i: hit("0.03", email="bad@acme.example")
    )
    enrich(warehouse, vendors)
    assert len(vendors["check.email"].bill) == 1
    left = warehouse.rows(
        "SELECT DISTINCT rejected_reason FROM revetl.enrichment_values WHERE entity = 'golden_contacts'"
    )
    assert left == [("invalid",)]


def test_a_rejected_value_is_not_paid_for_again_even_after_its_answer_expired():
    warehouse = warehouse_with([person(1, phone="1")])
    vendors = providers(small=lambda i: miss())
    enrich(warehouse, vendors)
    before = bills(vendors)
    warehouse.execute(
        "UPDATE revetl.enrichment_calls SET answered_at = answered_at - INTERVAL 3 YEAR,"
        " asked_at = asked_at - INTERVAL 3 YEAR WHERE provider = 'big.person'"
    )
    enrich(warehouse, vendors, run_id="r2")
    assert bills(vendors) == before


def test_no_budget_is_passed_and_what_was_found_is_still_verified():
    for limit in ("0", "0.2", "0.21", "1.00", "2.5"):
        warehouse = warehouse_with([person(n) for n in range(40)])
        vendors = providers()
        report = enrich(warehouse, vendors, max_spend_usd=Decimal(limit))
        billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
        assert billed <= Decimal(limit)
        assert report.stopped
        assert report.exit_code == 3
        pending = warehouse.rows("SELECT count(*) FROM revetl.enrichment_values WHERE rejected_reason = 'not_verified'")
        assert pending == [(0,)]
        # The reservation comes back with each miss, so the money is used as far as one more call might have fitted.
        assert Decimal(limit) - billed < Decimal("0.21")


def test_the_waterfalls_own_budgets_hold():
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    enrich(warehouse, vendors, spec=waterfall(budget={"per_run_usd": "1"}), max_spend_usd=Decimal(50))
    assert sum((v.billed_usd for v in vendors.values()), Decimal(0)) <= 1
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    report = enrich(warehouse, vendors, spec=waterfall(budget={"per_record_usd": "0.22"}))
    # A hit of big with a false email has cost 0.21, so small is asked only for what big missed.
    assert not report.stopped
    assert report.providers["small.email"].asked == 14


def test_an_intent_is_committed_before_its_call_leaves():
    warehouse = warehouse_with([person(n) for n in range(30)])
    vendors = providers()

    def look() -> None:
        other = warehouse._db.cursor()  # another connection sees only what is committed
        intents = other.execute("SELECT count(*) FROM revetl.enrichment_calls WHERE status = 'intent'").fetchone()[0]
        other.close()
        assert intents > sum(bills(vendors).values())

    for vendor in vendors.values():
        vendor.before_answer = look
    enrich(warehouse, vendors)
    assert sum(bills(vendors).values()) > 60


def test_in_doubt_keeps_its_money_and_is_not_asked_again_outside_the_free_window():
    for window, calls in ((0, 1), (30, 2)):
        warehouse = warehouse_with([person(1, phone="1")])

        def lost(inputs: Mapping[str, str]) -> Answer:
            raise Ambiguous("the answer was lost")

        vendors = providers(small=lambda i: miss())
        vendors["big.person"] = FakeProvider(
            terms("big.person", ("email", "phone"), per_hit="0.20", free_repeat_days=window), lost
        )
        tries = []
        vendors["big.person"].before_answer = lambda tries=tries: tries.append(1)
        report = enrich(warehouse, vendors)
        assert report.in_doubt_usd == Decimal("0.20")
        assert report.exit_code == 1
        enrich(warehouse, vendors, run_id="r2")
        assert len(tries) == calls


def test_refused_credentials_end_the_stage_and_the_rest_goes_on():
    warehouse = warehouse_with([person(n) for n in range(30)])

    def refused(inputs: Mapping[str, str]) -> Answer:
        raise Denied("the key was refused", status=401)

    vendors = providers(big=refused)
    asked = []
    vendors["big.person"].before_answer = lambda: asked.append(1)
    report = enrich(warehouse, vendors)
    assert report.exit_code == 4
    assert len(asked) <= 4
    assert report.providers["small.email"].asked == 30
    vendors = providers()
    enrich(warehouse, vendors, run_id="r2")
    assert len(vendors["big.person"].bill) == 30  # nothing was charged, so all are asked when the key is right


def test_a_vendor_that_is_down_is_left_alone_and_asked_next_time():
    warehouse = warehouse_with([person(n) for n in range(200)])

    def down(inputs: Mapping[str, str]) -> Answer:
        raise Unavailable("no route", status=503)

    vendors = providers(big=down, small=lambda i: miss())
    report = enrich(warehouse, vendors)
    assert "big.person" in report.unavailable
    assert report.providers["big.person"].asked < 40
    vendors = providers(small=lambda i: miss())
    enrich(warehouse, vendors, run_id="r2")
    assert len(vendors["big.person"].bill) == 200


def test_a_vendor_whose_paid_answers_hold_nothing_is_left_alone():
    warehouse = warehouse_with([person(n) for n in range(200)])
    wrong_pointer = replace(miss("0.1"), empty_hit=True)
    report = enrich(warehouse, providers(big=lambda i: wrong_pointer, small=lambda i: miss()))
    assert "none held a value" in report.unavailable["big.person"]
    assert EMPTY_AT_MOST <= report.providers["big.person"].asked < EMPTY_AT_MOST + 20
    assert report.providers["small.email"].asked == 200
    assert report.exit_code == 1


def test_a_vendor_that_charges_more_than_its_file_says_is_left_alone():
    warehouse = warehouse_with([person(n) for n in range(200)])
    report = enrich(warehouse, providers(big=lambda i: miss("28"), small=lambda i: miss()))
    assert "its file says at most" in report.unavailable["big.person"]
    assert report.providers["big.person"].asked < 40
    assert report.exit_code == 1


def test_who_asked_to_be_forgotten_is_never_looked_up_again():
    warehouse = warehouse_with([person(1)])
    vendors = providers(big=lambda i: Answer("suppressed", 451, response={"who": "First1"}))
    report = enrich(warehouse, vendors)
    assert report.suppressed >= 1
    assert vendors["small.email"].bill == []
    assert "First1" not in str(warehouse.rows("SELECT * FROM revetl.enrichment_calls"))
    assert "irst1" not in str(warehouse.rows("SELECT * FROM revetl.suppressions")).lower()
    load_people(warehouse, [person(1, golden_id="other")])
    vendors = providers()
    enrich(warehouse, vendors, run_id="r2")
    assert bills(vendors) == {"big.person": 0, "small.email": 0, "check.email": 0}


def test_an_estimate_is_an_upper_bound_and_says_what_it_assumes():
    warehouse = warehouse_with([person(n) for n in range(60)])
    vendors = providers()
    specs = {name: v.spec for name, v in vendors.items()}
    first = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    assert first.assumed
    assert [s.lookups for s in first.stages] == [60, 60]
    report = enrich(warehouse, vendors)
    assert report.spent_usd <= first.greatest_usd
    load_people(warehouse, [person(n) for n in range(1000, 1090)])
    known = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE)
    assert not known.stages[0].assumed
    assert known.stages[0].hit_rate == pytest.approx(40 / 60, abs=0.02), "what was drawn, as the cost beside it"
    nothing = estimate(context(warehouse, clock()), waterfall(), specs, PEOPLE, WaterfallOptions(limit=0))
    assert nothing.greatest_usd == 0


def test_a_condition_and_a_limit_choose_who_is_looked_at():
    warehouse = warehouse_with([person(n, company_domain="a.example" if n < 5 else "b.example") for n in range(20)])
    spec = waterfall(stages=[{"provider": "big.person", "when": "company_domain = 'a.example'"}])
    vendors = providers()
    enrich(warehouse, vendors, spec=spec, limit=3)
    assert len(vendors["big.person"].bill) == 3
    enrich(warehouse, vendors, spec=spec, run_id="r2")
    assert len(vendors["big.person"].bill) == 5
