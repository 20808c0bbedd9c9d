"""A waterfall of batches against the sandbox over real HTTP: the ledger is the vendor's bill, interrupted or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.clock import SystemClock
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.registry import account_options, connect
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.contract.test_provider_sandbox import KEY, SPECS, in_a_hurry, truth
from tests.support.enrich_fakes import context

__all__ = ["truth"]
PEOPLE = 120
NAMES = ("apollo.person_bulk", "dropcontact.contact", "fullenrich.email", "people_data_labs.person_bulk")


@pytest.fixture
async def sandbox(truth: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(truth=truth, limited=False, job_s=0.3)) as running:
        yield running


def warehouse() -> DuckDBWarehouse:
    made = DuckDBWarehouse(":memory:")
    create_all(made)
    made.execute("CREATE SCHEMA marts")
    columns = ("golden_id", "first_name", "last_name", "company_domain", "email")
    made.execute(f"CREATE TABLE marts.people ({', '.join(f'{c} VARCHAR' for c in columns)})")
    rows = [(f"g{i}", f"Ada{i}", "Lovelace", f"c{i}.example", None) for i in range(PEOPLE)]
    arrays = [pa.array(list(cells), pa.string()) for cells in zip(*rows, strict=True)]
    made.append(Relation("marts", "people"), pa.table(arrays, names=list(columns)))
    return made


async def run(sandbox: RunningSandbox, db: DuckDBWarehouse, name: str, run_id: str) -> Any:
    spec = WaterfallSpec.model_validate(
        {
            "name": "people",
            "entity": "people",
            "inputs": {n: n for n in ("first_name", "last_name", "company_domain")},
            "fields": {"email": {}},
            "stages": [{"provider": name}],
        }
    )
    made = in_a_hurry(SPECS[name])
    options = {"api_key": KEY, "base_url": f"{sandbox.base_url}/providers/{made.vendor}"}
    clock = SystemClock()
    providers = connect([name], {name: made}, lambda vendor: account_options(vendor, options), clock)
    return await run_waterfall(context(db, clock, run_id), spec, providers, Relation("marts", "people"))


def ledger(db: DuckDBWarehouse) -> dict[str, Any]:
    """Calls by what became of them, and the sum of what was charged."""
    rows = db.rows(
        "SELECT coalesce(max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN status END),"
        " max(CASE WHEN status = 'in_doubt' THEN status END), 'intent'), coalesce(sum(charged_usd), 0)"
        " FROM revetl.enrichment_calls GROUP BY call_id"
    )
    return {
        "calls": len(rows),
        "open": sum(s in ("intent", "in_doubt") for s, _ in rows),
        "usd": sum(u for _, u in rows),
    }


@pytest.mark.parametrize("name", NAMES)
async def test_the_ledger_is_the_vendors_bill(sandbox: RunningSandbox, name: str) -> None:
    db = warehouse()
    report = await run(sandbox, db, name, "r1")
    bill = sandbox.sandbox.bills[SPECS[name].vendor]
    assert report.asked == PEOPLE
    assert ledger(db) == {"calls": PEOPLE, "open": 0, "usd": bill.charged_usd}
    assert bill.charged_usd > 0
    assert report.requests <= PEOPLE // 2
    assert (await run(sandbox, db, name, "r2")).asked == 0
    if SPECS[name].price.credits is not None and SPECS[name].price.credits.charged is not None:
        (credits,) = db.rows("SELECT sum(credits_charged) FROM revetl.enrichment_calls")[0]
        assert credits == sum(line.charge.credits for line in bill.lines)


@pytest.mark.parametrize("name", ["dropcontact.contact", "fullenrich.email"])
async def test_an_interrupted_job_is_taken_up_and_paid_for_once(sandbox: RunningSandbox, name: str) -> None:
    db = warehouse()
    task = asyncio.ensure_future(run(sandbox, db, name, "r1"))
    # Until every job is named: one that is not would be in doubt, and not asked for again while it may be at work.
    named = "SELECT count(*) FROM revetl.enrichment_calls WHERE request_id IS NOT NULL"
    for _ in range(3000):
        if task.done() or db.rows(named)[0][0] == PEOPLE:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert ledger(db)["open"] > 0
    report = await run(sandbox, db, name, "r2")
    assert report.resumed > 0
    assert report.resumed + report.asked >= PEOPLE
    assert ledger(db)["usd"] == sandbox.sandbox.bills[SPECS[name].vendor].charged_usd
    assert ledger(db)["open"] == 0


def test_the_shipped_prices_reserve_what_a_call_may_cost() -> None:
    for name, spec in SPECS.items():
        assert spec.greatest_usd >= spec.price_per_call + spec.price_per_hit >= Decimal(0), name
