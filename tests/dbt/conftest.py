"""The starter project, built once per session on generated sources: day one, then a day later."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from revetl.sandbox.sources import generate
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.dbt_process import DBT

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = 2_000
SEED = 11


def dbt(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs dbt on the starter project against `directory`/warehouse.duckdb, and leaves nothing outside `directory`."""
    environment = {**os.environ, "REVETL_DUCKDB_PATH": str(directory / "warehouse.duckdb")}
    command = [*DBT, "--no-use-colors", "--log-path", str(directory / "logs")]
    command += [*arguments, "--project-dir", str(REPOSITORY / "dbt_project")]
    command += ["--profiles-dir", str(REPOSITORY / "profiles"), "--target-path", str(directory / "target")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def prepare(directory: Path, *, day: int) -> None:
    generate(directory / "warehouse.duckdb", directory / f"truth{day}", records=RECORDS, seed=SEED, day=day)
    warehouse = DuckDBWarehouse(directory / "warehouse.duckdb")
    create_all(warehouse)
    warehouse.close()


class Built(NamedTuple):
    db: duckdb.DuckDBPyConnection  # tables of day 1 in the schema `day1`, of day 2 in `analytics`
    directory: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    directory = tmp_path_factory.mktemp("starter")
    for day in (1, 2):
        prepare(directory, day=day)
        if day == 2:  # an import is made again, and everything is rebuilt
            with duckdb.connect(str(directory / "warehouse.duckdb")) as db:
                db.execute("UPDATE raw_crm.contacts SET created_at = TIMESTAMP '2026-10-01'")
        done = dbt(directory, "build") if day == 1 else dbt(directory, "run", "--full-refresh")
        assert done.returncode == 0, done.stdout[-4000:]
        if day == 1:
            with duckdb.connect(str(directory / "warehouse.duckdb")) as db:
                db.execute("CREATE SCHEMA day1")
                for name in ("golden_contacts", "golden_companies", "golden_members", "golden_provenance"):
                    db.execute(f"CREATE TABLE day1.{name} AS FROM analytics.{name}")
    with duckdb.connect(str(directory / "warehouse.duckdb")) as db:
        yield Built(db, directory)
