"""Runs and records are found by whatever names them, on every warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from revetl.errors import ConfigError
from revetl.model import Relation, RunRecord, SyncSpec
from revetl.state import runs
from revetl.state.schema import create_all
from revetl.usecases.record_names import find_record, known_key, record_key
from revetl.usecases.run_names import find_run, find_runs
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from tests.support.warehouses import PARAMS, new_database

BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=PARAMS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with (
        new_database(request.param, tmp_path) as output,
        closing(open_warehouse(output, root=tmp_path, state_schema="revetl")) as opened,
    ):
        create_all(opened)
        yield opened


def ran(warehouse: Warehouse, run_id: str, invocation_id: str | None, hours: int, build: str | None = None) -> None:
    began = BEGAN + timedelta(hours=hours)
    record = RunRecord(run_id, "run", "crm", "dev", began, "1", dbt_invocation_id=build, invocation_id=invocation_id)
    runs.start_run(warehouse, record)


def ids(found: Any) -> list[str]:
    return [run.run_id for run in found]


def test_runs_are_found_by_id_beginning_end_invocation_and_as_latest(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="nothing has run yet"):
        find_runs(warehouse, "latest")
    ran(warehouse, "20260131-aaaaaa", "20260130-alone1", 0)
    ran(warehouse, "20260131-bbbbbb", "20260131-joined", 1)
    ran(warehouse, "20260131-cccccc", "20260131-joined", 2)
    ran(warehouse, "20260129-dddddd", None, -1, build="build-7")
    ran(warehouse, "20260129-eeeeee", None, -2, build="build-7")
    assert ids(find_runs(warehouse, "20260131-bbbbbb").runs) == ["20260131-bbbbbb"]
    assert (
        ids(find_runs(warehouse, "20260131-b").runs) == ids(find_runs(warehouse, "bbbbbb").runs) == ["20260131-bbbbbb"]
    )
    both = ["20260131-cccccc", "20260131-bbbbbb"]
    assert ids(find_runs(warehouse, "joined").runs) == ids(find_runs(warehouse, "latest").runs) == both
    assert ids(find_runs(warehouse, "alone1").runs) == ["20260131-aaaaaa"], "an invocation of one run is that run"
    assert ids(find_runs(warehouse, "build-7").runs) == ["20260129-dddddd", "20260129-eeeeee"]
    assert ids(runs.newest_invocations(warehouse, 2)) == [*both, "20260131-aaaaaa"]
    with pytest.raises(ConfigError, match="fits 4 runs"):
        find_runs(warehouse, "20260131")
    for short in ("b", "bbb", "%", "20260131-______"):
        with pytest.raises(ConfigError, match="no run has the id"):
            find_runs(warehouse, short)
    with pytest.raises(ConfigError, match="of 2 runs; name one"):
        find_run(warehouse, "joined")


def test_records_are_found_by_key_beginning_match_value_and_id(warehouse: Warehouse) -> None:
    warehouse.execute("CREATE TABLE revetl.crm (id BIGINT, email VARCHAR)")
    warehouse.execute("INSERT INTO revetl.crm VALUES (1, 'Ann@x.io'), (12, 'bob@x.io'), (30, 'cid@x.io')")
    warehouse.execute("CREATE TABLE revetl.snapshot__crm (key VARCHAR, destination_id VARCHAR, email VARCHAR)")
    warehouse.execute("INSERT INTO revetl.snapshot__crm VALUES ('12', 'd-9', 'old@x.io')")
    spec = SyncSpec("crm", Relation("revetl", "crm"), "hub", "contacts", key="id", match_on="email")
    project: Any = SimpleNamespace(
        manifest=SimpleNamespace(model_names=lambda: (), nodes={}), syncs=lambda **_: [spec], state_schema="revetl"
    )
    assert record_key(project, warehouse, "1") == "1", "a whole key is meant before the beginning of another"
    for text, key in (("3", "30"), ("ANN@X.IO", "1"), ("d-9", "12"), ("old@x.io", "12")):
        assert record_key(project, warehouse, text) == key, text
    assert {hit.kind for hit in find_record(project, warehouse, "old@x.io")} == {"email"}
    assert [(h.kind, h.place) for h in find_record(project, warehouse, "d-9")] == [("destination id", "snapshot__crm")]
    assert record_key(project, warehouse, "%") is record_key(project, warehouse, "") is None
    with pytest.raises(ConfigError, match="Looked at: keys and their beginnings, ids of destinations, email"):
        known_key(project, warehouse, "nobody")
