"""Connections to Postgres that are lost: ended by an administrator, by a server that stops and starts, by a pooler."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.errors import WarehouseDenied, WarehouseError, WarehouseLost
from revetl.model import Relation
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.postgres import PostgresWarehouse, connecting
from revetl.warehouse.postgres.connecting import PostgresProfile
from revetl.warehouse.reconnecting import failing_at_once
from revetl.warehouse.sql import table
from tests.support import postgres_servers
from tests.support.cut_line import Line, line_to
from tests.support.postgres_servers import PostgresServer, pooler

pytestmark = pytest.mark.xdist_group("postgres")
T = Relation("public", "things")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_servers.server() as made:
        yield made


@pytest.fixture
def warehouse(server: PostgresServer) -> Iterator[Any]:
    with closing(opened(server)) as made:
        made.execute(f"DROP TABLE IF EXISTS {table(T)}")
        made.execute(f"CREATE TABLE {table(T)} (a BIGINT)")
        yield made


def opened(server: PostgresServer) -> Any:
    return open_warehouse({**server.output, "dbname": "postgres"}, root=Path(), state_schema="revetl")


def kill(server: PostgresServer, warehouse: Any) -> None:
    """Ends its session, and waits until it is gone."""
    process = warehouse._db.info.backend_pid
    server.ask(f"SELECT pg_terminate_backend({process})")
    while server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"):
        time.sleep(0.01)


def count(warehouse: Any) -> int:
    return int(warehouse.scalar(f"SELECT count(*) FROM {table(T)}", int))


IDLE: dict[str, Callable[[Any], Any]] = {
    "a read": lambda w: w.rows("SELECT 1"),
    "a write": lambda w: w.execute(f"INSERT INTO {table(T)} VALUES (1)"),
    "a bulk write": lambda w: w.append(T, pa.table({"a": [1]})),
    "a stream": lambda w: list(w.stream("SELECT 1")),
    "the catalogue": lambda w: w.columns(T),
    "a table": lambda w: w.execute("CREATE TABLE IF NOT EXISTS made (a BIGINT)"),
}


@pytest.mark.parametrize("work", IDLE.values(), ids=IDLE)
def test_what_was_lost_while_idle_is_replaced_whatever_comes_next(
    server: PostgresServer, warehouse: Any, work: Callable[[Any], Any]
) -> None:
    kill(server, warehouse)
    work(warehouse)
    kill(server, warehouse)
    with warehouse.transaction():
        work(warehouse)
    assert count(warehouse) in (0, 2)
    assert warehouse.rows("SELECT current_setting('TimeZone')") == [("UTC",)]


def test_a_server_that_stops_and_starts(server: PostgresServer, warehouse: Any) -> None:
    warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
    server.stop()
    later = threading.Timer(1.0, server.start)
    later.start()
    try:
        warehouse.execute(f"INSERT INTO {table(T)} VALUES (2)")
    finally:
        later.join()
    assert count(warehouse) == 2


def test_a_read_in_the_midst_of_which_it_is_lost_is_asked_again(server: PostgresServer, warehouse: Any) -> None:
    process = warehouse._db.info.backend_pid
    with _killed_while_it_works(server, warehouse):
        assert warehouse.rows("SELECT count(*) FROM (SELECT pg_sleep(2)) t") == [(1,)]
    assert warehouse._db.info.backend_pid != process


def test_a_write_in_the_midst_of_which_it_is_lost_is_in_doubt_and_not_repeated(
    server: PostgresServer, warehouse: Any
) -> None:
    with _killed_while_it_works(server, warehouse), pytest.raises(WarehouseLost) as e:
        warehouse.execute(f"INSERT INTO {table(T)} SELECT 1 FROM (SELECT pg_sleep(2)) t")
    assert e.value.in_doubt
    assert (e.value.exit_code, count(warehouse)) == (1, 0)


def test_inside_a_transaction_all_of_it_is_lost_and_may_be_repeated(server: PostgresServer, warehouse: Any) -> None:
    def work(*, killed: bool) -> None:
        with warehouse.transaction():
            warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
            if killed:
                kill(server, warehouse)
            assert count(warehouse) == 1

    with pytest.raises(WarehouseLost) as e:
        work(killed=True)
    assert not e.value.in_doubt, "nothing was committed"
    work(killed=False)
    assert count(warehouse) == 1


def test_a_lost_transaction_whose_work_hides_the_error_does_not_commit(server: PostgresServer, warehouse: Any) -> None:
    def work() -> None:
        with warehouse.transaction():
            warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
            kill(server, warehouse)
            with pytest.raises(WarehouseLost):
                warehouse.rows("SELECT 1")
            with pytest.raises(WarehouseLost):
                warehouse.execute(f"INSERT INTO {table(T)} VALUES (2)")

    with pytest.raises(WarehouseLost) as e:
        work()
    assert not e.value.in_doubt
    assert count(warehouse) == 0


def test_a_commit_whose_answer_is_lost_is_in_doubt(server: PostgresServer, warehouse: Any) -> None:
    def work() -> None:
        with warehouse.transaction():
            warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
            kill(server, warehouse)  # seen by COMMIT only

    with pytest.raises(WarehouseLost) as e:
        work()
    assert e.value.in_doubt
    assert count(warehouse) == 0


def test_scratch_tables_go_with_the_connection(server: PostgresServer, warehouse: Any) -> None:
    scratch = table(warehouse.scratch("kept"))
    warehouse.execute(f"CREATE TEMPORARY TABLE {scratch} (a BIGINT)")
    kill(server, warehouse)
    for statement in (f"SELECT a FROM {scratch}", f"INSERT INTO {scratch} VALUES (1)"):
        with pytest.raises(WarehouseLost, match="scratch tables"):
            warehouse.rows(statement)
    with pytest.raises(WarehouseLost, match="scratch tables"), warehouse.transaction():
        warehouse.execute(f"DELETE FROM {scratch}")
    warehouse.execute(f"DROP TABLE IF EXISTS {scratch}")
    warehouse.execute(f"CREATE TEMPORARY TABLE {scratch} (a BIGINT)")  # from the start of the work
    assert warehouse.rows(f"SELECT a FROM {scratch}") == []


def test_a_missing_scratch_table_is_no_lost_connection(warehouse: Any) -> None:
    with pytest.raises(WarehouseError, match="does not exist") as e:
        warehouse.rows(f"SELECT a FROM {table(warehouse.scratch('never_made'))}")
    assert not isinstance(e.value, WarehouseLost)


@pytest.mark.parametrize("between", [False, True])
def test_a_half_read_result_goes_with_the_connection(server: PostgresServer, warehouse: Any, between: bool) -> None:
    stream = warehouse.stream("SELECT i FROM generate_series(1, 30) AS t(i)", batch_rows=10)
    assert next(stream).num_rows == 10
    kill(server, warehouse)
    if between:
        assert warehouse.rows("SELECT 1") == [(1,)]  # the new connection is there already
    with pytest.raises(WarehouseLost):
        next(stream)
    assert [batch.num_rows for batch in warehouse.stream("SELECT 1")] == [1]
    assert warehouse.rows("SELECT count(*) FROM pg_cursors") == [(0,)]


def test_a_server_that_does_not_come_back_is_waited_for_within_bounds(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    with closing(PostgresWarehouse(_profile(server), pause=waited.append)) as warehouse:
        kill(server, warehouse)
        monkeypatch.setattr(connecting, "_connected", _refuse)
        with pytest.raises(WarehouseLost, match="there is no other"):
            warehouse.execute("SELECT 1")
        assert 50 < sum(waited) < 70
        assert waited == sorted(waited)
        assert max(waited) == 5.0


def test_a_password_that_is_refused_meanwhile_is_asked_once(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers lock accounts for that."""
    asked = []

    def refuse(_: PostgresProfile) -> Any:
        asked.append(1)
        raise connecting.psycopg.OperationalError('FATAL:  password authentication failed for user "me"')

    with closing(PostgresWarehouse(_profile(server), pause=lambda _: None)) as warehouse:
        kill(server, warehouse)
        monkeypatch.setattr(connecting, "_connected", refuse)
        with pytest.raises(WarehouseDenied):
            warehouse.execute("SELECT 1")
    assert asked == [1]


