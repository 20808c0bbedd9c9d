"""The estimate of a list that shares people with the ledger, and what a kill would leave in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.forecasting.rates import read_rates
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.selection.cohorts import CohortSelection
from revetl.enrich.selection.scope import Scope
from revetl.model import Relation
from revetl.privacy.suppressions import OBJECTED, Suppressions
from revetl.providers.base import Answer, Lookup, ProvidedValue
from revetl.state.values import OWN, ValueRow, append_values
from revetl.warehouse.base import Warehouse
from tests.simulation.test_enrich_engine import big, check, enrich, number, providers, small
from tests.support.enrich_fakes import (
    PEOPLE,
    FakeProvider,
    clock,
    context,
    miss,
    person,
    terms,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual

LIST = Relation("marts", "people_of_a_list")
SPEC = waterfall()


def load_list(warehouse: Warehouse, numbers: Sequence[int]) -> None:
    columns = ("golden_id", "first_name", "last_name", "company_domain", "email", "phone")
    cells = ", ".join(f"{name} VARCHAR" for name in columns)
    warehouse.execute(f"CREATE OR REPLACE TABLE marts.people_of_a_list ({cells})")
    rows = [person(n, golden_id=f"row{n}") for n in numbers]
    warehouse.append(LIST, pa.table({c: pa.array([row.get(c) for row in rows], pa.string()) for c in columns}))


def foreseen_and_done(known: int, listed: range) -> tuple[Estimate, EnrichReport]:
    """Golden records with addresses of their own, of whom the providers' addresses were never verified, then a list."""
    warehouse = warehouse_with([person(n, email=f"own{n}@acme.example") for n in range(known)])
    vendors = providers(big=big, small=small, check=check)
    enrich(warehouse, vendors, run_id="golden")
    load_list(warehouse, listed)
    options = WaterfallOptions(entity_name="adhoc:contacts")
    specs = {name: vendor.spec for name, vendor in vendors.items()}
    said = estimate(context(warehouse, clock()), waterfall(), specs, LIST, options)
    ctx = context(warehouse, clock(), "list")
    return said, run_virtual(run_waterfall(ctx, waterfall(), vendors, LIST, options))


@pytest.mark.parametrize("listed", [range(90), range(60, 120), range(30, 90)])
def test_what_a_list_costs_is_foreseen_whatever_it_shares_with_the_ledger(listed: range) -> None:
    said, report = foreseen_and_done(90, listed)
    new = sum(1 for n in listed if n >= 90)
    assert said.stages[0].lookups == report.providers["big.person"].asked == new
    assert said.low_usd <= report.spent_usd <= said.high_usd
    assert report.spent_usd <= said.greatest_usd
    for stage in said.stages:
        spec = {"big.person": 0.2, "small.email": 0.03}[stage.provider]
        row = stage.expected_lookups * stage.hit_rate * spec
        assert float(stage.expected_usd) == pytest.approx(row, abs=0.02), "the row agrees with itself"


def test_an_earlier_stage_is_asked_although_a_later_one_was_paid_for_an_answer() -> None:
    warehouse = warehouse_with([person(n) for n in range(20)])
    vendors = providers(big=big, small=small)
    specs = {name: vendor.spec for name, vendor in vendors.items()}
    fields: dict[str, Any] = {"email": {}}
    stages = [{"provider": name, "fills": ["email"]} for name in ("small.email", "big.person")]
    enrich(
        warehouse, {"big.person": vendors["big.person"]}, run_id="g", spec=waterfall(fields=fields, stages=stages[1:])
    )
    load_list(warehouse, range(20))
    options, both = WaterfallOptions(entity_name="adhoc:contacts"), waterfall(fields=fields, stages=stages)
    said = estimate(context(warehouse, clock()), both, specs, LIST, options)
    asked = {name: vendors[name] for name in ("small.email", "big.person")}
    report = run_virtual(run_waterfall(context(warehouse, clock(), "list"), both, asked, LIST, options))
    assert [(row.lookups, row.expected_lookups) for row in said.stages] == [(20, 20), (0, 0)]
    assert report.providers["small.email"].asked == 20
    assert said.coverage["email"].low <= report.fields["email"].filled_after <= said.coverage["email"].high


