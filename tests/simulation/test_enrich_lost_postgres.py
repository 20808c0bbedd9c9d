"""A waterfall over a real Postgres that is stopped and started, and whose sessions are ended, while calls are in flight
and between them. The vendor's own bill is the witness."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from revetl.enrich.execution.answer_spool import AnswerSpool
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.errors import WarehouseError
from revetl.state.schema import create_all
from revetl.warehouse.open import open_warehouse
from tests.simulation.test_enrich_engine import enrich, providers
from tests.simulation.test_enrich_lost_connection import VALUES, check, check_no_money_lost
from tests.support import postgres_servers
from tests.support.enrich_fakes import PEOPLE, FakeProvider, clock, context, load_people, person, waterfall
from tests.support.postgres_servers import PostgresServer
from tests.support.virtual_time import run_virtual

pytestmark = pytest.mark.xdist_group("postgres")
PEOPLE_N = 30


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_servers.server() as made:
        yield made


@pytest.fixture
def warehouse(server: PostgresServer) -> Iterator[Any]:
    server.ask("DROP DATABASE IF EXISTS people WITH (FORCE)")
    server.ask("CREATE DATABASE people")
    with closing(_opened(server)) as made:
        create_all(made)
        load_people(made, [person(n) for n in range(PEOPLE_N)])
        yield made


@pytest.fixture(scope="module")
def wanted(server: PostgresServer) -> list[Any]:
    """What an undisturbed run brings."""
    server.ask("DROP DATABASE IF EXISTS undisturbed WITH (FORCE)")
    server.ask("CREATE DATABASE undisturbed")
    with closing(_opened(server, "undisturbed")) as made:
        create_all(made)
        load_people(made, [person(n) for n in range(PEOPLE_N)])
        enrich(made, providers())
        return list(made.rows(VALUES))


def run(warehouse: Any, vendors: dict[str, FakeProvider], at: int, happens: Callable[[], None], **more: Any) -> Any:
    """`happens` at the call of that number, whoever is asked."""
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            happens()

    for vendor in vendors.values():
        vendor.before_answer = count
    ctx = context(warehouse, clock(), "r1", **more)
    try:
        return run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
    finally:
        for vendor in vendors.values():
            vendor.before_answer = lambda: None


@pytest.mark.parametrize("at", [1, 9, 25, 40])
def test_a_session_that_is_ended_while_calls_are_in_flight(
    server: PostgresServer, warehouse: Any, wanted: list[Any], at: int
) -> None:
    vendors = providers()
    run(warehouse, vendors, at, lambda: _end_session(server, warehouse))
    check(warehouse, vendors, wanted)


@pytest.mark.parametrize("at", [3, 30])
def test_a_server_that_is_stopped_and_started(
    server: PostgresServer, warehouse: Any, wanted: list[Any], at: int
) -> None:
    vendors = providers()

    def restart() -> None:
        server.stop()
        asyncio.get_running_loop().call_later(30, server.start)

    run(warehouse, vendors, at, restart)
    check(warehouse, vendors, wanted)


def test_a_server_that_stays_away_and_the_run_that_comes_after(
    server: PostgresServer, warehouse: Any, wanted: list[Any], tmp_path: Path
) -> None:
    vendors = providers()
    try:
        with pytest.raises(WarehouseError, match="paid answers are kept in"):
            run(warehouse, vendors, 20, server.stop, state_dir=tmp_path, reconnect_s=20.0)
    finally:
        server.start()
    (file,) = AnswerSpool(tmp_path).paths()
    assert file.read_text().count('"status": "hit"')
    asked = {name: len(v.bill) for name, v in vendors.items()}
    ctx = context(warehouse, clock(), "r2", state_dir=tmp_path)
    report = run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
    assert report.taken_up > 0
    check_no_money_lost(warehouse, vendors, asked)
    assert warehouse.rows(VALUES) == wanted
    assert AnswerSpool(tmp_path).paths() == []


def _end_session(server: PostgresServer, warehouse: Any) -> None:
    process = warehouse._db.info.backend_pid
    server.ask(f"SELECT pg_terminate_backend({process})")
    while server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"):
        time.sleep(0.01)


def _opened(server: PostgresServer, dbname: str = "people") -> Any:
    return open_warehouse({**server.output, "dbname": dbname}, root=Path(), state_schema="revetl")