def test_what_is_closed_stays_closed(warehouse: Any) -> None:
    warehouse.close()
    with pytest.raises(WarehouseError, match="closed") as e:
        warehouse.rows("SELECT 1")
    assert not isinstance(e.value, WarehouseLost)


def test_lost_behind_a_pooler(server: PostgresServer) -> None:
    with pooler(server, "session") as output:
        made: Any = open_warehouse({**output, "dbname": "postgres"}, root=Path(), state_schema="revetl")
        with closing(made) as warehouse:
            server.ask(f"SELECT pg_terminate_backend({warehouse._session.process})")
            assert warehouse.rows("SELECT 1") == [(1,)]


@contextmanager
def _killed_while_it_works(server: PostgresServer, warehouse: Any) -> Iterator[None]:
    """Ends the session as soon as its statement sleeps."""
    process = warehouse._db.info.backend_pid

    def kill_it() -> None:
        running = f"SELECT 1 FROM pg_stat_activity WHERE pid = {process} AND wait_event = 'PgSleep'"
        deadline = time.monotonic() + 20
        while not server.ask(running) and time.monotonic() < deadline:
            time.sleep(0.01)
        server.ask(f"SELECT pg_terminate_backend({process})")

    killer = threading.Thread(target=kill_it)
    killer.start()
    yield
    killer.join()


