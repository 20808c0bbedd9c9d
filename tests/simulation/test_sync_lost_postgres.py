"""A sync over a real Postgres that is stopped and started, and whose sessions are ended, while batches are in flight
and between them."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from revetl.model import Change
from revetl.sync import SyncOptions, run_sync
from revetl.usecases.caller import Caller
from revetl.usecases.renames import take_over_renamed
from revetl.warehouse.open import open_warehouse
from tests.support import postgres_servers
from tests.support.fake_destination import FakeDestination
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


class EndedBefore:
    """The session is ended just before the statement of that number is sent, too late for it to be seen as idle."""

    def __init__(self, server: PostgresServer, warehouse: Any, at: int) -> None:
        self.sent, self.first_batch = 0, 0
        before = warehouse._send

        def send(*of: Any) -> Any:
            self.sent += 1
            if self.sent == at:
                end_session(server, warehouse)
            return before(*of)

        warehouse._send = send


def surroundings(bench: Bench) -> Any:
    """As a command makes them: the state is claimed for the target first."""
    project: Any = SimpleNamespace(target="dev", state_dir=None)
    return Caller(clock=bench.clock).context(project, bench.warehouse, "sync")


def from_the_claim_on(server: PostgresServer, bench: Bench, at: int) -> tuple[Any, EndedBefore]:
    counting = EndedBefore(server, bench.warehouse, at)

    def note(_: Sequence[Change]) -> None:
        counting.first_batch = counting.first_batch or counting.sent

    async def sync() -> Any:
        return await run_sync(surroundings(bench), bench.spec, bench.destination, SyncOptions(intent_rows=60))

    bench.destination.before_write = note
    return run_virtual(sync()), counting


def emptied(server: PostgresServer, bench: Bench) -> Bench:
    """The same people, and nothing of them sent: on another destination, without any state or with empty tables."""
    bench.warehouse.execute("DROP SCHEMA IF EXISTS revetl CASCADE")
    fresh: Any = open_warehouse({**server.output, "dbname": "people"}, root=Path(), state_schema="revetl")
    bench.warehouse.close()
    fresh._pause = lambda _: None
    bench.warehouse, bench.destination = fresh, FakeDestination()
    return bench


@pytest.mark.parametrize("of_before", ["no state yet", "after a sync"])
def test_a_session_that_is_ended_before_any_statement_of_the_start(
    server: PostgresServer, bench: Bench, of_before: str
) -> None:
    """From the claim of the state to the first batch; every 9th by default, REVETL_EVERY_STEP=1 tries all."""
    stride = 1 if os.environ.get("REVETL_EVERY_STEP") else 9

    def prepared() -> None:
        emptied(server, bench)
        if of_before == "after a sync":
            bench.source([])
            run_virtual(bench.start(allow=("rows",)))
            bench.source(PEOPLE)

    prepared()
    _, counting = from_the_claim_on(server, bench, 0)
    last = counting.first_batch
    assert last > 30
    for at in [1, 2, 3, *range(4, last + 1, stride), last]:
        prepared()
        report, _ = from_the_claim_on(server, bench, at)
        assert report.status == "done", f"before statement {at}"
        check(bench, report)
        runs = 1 if of_before == "no state yet" else 2
        for table, rows in (("state_owner", 1), ("leases", 1), ("runs", runs + 1)):
            assert bench.rows(f"SELECT count(*) FROM revetl.{table}") == [(rows,)], f"{table}, statement {at}"
        assert bench.rows("SELECT count(*) FROM revetl.leases WHERE run_id IS NOT NULL") == [(0,)]


def test_a_renamed_sync_is_taken_over_whenever_the_session_ends(server: PostgresServer, bench: Bench) -> None:
    last = 1
    at = 0
    while at <= last:
        emptied(server, bench)
        run_virtual(bench.start())
        old, renamed = bench.spec, replace(bench.spec, name="fake__people", renamed_from=bench.spec.name)
        counting = EndedBefore(server, bench.warehouse, at)
        project: Any = SimpleNamespace(target="dev", state_dir=None)
        run_virtual(take_over_renamed(project, bench.warehouse, [renamed], Caller(clock=bench.clock)))
        last = max(last, counting.sent if at == 0 else 0)
        assert bench.rows("SELECT count(*) FROM revetl.snapshot__fake__people") == [(len(PEOPLE),)], f"before {at}"
        assert not any(name.endswith(old.name) for name in bench.warehouse.tables("revetl")), f"before {at}"
        at += 5
    assert last > 20


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_session_that_is_ended_while_it_is_made_ready(
    server: PostgresServer, bench: Bench, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected, and lost before the settings are made: that is as if nobody had answered."""
    seen = 0
    before = psycopg.Connection.execute

    def execute(self: Any, *of: Any, **how: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == at:
            server.ask(f"SELECT pg_terminate_backend({self.info.backend_pid})")
        return before(self, *of, **how)

    output = {**server.output, "dbname": "people"}
    asking = server.ask

    def ask(sql: str, dbname: str = "postgres") -> Any:
        with monkeypatch.context() as aside:
            aside.setattr(psycopg.Connection, "execute", before)
            return asking(sql, dbname)

    monkeypatch.setattr(server, "ask", ask)
    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    with closing(open_warehouse(output, root=Path(), state_schema="revetl")) as warehouse:
        assert warehouse.rows("SELECT 1") == [(1,)]


def end_session(server: PostgresServer, warehouse: Any) -> None:
    process = warehouse._db.info.backend_pid
    server.ask(f"SELECT pg_terminate_backend({process})")
    while server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"):
        time.sleep(0.01)
