"""The starter's models on Postgres visit rows in proportion to their input: the server itself writes down each plan.

`auto_explain` comes with Debian's server and not with those of PyPI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from revetl.model import Relation
from revetl.sandbox.sources import generate
from revetl.state.schema import create_all
from revetl.warehouse.copying import copy_tables
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.open import open_warehouse
from tests.dbt.test_warehouses import build
from tests.support.postgres_plans import Visited, most_visited
from tests.support.postgres_servers import PostgresServer, server

RECORDS = 1_500
AT_MOST = 4  # times the rows of the sources, of what survives of them and of the ledger
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "autovacuum": "off",
}
_FIELDS = "('phone'), ('job_title'), ('seniority'), ('city'), ('country')"


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with server(version="15", settings=_EXPLAIN) as made:
        yield made


def plans(postgres: PostgresServer) -> list[Visited]:
    """Of all statements so far."""
    found, lines = [], iter((postgres.folder / "log").read_text("utf-8").splitlines())
    for line in lines:
        if not line.endswith(" plan:"):
            continue
        text = []
        for more in lines:
            text.append(more.removeprefix("\t"))
            if text[-1] == "}":
                break
        logged: dict[str, Any] = json.loads("\n".join(text))
        found.append(most_visited(logged["Query Text"], logged["Plan"]))
    return found


@pytest.mark.skipif(os.environ.get("REVETL_ALL_WAREHOUSES") != "1", reason="half a minute: set REVETL_ALL_WAREHOUSES=1")
def test_no_model_compares_each_row_with_each(postgres: PostgresServer, tmp_path: Path) -> None:
    made = generate(tmp_path / "sources.duckdb", tmp_path / "truth", records=RECORDS, seed=11, day=1)
    output = {**postgres.output, "dbname": "postgres", "schema": "analytics", "threads": 1}
    with (
        closing(open_warehouse(output, root=tmp_path, state_schema="revetl")) as warehouse,
        closing(DuckDBWarehouse(tmp_path / "sources.duckdb", read_only=True)) as here,
    ):
        copy_tables(here, warehouse, [Relation(*name.split(".")) for name in made])
        create_all(warehouse)
        build(output, tmp_path, "build", "--resource-type", "seed", "--resource-type", "model")
        # One answer about each contact and each company, with a value for each of these fields.
        for entity in ("golden_contacts", "golden_companies"):
            warehouse.execute(
                f"""
                INSERT INTO revetl.enrichment_values
                SELECT '{entity}', golden_id, f.field, f.field || golden_id, 'big.person', 0.9, NULL, 'c' || golden_id,
                    TIMESTAMP '2026-01-01', NULL, NULL, NULL
                FROM analytics.{entity}
                CROSS JOIN (VALUES {_FIELDS}) AS f(field)
                """
            )
        warehouse.execute(
            "INSERT INTO revetl.enrichment_calls (call_id, provider, status, charged_usd, asked_at)"
            " SELECT DISTINCT call_id, 'big.person', 'hit', 0.1, TIMESTAMP '2026-01-01' FROM revetl.enrichment_values"
        )
        build(output, tmp_path, "run")
        ledger = warehouse.scalar("SELECT count(*) FROM revetl.enrichment_values", int)
        survivors = warehouse.scalar("SELECT count(*) FROM analytics.golden_provenance", int)
    seen = [each for each in plans(postgres) if '"app": "dbt"' in each.sql]
    assert len(seen) > 50
    rows = RECORDS + ledger + survivors
    for each in sorted(seen, key=lambda v: -v.rows):
        assert each.rows <= AT_MOST * rows, (
            f"{each.node} visits {each.rows:,} rows where there are {rows:,}:\n{each.sql}"
        )