def _profile(server: PostgresServer) -> PostgresProfile:
    return PostgresProfile({"host": "127.0.0.1", "port": server.port, "user": server.user, "dbname": "postgres"})


def _refuse(_: PostgresProfile) -> Any:
    raise connecting.psycopg.OperationalError("connection refused")


def test_a_session_that_was_lost_on_our_side_is_ended_before_anything_is_looked_up(server: PostgresServer) -> None:
    """Its transaction would stand open at the server, hold its locks, and could still be committed."""
    with line_to(server.port) as line, closing(_through(server, line)) as warehouse:
        warehouse.execute(f"DROP TABLE IF EXISTS {table(T)}")
        warehouse.execute(f"CREATE TABLE {table(T)} (a BIGINT)")
        process = warehouse._db.info.backend_pid

        def work() -> None:
            with warehouse.transaction():
                warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
                line.cut()
                warehouse.execute(f"INSERT INTO {table(T)} VALUES (2)")

        with pytest.raises(WarehouseLost):
            work()
        assert server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"), "the server heard of it"
        assert count(warehouse) == 0
        assert not server.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}")


def test_a_commit_whose_answer_is_lost_took_place_and_can_be_looked_up(server: PostgresServer) -> None:
    with line_to(server.port) as line, closing(_through(server, line)) as warehouse:
        warehouse.execute(f"DROP TABLE IF EXISTS {table(T)}")
        warehouse.execute(f"CREATE TABLE {table(T)} (a BIGINT)")

        def work() -> None:
            with warehouse.transaction():
                warehouse.execute(f"INSERT INTO {table(T)} VALUES (1)")
                line.deaf = True  # COMMIT arrives, its answer does not

        with pytest.raises(WarehouseLost) as e:
            work()
        assert e.value.in_doubt
        line.deaf = False
        assert count(warehouse) == 1


def test_whoever_works_on_an_event_loop_hears_at_once(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    with closing(PostgresWarehouse(_profile(server), pause=waited.append)) as warehouse:
        kill(server, warehouse)
        with failing_at_once(warehouse):
            assert warehouse.rows("SELECT 1") == [(1,)]
            kill(server, warehouse)
            monkeypatch.setattr(connecting, "_connected", _refuse)
            with pytest.raises(WarehouseLost, match="there is no other"):
                warehouse.rows("SELECT 1")
    assert waited == []


def _through(server: PostgresServer, line: Line) -> Any:
    options = {"host": "127.0.0.1", "port": line.port, "user": server.user, "dbname": "postgres"}
    return PostgresWarehouse(PostgresProfile(options))
