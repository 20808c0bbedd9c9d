"""The page: what it shows, what it refuses, and that nothing of data is anything but text on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from revetl.clock import SystemClock
from revetl.errors import WarehouseBusy, WarehouseError
from revetl.model import RunRecord
from revetl.schedules.deciding import DueRun
from revetl.schedules.spec import Schedule, ScheduleSpec
from revetl.service.page.app import Page
from revetl.service.scheduling import WorkerState
from revetl.state import runs
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse

NOW = datetime.now(UTC)


class StandingClock(SystemClock):
    """Collecting the tests and running them may be a quarter of an hour apart."""

    def now(self) -> datetime:
        return NOW


HOSTILE = "<script>alert(1)</script>\u202e"
RUN = "20260302T120000.000Z-abcdef"


class Served:
    """A page over a warehouse in memory. `fails`: raised in place of opening it."""

    def __init__(self) -> None:
        self.warehouse = DuckDBWarehouse(":memory:", state_schema="revetl", settings={})
        create_all(self.warehouse)
        self.fails: Exception | None = None
        spec = ScheduleSpec(cron="15 5 * * *")
        self.book: Any = SimpleNamespace(
            project=SimpleNamespace(name="crm", target="dev"),
            error=None,
            schedules=lambda: [Schedule("sync", "hubspot__contacts", spec, "hubspot__contacts")],
        )
        self.state = WorkerState("w", leading=True, looked_at=NOW)
        self.page = Page(self.book, self.door, self.state, StandingClock(), exclusive=True)
        self.client = TestClient(self.page.app(), base_url="http://127.0.0.1:8420")

    @contextmanager
    def door(self) -> Iterator[Warehouse]:
        if self.fails is not None:
            raise self.fails
        yield self.warehouse

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    served = Served()
    fill(served.warehouse)
    yield served
    served.warehouse.close()


@pytest.fixture
def served(shared: Served) -> Served:
    shared.fails, shared.state.error, shared.state.looked_at = None, None, NOW
    shared.state.running.clear()
    shared.page._overview = None
    return shared


def fill(warehouse: DuckDBWarehouse) -> None:
    record = RunRecord(RUN, "sync", "hubspot__contacts", "dev", NOW - timedelta(hours=2), "0")
    record.finished_at, record.status = NOW - timedelta(hours=1), "partial"
    record.counts, record.waiting = {"ok": 119, "rejected": 1}, {"INVALID_EMAIL": 1}
    runs.start_run(warehouse, record)
    bad = RunRecord(f"{RUN}2", "sync", HOSTILE, "dev", NOW - timedelta(days=2), "0", error=HOSTILE)
    bad.finished_at, bad.status = NOW - timedelta(days=2), "failed"
    runs.start_run(warehouse, bad)
    warehouse.execute(
        f"""
        INSERT INTO revetl.outcomes (run_id, sync, key, op, status, attempts, changed_fields, before, after, "at")
        SELECT '{RUN}', 'hubspot__contacts', 'k' || lpad(CAST(i AS VARCHAR), 3, '0'), 'update', 'ok', 1,
               '["firstname"]', '{{"firstname": "Ada"}}', '{{"firstname": "Ada ' || i || '"}}', now()
        FROM range(119) t(i)
        """
    )
    warehouse.execute(
        'INSERT INTO revetl.outcomes (run_id, sync, key, op, status, attempts, error_code, message, after, "at")'
        " VALUES (?, 'hubspot__contacts', ?, 'create', 'rejected', 1, 'INVALID_EMAIL', ?, ?, now())",
        [RUN, f"z{HOSTILE}", HOSTILE, json.dumps({"email": HOSTILE})],
    )


def test_syncs_at_a_glance(served: Served) -> None:
    answer = served.get("/")
    assert answer.status_code == 200
    row = re.sub(r"<[^>]+>|\s+", " ", answer.text.split("hubspot__contacts")[1].split("</tr>")[0])
    assert re.search(r"partial \s*\d{4}-\d\d-\d\d \d\d:\d\d", row)
    assert " 1 h " in row
    assert "05:15" in row
    assert answer.text.count('class="day partial"') == 1
    assert answer.text.count('class="day failed"') == 1


def test_nothing_of_data_is_anything_but_text(served: Served) -> None:
    for path in ("/", f"/runs/{RUN}?search=z", f"/runs/{RUN}2", f"/runs/{RUN}?search=<script>alert(1)</script>"):
        text = served.get(path).text
        assert "&lt;script&gt;" in text, path
        assert "<script" not in text
        assert "\u202e" not in text


def test_a_run_is_paged_and_searched_by_key_with_what_was_before(served: Served) -> None:
    first = served.get(f"/runs/{RUN}")
    keys = re.findall(r'class="key">(k\d+)', first.text)
    assert keys == [f"k{i:03}" for i in range(50)]
    assert "<del>Ada</del> → <ins>Ada 7</ins>" in first.text
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = served.get(f"/runs/{RUN}{link.replace('&amp;', '&')}")
    assert re.findall(r'class="key">(k\d+)', second.text) == [f"k{i:03}" for i in range(50, 100)]
    assert re.findall(r'class="key">(k\d+)', served.get(f"/runs/{RUN}?search=k11").text) == [
        f"k{i}" for i in range(110, 119)
    ]
    refused = served.get(f"/runs/{RUN}?status=rejected").text
    assert "INVALID_EMAIL" in refused
    assert "k001" not in refused
    assert served.get("/runs/nosuchrun").status_code == 404


def test_what_may_be_loaded_and_from_where(served: Served) -> None:
    for path in ("/", "/style.css", "/healthz", "/nothing", f"/runs/{RUN}"):
        headers = served.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    text = served.get(f"/runs/{RUN}").text
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
    assert not re.search(r"<script|\son\w+=|style=", text)
    assert len(text) < 100_000


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "", "[::2]:8420"])
def test_a_foreign_name_that_points_here_is_refused(served: Served, host: str) -> None:
    assert served.get("/", host=host).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8420", "127.0.0.1:1", "[::1]:8420"])
def test_our_own_names_are_not(served: Served, host: str) -> None:
    assert served.get("/healthz", host=host).status_code == 200


def test_nothing_can_be_changed(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert served.client.request(method, "/").status_code == 405
    assert served.get("/?" + "a" * 3_000).status_code == 414


def test_health_and_readiness(served: Served) -> None:
    assert served.get("/healthz").json()["status"] == "ok"
    assert served.get("/readyz").status_code == 200
    served.state.error = "the warehouse is away"
    assert served.get("/readyz").status_code == 503
    served.state.error, served.state.looked_at = None, None
    assert served.get("/readyz").json()["status"] == "not ready"


def test_metrics_are_read_by_prometheus_own_parser(served: Served) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    found = {
        (sample.name, sample.labels.get("subject", "")): sample.value
        for family in text_string_to_metric_families(served.get("/metrics").text)
        for sample in family.samples
    }
    assert found["revetl_records_waiting", "hubspot__contacts"] == 1
    assert found["revetl_service_leading", ""] == 1
    assert found["revetl_last_good_run_end_timestamp_seconds", "hubspot__contacts"] == pytest.approx(
        (NOW - timedelta(hours=1)).timestamp(), abs=1
    )


def test_beside_a_run_that_has_the_file_the_page_is_of_before_and_says_so(served: Served) -> None:
    assert served.get("/").status_code == 200
    overview = served.page._overview
    assert overview is not None
    served.page._overview = type(overview)(
        read_at=NOW - timedelta(minutes=3), syncs=overview.syncs, incidents=(), recent=(), counted={}
    )
    served.state.running["sync:x"] = DueRun(schedule="sync:x", due_at=NOW, status="running")
    text = served.get("/").text
    assert "Read 3 min ago: a run works in the database file" in text
    assert served.get(f"/runs/{RUN}").status_code == 503


@pytest.mark.parametrize("error", [WarehouseBusy("in use"), WarehouseError("password of x@y.example is wrong")])
def test_a_warehouse_that_is_away_is_a_page_without_its_words(served: Served, error: Exception) -> None:
    served.fails = error
    answer = served.get("/")
    assert answer.status_code == 503
    assert "x@y.example" not in answer.text
