"""A real pgbouncer in front of a real server: pooling by transaction is recognised and refused, by session it works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.postgres import pooler as pooler_
from revetl.warehouse.sql import table
from tests.support.postgres_servers import PostgresServer, lasting_server, pooler

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(scope="module", params=["15", "18"])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    return lasting_server(request.param)


def opened(output: dict[str, Any]) -> Any:
    return open_warehouse({**output, "dbname": "postgres"}, root=Path(), state_schema="revetl")


def refused(output: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="pools by transaction") as e:
        opened(output).close()
    assert "pool_mode = session" in str(e.value)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("settings", [{}, {"server_round_robin": 1}, {"default_pool_size": 1}])
def test_pooling_by_transaction_is_refused(server: PostgresServer, mode: str, settings: dict[str, object]) -> None:
    with pooler(server, mode, **settings) as output:
        refused(output)  # nobody else is there
        with _servers_at_rest(output, 1 if "default_pool_size" in settings else 5):
            refused(output)


def test_pooling_by_transaction_is_refused_while_others_work(server: PostgresServer) -> None:
    with pooler(server, "transaction", default_pool_size=6) as output, _others_at_work(output, 4):
        for _ in range(5):
            refused(output)


def test_what_is_set_does_not_reach_other_clients_of_a_pool(server: PostgresServer) -> None:
    """The refusal comes before anything of the session is set."""
    with pooler(server, "transaction", default_pool_size=1) as output, _connected(output) as stranger:
        refused({**output, "search_path": "elsewhere", "role": "pg_monitor"})
        assert stranger.execute("SELECT current_user::text, current_setting('search_path')").fetchall() == [
            ("postgres", '"$user", public')
        ]


def test_pooling_by_session_works(server: PostgresServer) -> None:
    with pooler(server, "session") as output, closing(opened({**output, "search_path": "pg_catalog"})) as warehouse:
        scratch = warehouse.scratch("kept")
        warehouse.execute(f"CREATE TEMPORARY TABLE {table(scratch)} (a BIGINT)")
        warehouse.append(scratch, pa.table({"a": range(50)}))
        with closing(opened(output)) as other, warehouse.transaction():
            assert other.rows("SELECT current_setting('TimeZone')") == [("UTC",)]
            assert warehouse.scalar(f"SELECT count(*) FROM {table(scratch)}", int) == 50
        pieces = 0
        for _ in warehouse.stream("SELECT i FROM generate_series(1, 50) AS t(i)", batch_rows=10):
            pieces += 1
            with warehouse.transaction():
                warehouse.execute(f"DELETE FROM {table(scratch)} WHERE a = {pieces}")
        assert pieces == 5
        assert warehouse.rows("SELECT current_setting('search_path')") == [("pg_catalog",)]
        assert warehouse.columns(Relation("pg_catalog", "pg_class"))


def test_a_session_pool_with_one_server_left_is_not_mistaken(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second connection, which asks for the mode, waits for a server there."""
    monkeypatch.setattr(pooler_, "_PATIENCE_S", 0.3)
    with pooler(server, "session", default_pool_size=1) as output, closing(opened(output)) as warehouse:
        assert warehouse.rows("SELECT 1") == [(1,)]


def test_a_pool_that_could_not_be_told_is_refused_when_its_process_changes(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler_, "pools_by_transaction", lambda *_: False)
    with pooler(server, "transaction") as output, closing(opened(output)) as warehouse, _connected(output) as stranger:
        warehouse.rows("SELECT 1")
        stranger.execute("BEGIN")
        stranger.execute("SELECT 1")  # has our server now
        with pytest.raises(ConfigError, match="pools by transaction"), warehouse.transaction():
            pytest.fail("it began")


def test_nobody_in_between_costs_no_second_connection(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooler_, "pools_by_transaction", lambda *_: pytest.fail("asked for the mode of nobody"))
    opened(server.output).close()


def _connected(output: dict[str, Any]) -> psycopg.Connection[Any]:
    place = {key: output[key] for key in ("host", "port", "user")}
    return psycopg.connect(**place, dbname="postgres", autocommit=True, prepare_threshold=None)


def test_the_settings_of_the_pool_are_real(server: PostgresServer) -> None:
    """What the tests above rest on: with pooling by transaction two clients meet the same process, by session not."""
    for mode, same in (("transaction", True), ("session", False)):
        with pooler(server, mode) as output, _connected(output) as one, _connected(output) as two:
            assert (pooler_.server_process(one) == pooler_.server_process(two)) is same


@contextmanager
def _servers_at_rest(output: dict[str, Any], number: int) -> Iterator[None]:
    """So many servers in the pool that nobody uses, so that a client may meet any of them."""
    with ExitStack() as clients, ThreadPoolExecutor(number) as threads:
        connected = [clients.enter_context(_connected(output)) for _ in range(number)]
        list(threads.map(lambda client: client.execute("SELECT pg_sleep(0.2)"), connected))
        yield


@contextmanager
def _others_at_work(output: dict[str, Any], number: int) -> Iterator[None]:
    """Clients of the same pool that ask without a pause."""
    over = threading.Event()

    def work(_: int) -> None:
        with _connected(output) as client:
            while not over.is_set():
                client.execute("SELECT count(*) FROM pg_class").fetchall()

    with ThreadPoolExecutor(number) as threads:
        working = threads.map(work, range(number))
        try:
            yield
        finally:
            over.set()
        list(working)
