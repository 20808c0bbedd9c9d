"""Four processes, one Postgres, one vendor that bills: equal lookups are one charge, a shared budget is not passed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.model import Relation
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from tests.contract.test_provider_sandbox import KEY, truth
from tests.support.warehouses import REPOSITORY, new_database

__all__ = ["truth"]
PROCESSES = 4
FIELDS = ("phone", "job_title", "city", "country", "linkedin_url")
COLUMNS = ("golden_id", "first_name", "last_name", "company_domain", *FIELDS)
VENDOR = "people_data_labs"

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture
async def sandbox(truth: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(truth=truth, limited=False)) as running:
        yield running


@pytest.fixture
def output(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with new_database("postgres", tmp_path) as made:
        yield made


@pytest.fixture
def db(output: dict[str, Any], tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(output, root=tmp_path, state_schema="revetl")
    warehouse.execute("CREATE SCHEMA marts")
    create_all(warehouse)
    yield warehouse
    warehouse.close()


def people(db: Warehouse, name: str, numbers: Sequence[int]) -> None:
    """One row per number; equal numbers are the same person under another key."""
    db.execute(f"CREATE TABLE marts.{name} ({', '.join(f'{c} VARCHAR' for c in COLUMNS)})")
    rows = [
        (f"{name}-{i}", f"Ada{n}", "Lovelace", f"c{n}.example", *[None] * len(FIELDS)) for i, n in enumerate(numbers)
    ]
    arrays = [pa.array(list(cells), pa.string()) for cells in zip(*rows, strict=True)]
    db.append(Relation("marts", name), pa.table(arrays, names=list(COLUMNS)))


def waterfall(name: str, **more: Any) -> dict[str, Any]:
    inputs = {n: n for n in ("first_name", "last_name", "company_domain")}
    base = {"name": name, "entity": name, "inputs": inputs, "fields": {field: {} for field in FIELDS}}
    return {**base, "stages": [{"provider": f"{VENDOR}.person"}], **more}


async def run_all(sandbox: RunningSandbox, output: dict[str, Any], orders: Sequence[dict[str, Any]]) -> list[Any]:
    """Starts the processes, lets them go at the same moment, and gives their reports."""
    import asyncio

    started = []
    for order in orders:
        whole = {"output": output, "base_url": sandbox.base_url, "key": KEY, **order}
        command = [sys.executable, "-m", "tests.support.enrich_worker", json.dumps(whole)]
        pipe = subprocess.PIPE
        started.append(await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdin=pipe, stdout=pipe))
    try:
        for process in started:
            assert process.stdout is not None
            assert (await process.stdout.readline()).strip() == b"ready"
        told = await asyncio.gather(*(process.communicate(b"go\n") for process in started))
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
    assert [process.returncode for process in started] == [0] * len(started)
    return [json.loads(out) for out, _ in told]


async def test_a_hundred_equal_lookups_over_four_processes_are_one_charge(
    sandbox: RunningSandbox, output: dict[str, Any], db: Warehouse
) -> None:
    orders = []
    for n in range(PROCESSES):
        people(db, f"team_{n}", [7] * 25)
        orders.append({"waterfall": waterfall(f"team_{n}"), "relation": f"team_{n}", "run_id": f"run-{n}"})
    reports = await run_all(sandbox, output, orders)
    bill = sandbox.sandbox.bills[VENDOR]
    assert len(bill.lines) == 1, "a hundred equal lookups are one charge"
    assert sum(r["asked"] for r in reports) == 1
    assert all(r["filled"] == reports[0]["filled"] for r in reports)
    assert 25 in reports[0]["filled"].values(), "and all have the values"
    (charged,) = db.rows("SELECT sum(charged_usd) FROM revetl.enrichment_calls")[0]
    assert charged == bill.charged_usd


async def test_processes_share_the_work_and_never_pass_the_days_budget(
    sandbox: RunningSandbox, output: dict[str, Any], db: Warehouse
) -> None:
    people(db, "everybody", range(60))
    limit = Decimal("3.00")
    spec = waterfall("everybody", budget={"per_day_usd": str(limit)})
    orders = [{"waterfall": spec, "relation": "everybody", "run_id": f"run-{n}"} for n in range(PROCESSES)]
    reports = await run_all(sandbox, output, orders)
    bill = sandbox.sandbox.bills[VENDOR]
    assert bill.charged_usd <= limit
    assert limit - bill.charged_usd < Decimal("0.28") * PROCESSES
    assert sum(Decimal(r["usd"]) for r in reports) == bill.charged_usd
    assert any(r["stopped"] for r in reports)
    twice = db.rows(
        "SELECT request_hash FROM revetl.enrichment_calls WHERE status = 'hit'"
        " GROUP BY request_hash HAVING count(*) > 1"
    )
    assert twice == []
    (counted,) = db.rows("SELECT sum(committed_usd) FROM revetl.enrichment_spend")[0]
    assert counted == bill.charged_usd
