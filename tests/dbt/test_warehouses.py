"""The starter built on each warehouse from the same sources: the same rows come out. Minutes, so only on demand.

REVETL_ALL_WAREHOUSES=1 pytest tests/dbt/test_warehouses.py
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from revetl.model import Relation
from revetl.sandbox.sources import generate
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.copying import copy_tables
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import ident, table
from tests.support.dbt_process import DBT
from tests.support.warehouses import KINDS, SCHEMA, new_database

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = 1_000
SEED = 11
MODELS = (
    "golden_contacts",
    "golden_companies",
    "golden_members",
    "golden_offered_values",
    "hubspot__contacts",
    "hubspot__companies",
)

# Three dbt builds take minutes; `python -m verification warehouses` does them, and the page has its result.
pytestmark = pytest.mark.skipif(
    os.environ.get("REVETL_ALL_WAREHOUSES") != "1", reason="minutes: set REVETL_ALL_WAREHOUSES=1"
)


def build(output: dict[str, Any], directory: Path, *command: str) -> None:
    profile = {"revetl_starter": {"target": "it", "outputs": {"it": output}}}
    (directory / "profiles.yml").write_text(json.dumps(profile), "utf-8")
    line = [
        *DBT,
        "--no-use-colors",
        "--log-path",
        str(directory / "logs"),
        *command,
    ]
    line += ["--project-dir", str(REPOSITORY / "dbt_project"), "--profiles-dir", str(directory)]
    done = subprocess.run(
        [*line, "--target-path", str(directory / "target")], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-4000:]


def contents(warehouse: Warehouse, name: str) -> list[tuple[Any, ...]]:
    """Rows as text, in an order of Python's."""
    relation = Relation(SCHEMA, name)
    columns = sorted(c.name for c in warehouse.columns(relation))
    rows = warehouse.rows(f"SELECT {', '.join(map(ident, columns))} FROM {table(relation)}")
    return [tuple(columns), *sorted(tuple(str(cell) for cell in row) for row in rows)]


def built(kind: str, directory: Path) -> dict[str, list[tuple[Any, ...]]]:
    directory.mkdir()
    with new_database(kind, directory) as output:
        for day in (1, 2):
            sources = directory / f"sources{day}.duckdb"
            made = generate(sources, directory / "truth", records=RECORDS, seed=SEED, day=day)
            with (
                closing(open_warehouse(output, root=directory, state_schema="revetl")) as warehouse,
                closing(DuckDBWarehouse(sources, read_only=True)) as here,
            ):
                copied = copy_tables(here, warehouse, [Relation(*name.split(".")) for name in made])
                assert copied == made
                create_all(warehouse)
            build(output, directory, "build" if day == 1 else "run")
        with closing(open_warehouse(output, root=directory, state_schema="revetl")) as warehouse:
            return {name: contents(warehouse, name) for name in MODELS}


def test_the_same_rows_everywhere(tmp_path: Path) -> None:
    on = {kind: built(kind, tmp_path / kind) for kind in KINDS}
    for kind in KINDS[1:]:
        for name in MODELS:
            assert len(on["duckdb"][name]) > 50
            differing = set(on["duckdb"][name]) ^ set(on[kind][name])
            assert not differing, (kind, name, sorted(differing)[:4])
