"""A sync over a real Postgres that is stopped and started, and whose sessions are ended, while batches are in flight
and between them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revetl.model import Change
from revetl.warehouse.open import open_warehouse
from tests.support import postgres_servers
from tests.support.postgres_servers import PostgresServer
from tests.support.sync_bench import Bench, read_back
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import SCHEMA

pytestmark = pytest.mark.xdist_group("postgres")
PEOPLE = [(str(i), f"p{i}@x.io", f"P{i}", "Bern") for i in range(60)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_servers.server() as made:
        yield made


@pytest.fixture
def bench(server: PostgresServer) -> Iterator[Bench]:
    server.ask("DROP DATABASE IF EXISTS people WITH (FORCE)")
    server.ask("CREATE DATABASE people")
    server.ask(f"ALTER DATABASE people SET search_path = {SCHEMA}")
    server.ask(f"CREATE SCHEMA {SCHEMA}", "people")
    output = {**server.output, "dbname": "people"}
    with closing(open_warehouse(output, root=Path(), state_schema="revetl")) as warehouse:
        bench = Bench(warehouse)
        bench.destination.latency_s = 1.0
        bench.source(PEOPLE)
        yield bench


def run(bench: Bench, at: int, happens: Callable[[], None], moment: str) -> Any:
    """`happens` around the write of the batch of that number."""
    batches = 0

    def count(_: Sequence[Change]) -> None:
        nonlocal batches
        batches += 1
        if batches == at:
            happens()

    setattr(bench.destination, moment, count)
    report = run_virtual(bench.start(intent_rows=8))
    setattr(bench.destination, moment, lambda _: None)
    return report


def check(bench: Bench, report: Any) -> None:
    assert (report.status, report.recovered, report.counts) == ("done", 0, {"ok": len(PEOPLE)})
    assert Counter(c.key for c in bench.destination.written) == Counter(row[0] for row in PEOPLE)
    assert len(bench.destination.records) == len(PEOPLE)
    outcomes = "SELECT key, count(*) FROM revetl.outcomes WHERE status = 'ok' GROUP BY key HAVING count(*) <> 1"
    assert bench.rows(outcomes) == []
    assert run_virtual(bench.start()).plan.changes == 0


@pytest.mark.parametrize("moment", ["before_write", "after_write"])
@pytest.mark.parametrize("at", [1, 5, 12, 20])
def test_a_session_that_is_ended(server: PostgresServer, bench: Bench, at: int, moment: str) -> None:
    report = run(bench, at, lambda: end_session(server, bench.warehouse), moment)
    check(bench, report)


@pytest.mark.parametrize("at", [2, 11])
def test_a_server_that_is_stopped_and_started(server: PostgresServer, bench: Bench, at: int) -> None:
    patient: Any = bench.warehouse
    patient._pauses_s = ()  # the run waits, on its own clock

    def restart() -> None:
        server.stop()
        asyncio.get_running_loop().call_later(30, server.start)

    check(bench, run(bench, at, restart, "before_write"))


def test_a_session_that_is_ended_while_records_are_read_back(server: PostgresServer, bench: Bench) -> None:
    run_virtual(bench.start())
    next(iter(bench.destination.records.values()))["firstname"] = "Theirs"
    reads = 0
    before = bench.destination.read_back

    async def ended_at_the_third(*of: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 3:
            end_session(server, bench.warehouse)
        return await before(*of)

    bench.destination.read_back = ended_at_the_third  # type: ignore[method-assign]
    report = run_virtual(read_back(replace(bench)))
    assert (report.read, report.drifted) == (len(PEOPLE), 1)


def end_session(server: PostgresServer, warehouse: Any) -> None:
    process = warehouse._db.info.backend_pid
    server.ask(f"SELECT pg_terminate_backend({process})")
    while server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"):
        time.sleep(0.01)