def test_what_a_verifier_finds_true_is_known_from_what_it_judged_and_not_from_what_a_vendor_vouches_for() -> None:
    def vouching(inputs: Mapping[str, str]) -> Answer:
        n = number(inputs)
        value = ProvidedValue("email", f"{'bad' if n % 2 else 'good'}{n}@acme.example", 0.9, None if n % 2 else "valid")
        return Answer("hit", 200, (value,), Decimal("0.20"))

    warehouse = warehouse_with([person(n) for n in range(30)])
    vendors = providers(big=vouching, small=lambda _: miss(), check=check)
    enrich(warehouse, vendors)
    rates = read_rates(warehouse, SPEC, {name: vendor.spec for name, vendor in vendors.items()})["big.person"]
    assert rates.accepted["email"].mean == pytest.approx(0.5, abs=0.05)
    assert rates.passed["email"].mean < 0.15


@pytest.mark.parametrize(("held", "waiting"), [("own{}@acme.example", 4), ("GOOD{}@acme.example", 0)])
def test_a_paid_address_helps_only_where_the_list_holds_another_one(held: str, waiting: int) -> None:
    """Of 4 people the provider gave `good…`, which nobody verified since golden records hold addresses of their own."""
    numbers = [2, 4, 8, 10]
    warehouse, now = warehouse_with([person(n, email="theirs@acme.example") for n in numbers]), clock().now()
    vendors = providers(big=big, small=small, check=check)
    enrich(warehouse, vendors, run_id="golden")
    load_list(warehouse, numbers)
    append_values(warehouse, [ValueRow("adhoc:contacts", f"row{n}", "email", held.format(n), OWN, 1.0, None, OWN, now,
                                       None, "not_verified") for n in numbers])  # fmt: skip
    scope = Scope(
        warehouse=warehouse,
        spec=SPEC,
        providers={name: vendor.spec for name, vendor in vendors.items()},
        relation=LIST,
        entity="adhoc:contacts",
        run_id="list",
        now=now,
        doubted_own=True,
    )
    cohorts = list(CohortSelection(scope).cohorts())
    assert sum(c.records for c in cohorts) == 4
    assert sum(c.records for c in cohorts if c.waits) == waiting


def test_who_is_suppressed_or_erased_is_not_foreseen_since_nobody_is_asked_about_them() -> None:
    warehouse, now = warehouse_with([person(n) for n in range(12)]), clock().now()
    waits = [ValueRow(SPEC.entity, f"g{n:05d}", "email", f"good{n}@acme.example", "big.person", 0.9, None, "c", now,
                      None, "not_verified") for n in (1, 5)]  # fmt: skip
    append_values(warehouse, waits)
    suppressions = Suppressions.load(warehouse, {})
    objected = person(3)
    suppressions.add({name: objected[name] for name in SPEC.inputs}, OBJECTED, now)
    suppressions.erase([], ["g00005"], now)
    vendors = providers(big=big, small=small, check=check)
    specs = {name: vendor.spec for name, vendor in vendors.items()}
    said = estimate(context(warehouse, clock()), SPEC, specs, PEOPLE)
    report = enrich(warehouse, vendors)
    assert [stage.lookups for stage in said.stages] == [10, 10]
    assert (report.providers["big.person"].asked, said.suppressed) == (10, 2)
    assert said.verifiers[0].lookups == 10 + 10 + 1, "what they are waiting for is not verified either"
    about = warehouse.rows("SELECT count(*) FROM revetl.enrichment_values WHERE key = 'g00005'")
    assert about == [(1,)], "nobody gave anything"


class Quick(FakeProvider):
    async def ask(self, lookup: Lookup) -> Answer:
        self.before_answer()
        answer = self.script(lookup.inputs)
        self.bill.append(tuple(sorted(lookup.inputs.values())))
        await asyncio.sleep(0.02)
        return answer


def test_no_more_calls_lack_an_outcome_than_a_kill_may_leave_in_doubt() -> None:
    warehouse = warehouse_with([person(n, email="own@acme.example") for n in range(60)])
    vendors = providers()
    quick = Quick(terms("big.person", ("email", "phone"), per_hit="0.20", concurrency=4), big)
    vendors["big.person"] = quick
    open_calls = []

    def count() -> None:
        rows = warehouse.rows(
            "SELECT count(*) FROM (SELECT call_id FROM revetl.enrichment_calls WHERE provider = 'big.person'"
            " GROUP BY call_id HAVING count(*) = 1) AS lacking"
        )
        open_calls.append(int(str(rows[0][0])))

    quick.before_answer = count
    enrich(warehouse, vendors)
    assert len(quick.bill) == 60
    assert max(open_calls) <= 2 * 4
