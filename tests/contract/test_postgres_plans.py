"""No statement on Postgres compares each row with each: what it visits grows with its input, whatever the planner
guesses of tables that it has no statistics of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.model import Relation
from revetl.state.schema import create_all
from revetl.warehouse.postgres import PostgresWarehouse
from tests.simulation.test_enrich_engine import providers
from tests.support.enrich_fakes import PEOPLE, clock, context, load_people, person, waterfall
from tests.support.postgres_plans import Visited, watched
from tests.support.sync_bench import COLUMNS, Bench
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import SCHEMA, new_warehouse

pytestmark = pytest.mark.xdist_group("postgres")

RECORDS = 400
# A row of the ledger is seen with each field, and with each provider that was asked. All against all is hundreds.
AT_MOST = 4


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PostgresWarehouse]:
    with new_warehouse("postgres", tmp_path) as opened:
        assert isinstance(opened, PostgresWarehouse)
        create_all(opened)
        yield opened


def assert_linear(seen: list[Visited], rows: int) -> None:
    for each in sorted(seen, key=lambda v: -v.rows):
        assert each.rows <= AT_MOST * rows, (
            f"{each.node} visits {each.rows:,} rows where there are {rows:,}:\n{each.sql}"
        )


def test_what_an_enrichment_selects(warehouse: PostgresWarehouse) -> None:
    spec = waterfall(budget={"per_record_usd": "2"}, audit={"share": 0.05})
    load_people(warehouse, [person(n) for n in range(RECORDS)])

    def run(run_id: str) -> Any:
        return run_virtual(run_waterfall(context(warehouse, clock(), run_id), spec, providers(), PEOPLE))

    with watched(warehouse) as first:
        run("r1")
    with watched(warehouse) as again:
        terms = {name: vendor.spec for name, vendor in providers().items()}
        estimate(context(warehouse, clock(), "r2"), spec, terms, PEOPLE)
        assert run("r2").asked == 0
    ledger = sum(
        warehouse.scalar(f"SELECT count(*) FROM revetl.{name}", int)
        for name in ("enrichment_calls", "enrichment_values")
    )
    assert len(first) > 50
    assert len(again) > 30
    assert_linear(first + again, RECORDS + ledger)


def test_what_a_sync_plans(warehouse: PostgresWarehouse) -> None:
    bench = Bench(warehouse=warehouse)
    fill(warehouse, 0)
    with watched(warehouse) as seen:
        bench.run()
        fill(warehouse, 50)
        bench.plan()
        bench.run()
        bench.run()
    assert len(seen) > 50
    assert_linear(seen, 2 * RECORDS)


def fill(warehouse: PostgresWarehouse, changed: int) -> None:
    rows = [(f"{n}", f"p{n}@x.example", f"First{n}", "Riga" if n < changed else "Oslo") for n in range(RECORDS)]
    warehouse.execute("DROP TABLE IF EXISTS contacts")
    warehouse.execute(f"CREATE TABLE contacts ({', '.join(f'{name} VARCHAR' for name in COLUMNS)})")
    columns = zip(*rows, strict=True)
    warehouse.append(
        Relation(SCHEMA, "contacts"),
        pa.table({name: pa.array(cells) for name, cells in zip(COLUMNS, columns, strict=True)}),
    )
