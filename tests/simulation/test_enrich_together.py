"""Several runs at once on one warehouse: equal questions are one call, and no budget that they share is passed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.engine import run_waterfall
from revetl.errors import Ambiguous
from revetl.providers.base import Answer
from revetl.state import heartbeats
from tests.simulation.test_enrich_crash import COUNTED, SPENT
from tests.simulation.test_enrich_engine import big, check, enrich, number, providers
from tests.support.enrich_fakes import (
    PEOPLE,
    START,
    FakeProvider,
    clock,
    context,
    hit,
    load_people,
    person,
    terms,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import another


def together(warehouse: Any, vendors: Mapping[str, Any], runs: int, **more: Any) -> list[Any]:
    """So many runs in one process, each of its own connection, that all begin in the same moment."""

    async def go() -> list[Any]:
        time = LoopClock(START)
        return await asyncio.gather(
            *(
                run_waterfall(
                    context(another(warehouse), time, f"r{n}"), more.get("spec") or waterfall(), vendors, PEOPLE
                )
                for n in range(runs)
            )
        )

    return run_virtual(go())


def billed(vendors: Mapping[str, FakeProvider]) -> Decimal:
    return sum((v.billed_usd for v in vendors.values()), Decimal(0))


def test_runs_that_meet_pay_for_each_question_once_and_all_end_with_the_values():
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    reports = together(warehouse, vendors, 4)
    for vendor in vendors.values():
        assert max(Counter(vendor.bill).values()) == 1
    alone = warehouse_with([person(n) for n in range(40)])
    expected = enrich(alone, providers())
    for report in reports:
        assert {f: r.filled_after for f, r in report.fields.items()} == {
            f: r.filled_after for f, r in expected.fields.items()
        }
    assert sum(r.spent_usd for r in reports) == billed(vendors)
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED)
    assert warehouse.rows("SELECT count(*) FROM revetl.leases WHERE name LIKE 'enrich%'") == [(0,)]
    assert warehouse.rows("SELECT count(*) FROM revetl.suppression_key") == [(1,)]


def test_a_hundred_equal_lookups_are_one_charge():
    warehouse = warehouse_with([person(1, golden_id=f"twin{n}", phone="1") for n in range(25)])
    vendors = providers()
    reports = together(warehouse, vendors, 4)
    assert len(vendors["big.person"].bill) == 1
    assert all(r.fields["email"].filled_after in (0, 25) for r in reports)
    assert len({r.fields["email"].filled_after for r in reports}) == 1


@pytest.mark.parametrize("limit", ["0.30", "1.00", "2.50"])
@pytest.mark.parametrize("period", ["per_day_usd", "per_month_usd"])
def test_runs_together_never_pass_a_budget_that_they_share(limit: str, period: str):
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    reports = together(warehouse, vendors, 4, spec=waterfall(budget={period: limit}))
    assert billed(vendors) <= Decimal(limit)
    assert Decimal(limit) - billed(vendors) < 4 * Decimal("0.21"), "and it is made use of"
    assert any(r.stopped and "budget" in r.stopped for r in reports)
    assert all(r.exit_code == 3 for r in reports if r.stopped)
    assert warehouse.rows("SELECT sum(held_usd) FROM revetl.enrichment_spend") == [(0,)]


def test_a_budget_of_a_day_lasts_for_the_day_and_a_months_for_the_month():
    for period, fits in (("per_day_usd", [5, 0, 5]), ("per_month_usd", [5, 0, 0])):
        warehouse = warehouse_with([person(3 * n + 1, phone="1") for n in range(40)])
        spec = waterfall(
            fields={"email": {}}, stages=[{"provider": "big.person", "fills": ["email"]}], budget={period: "1.00"}
        )
        vendors = providers()
        counts = []
        for run, after in enumerate((timedelta(0), timedelta(hours=23), timedelta(hours=24))):
            before = len(vendors["big.person"].bill)
            enrich(warehouse, vendors, run_id=f"r{run}", spec=spec, clock=LoopClock(START + after))
            counts.append(len(vendors["big.person"].bill) - before)
        assert counts == fits


def test_a_providers_budget_leaves_that_provider_out_and_the_rest_goes_on():
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    report = enrich(warehouse, vendors, spec=waterfall(budget={"providers": {"big": {"per_day_usd": "1"}}}))
    assert vendors["big.person"].billed_usd == 1
    assert "big.person" in report.exhausted
    assert not report.stopped
    assert len(vendors["small.email"].bill) > 25
    assert report.exit_code == 3
    assert warehouse.rows("SELECT status FROM revetl.runs") == [("stopped",)]


def test_a_verifiers_budget_is_reserved_with_the_lookup():
    warehouse = warehouse_with([person(n) for n in range(40)])
    vendors = providers()
    enrich(warehouse, vendors, spec=waterfall(budget={"providers": {"check.email": {"per_day_usd": "0.05"}}}))
    assert len(vendors["check.email"].bill) == 5
    waiting = warehouse.rows("SELECT count(*) FROM revetl.enrichment_values WHERE rejected_reason = 'not_verified'")
    assert waiting == [(0,)], "what was found could be verified"


def test_a_budget_that_is_declared_later_counts_what_was_spent_before():
    warehouse = warehouse_with([person(n) for n in range(5)])
    vendors = providers()
    enrich(warehouse, vendors)
    load_people(warehouse, [person(n) for n in range(40)])
    limit = billed(vendors) + Decimal("0.25")
    enrich(warehouse, vendors, run_id="r2", spec=waterfall(budget={"per_day_usd": str(limit)}))
    assert billed(vendors) <= limit
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED)


def test_the_sums_are_taken_over_from_a_ledger_that_is_older_than_they():
    warehouse = warehouse_with([person(n) for n in range(12)])
    vendors = providers()
    enrich(warehouse, vendors)
    counted = warehouse.rows("SELECT * FROM revetl.enrichment_spend WHERE committed_usd <> 0 ORDER BY 1, 2, 3, 4")
    warehouse.execute("DELETE FROM revetl.enrichment_spend")
    enrich(warehouse, vendors, run_id="r2")
    again = "SELECT * FROM revetl.enrichment_spend WHERE committed_usd <> 0 ORDER BY 1, 2, 3, 4"
    assert warehouse.rows(again) == counted


def test_a_run_that_dies_frees_its_questions_and_a_live_one_keeps_them():
    """The second run waits for calls of the first, which dies in flight: they are in doubt, and their money stays."""
    warehouse = warehouse_with([person(n, phone="1") for n in range(3)])
    vendors = providers(small=lambda i: hit("0.03", email="good@small.example"))
    slow = vendors["big.person"]
    slow.before_answer = lambda: None
    time = LoopClock(START)

    async def forever(lookup: Any) -> Answer:
        slow.bill.append(tuple(lookup.inputs.values()))
        await asyncio.sleep(10_000)
        raise Ambiguous("lost")

    slow.ask = forever

    async def go() -> tuple[Any, int]:
        first = asyncio.ensure_future(
            run_waterfall(context(another(warehouse), time, "dies"), waterfall(), vendors, PEOPLE)
        )
        await asyncio.sleep(1)
        second = asyncio.ensure_future(
            run_waterfall(context(another(warehouse), time, "waits"), waterfall(), vendors, PEOPLE)
        )
        await asyncio.sleep(900)  # far beyond a lease that nobody renews
        assert not second.done()
        asked = len(slow.bill)
        kill(first)
        report = await second
        return report, asked

    def kill(task: asyncio.Task[Any]) -> None:
        heartbeats.leases.forget("dies")

    report, asked = run_virtual(go())
    assert asked == len(slow.bill) == 3, "nothing was asked a second time"
    assert report.recovered_in_doubt == 3
    assert report.providers["small.email"].asked == 3, "the others are asked when the answer can't come any more"
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED)


def test_who_was_suppressed_by_another_run_meanwhile_is_not_asked_about():
    warehouse = warehouse_with([person(1), person(2)])

    def gone(inputs: Mapping[str, str]) -> Answer:
        return Answer("suppressed", 451) if number(inputs) == 1 else big(inputs)

    first = providers(big=gone, check=check)
    enrich(warehouse, first)
    load_people(warehouse, [person(1, golden_id="again"), person(2, golden_id="twin")])
    vendors = providers()
    together(warehouse, vendors, 2)
    assert all("First1" not in question for v in vendors.values() for question in v.bill)


def test_companies_are_asked_once_and_nothing_of_their_people_leaves():
    people = [person(n, company_domain="acme.example" if n < 30 else "other.example") for n in range(40)]
    warehouse = warehouse_with(people)
    company = terms("big.company", ("phone",), inputs=("domain",), per_hit="0.10").model_copy(
        update={"entity": "company"}
    )
    vendor = FakeProvider(company, lambda i: hit("0.10", phone="+1"))
    spec = waterfall(
        inputs={"domain": "company_domain", "first_name": "first_name", "last_name": "last_name"},
        fields={"phone": {}},
        stages=[{"provider": "big.company"}],
    )
    report = enrich(warehouse, {"big.company": vendor}, spec=spec)
    assert sorted(vendor.bill) == [("acme.example",), ("other.example",)]
    assert report.fields["phone"].filled_after == 40
    assert clock().now() == START


def test_even_runs_that_take_each_other_for_dead_neither_overspend_nor_pay_twice(monkeypatch: pytest.MonkeyPatch):
    """As after a machine has slept: calls in flight are in doubt for the others, and what was set aside is gone."""
    monkeypatch.setattr(heartbeats, "dead", lambda warehouse, run_ids, now: list(run_ids))
    for limit in ("0.30", "1.00", "2.50"):
        warehouse = warehouse_with([person(n) for n in range(40)])
        vendors = providers()
        together(warehouse, vendors, 4, spec=waterfall(budget={"per_day_usd": limit}))
        assert billed(vendors) <= Decimal(limit)
        assert all(n == 1 for v in vendors.values() for n in Counter(v.bill).values())
        assert warehouse.rows(SPENT) == warehouse.rows(COUNTED)
