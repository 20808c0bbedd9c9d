"""dbt's sessions are in UTC, as ours are, wherever the machine stands: a moment falls on the same day."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from revetl import project
from revetl.usecases.build import BuildRequest, build
from revetl.usecases.caller import Caller
from tests.support.project_files import write
from tests.support.small_project import SOURCES, small_project


def test_a_moment_is_cast_to_the_day_that_it_is_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    root = small_project(tmp_path, {"type": "duckdb", "path": "small.duckdb"}, "http://127.0.0.1:1")
    write(
        root / "dbt_project/models/days.sql",
        "select cast(timestamptz '2026-01-31 20:00:00+00' as date) as day, current_setting('TimeZone') as zone",
    )
    with duckdb.connect(str(root / "small.duckdb")) as db:
        db.execute("CREATE SCHEMA raw")
        for statement in SOURCES:
            db.execute(statement)
    build(project.load(root), BuildRequest(select=["days"], unit_tests=False), Caller())
    with duckdb.connect(str(root / "small.duckdb")) as db:
        assert [str(cell) for cell in db.execute("SELECT day, zone FROM main.days").fetchall()[0]] == [
            "2026-01-31",
            "UTC",
        ]
