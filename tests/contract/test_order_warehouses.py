"""The same ledger teaches the same on every warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from revetl.enrich.ordering.history import History, HistoryFilter, read_history
from revetl.model import Relation
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.sql import table
from tests.support.enrich_fakes import PEOPLE, START
from tests.support.order_world import MARKET, cascade, market, run_market
from tests.support.warehouses import PARAMS, SCHEMA, new_warehouse

LISTED = tuple(MARKET)
HERE = Relation(SCHEMA, "golden_contacts")
# In each database's own words: what an operator writes is not DuckDB's dialect.
SEGMENT = {
    "duckdb": "CASE WHEN starts_with(golden_id, 'g0000') THEN 'early' ELSE 'late' END",
    "postgres": "CASE WHEN golden_id ~ '^g0000' THEN 'early' ELSE 'late' END",
    "snowflake": "IFF(STARTSWITH(golden_id, 'g0000'), 'early', 'late')",
}


@pytest.fixture(scope="module")
def source() -> DuckDBWarehouse:
    warehouse, _, _ = run_market(LISTED, 60, audit={"share": 0.3})
    return warehouse


@pytest.fixture(params=PARAMS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with new_warehouse(request.param, tmp_path) as made:
        yield made


def read(warehouse: Warehouse, entity: Relation) -> History:
    known = {name: vendor.spec for name, vendor in market().items()}
    spec = cascade(LISTED, audit={"share": 0.3})
    only = HistoryFilter(segment=SEGMENT[warehouse.dialect])
    return read_history(warehouse, spec, known, entity, now=START + timedelta(days=1), only=only)


def copy(source: DuckDBWarehouse, warehouse: Warehouse) -> None:
    import pyarrow as pa

    create_all(warehouse)
    warehouse.execute(
        f"CREATE TABLE {table(HERE)} (golden_id VARCHAR, first_name VARCHAR, last_name VARCHAR,"
        " company_domain VARCHAR, email VARCHAR, phone VARCHAR)"
    )
    pairs = [(PEOPLE, HERE)] + [
        (relation(source, name), relation(warehouse, name)) for name in ("enrichment_calls", "enrichment_values")
    ]
    for here, there in pairs:
        batches = list(source.stream(f"SELECT * FROM {table(here, source.dialect)}"))
        warehouse.append(there, pa.Table.from_batches(batches))


def test_the_same_ledger_teaches_the_same(source: DuckDBWarehouse, warehouse: Warehouse) -> None:
    copy(source, warehouse)
    expected, found = read(source, PEOPLE), read(warehouse, HERE)
    assert found.candidates == expected.candidates
    assert found.checks == pytest.approx(expected.checks)
    for here, there in zip(found.prices, expected.prices, strict=True):
        assert asdict(here) == pytest.approx(asdict(there))
    assert set(expected.segments) == {"early", "late"}
    for name, asked_records in expected.segments.items():
        assert sorted(map(repr, found.segments[name])) == sorted(map(repr, asked_records))
