"""A waterfall with every rule, on every warehouse: the same calls, values and sums.

DuckDB and Postgres by default; REVETL_EVERY_STEP=1 tries all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.in_doubt import in_doubt
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.options import WaterfallOptions
from revetl.model import Relation
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from tests.simulation.test_enrich_engine import bills, providers
from tests.support.enrich_fakes import START, FakeProvider, context, hit, person, terms, waterfall
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import PARAMS, SCHEMA, new_warehouse

PEOPLE = Relation(SCHEMA, "golden_contacts")
COLUMNS = ("golden_id", "first_name", "last_name", "company_domain", "email", "phone")
SPEC = waterfall(
    fields={
        "email": {"accept": {"min_confidence": 0.5, "verified": True}, "refresh_after": "60d"},
        "phone": {"stop": {"agree": 2}},
    },
    stages=[
        {"provider": "big.person", "verify": {"email": "check.email"}},
        {"provider": "small.email", "fills": ["email"], "verify": {"email": "check.email"}},
        {"provider": "phones.person", "when": "company_domain LIKE 'acme%'"},
    ],
    same_source=[["big", "small"]],
    budget={"per_day_usd": 5, "per_record_usd": 2, "providers": {"phones": {"per_month_usd": 0.5}}},
)


# Snowflake's stand-in takes a minute over it.
CHOSEN = PARAMS if os.environ.get("REVETL_EVERY_STEP") else PARAMS[:2]


@pytest.fixture(params=CHOSEN)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with new_warehouse(request.param, tmp_path) as opened:
        create_all(opened)
        opened.execute(f"CREATE TABLE {SCHEMA}.golden_contacts ({', '.join(f'{c} VARCHAR' for c in COLUMNS)})")
        people = [person(n) for n in range(8)] + [person(3, golden_id="twin")]
        opened.append(PEOPLE, pa.table({c: pa.array([p.get(c) for p in people], pa.string()) for c in COLUMNS}))
        yield opened


def test_the_same_on_every_warehouse(warehouse: Warehouse) -> None:
    from revetl.enrich.execution.engine import run_waterfall

    vendors = providers()
    phones = terms("phones.person", ("phone",), per_hit="0.10")
    vendors["phones.person"] = FakeProvider(
        phones, lambda i: hit("0.10", phone="+1" + i["first_name"].lower().removeprefix("first"))
    )
    specs = {name: v.spec for name, v in vendors.items()}

    def enrich(run_id: str, days: int) -> Any:
        clock = LoopClock(START + timedelta(days=days))
        told = estimate(context(warehouse, clock), SPEC, specs, PEOPLE)
        run = run_waterfall(context(warehouse, clock, run_id), SPEC, vendors, PEOPLE, WaterfallOptions(foreseen=told))
        return told, run_virtual(run)

    told, report = enrich("r1", 0)
    assert bills(vendors) == {"big.person": 8, "small.email": 6, "check.email": 9, "phones.person": 5}
    assert "phones.person" in report.exhausted
    assert report.spent_usd <= told.greatest_usd
    _, again = enrich("r2", 0)
    assert again.asked == 0
    enrich("r3", 61)
    assert bills(vendors)["big.person"] > 8, "emails are refreshed by age"
    billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
    counted = warehouse.rows("SELECT sum(committed_usd), sum(held_usd) FROM revetl.enrichment_spend")
    assert [Decimal(str(usd)) for usd in counted[0]] == [billed, 0]
    assert in_doubt(warehouse, START) == []
    assert warehouse.rows("SELECT count(*) FROM revetl.provider_terms") == [(4,)]
    assert warehouse.rows("SELECT count(*) FROM revetl.enrichment_estimates") == [(3,)]
