"""Sessions of Snowflake that are lost, on its stand-in: it forgets them as it is started anew. And what a failure of
the network means, which only the connector's errors show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import WarehouseError, WarehouseLost
from revetl.model import Relation
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import table
from tests.support.warehouses import SnowflakeServer

connector = pytest.importorskip("snowflake.connector")
pytestmark = pytest.mark.xdist_group("snowflake")
T = table(Relation("revetl", "things"))


@pytest.fixture(scope="module")
def server() -> Iterator[SnowflakeServer]:
    made = SnowflakeServer()
    yield made
    made.stop()


@pytest.fixture
def warehouse(server: SnowflakeServer) -> Iterator[Any]:
    made: Any = open_warehouse({**server.output, "database": "D"}, root=Path(), state_schema="revetl")
    with closing(made):
        yield made


def restart(server: SnowflakeServer) -> None:
    server.stop()
    server.start()


def test_a_session_that_is_gone_is_replaced(server: SnowflakeServer, warehouse: Any) -> None:
    restart(server)
    assert warehouse.rows("SELECT 1") == [(1,)]
    restart(server)
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS revetl")
    assert [batch.num_rows for batch in warehouse.stream("SELECT 1")] == [1]
    restart(server)
    with warehouse.transaction():
        assert warehouse.rows("SELECT 1") == [(1,)]


def test_inside_a_transaction_it_is_lost_and_may_be_repeated(server: SnowflakeServer, warehouse: Any) -> None:
    def work(*, lost: bool) -> None:
        with warehouse.transaction():
            if lost:
                restart(server)
            assert warehouse.rows("SELECT 1") == [(1,)]

    with pytest.raises(WarehouseLost) as e:
        work(lost=True)
    assert not e.value.in_doubt
    work(lost=False)


def test_a_session_with_scratch_tables_is_not_replaced_unseen(server: SnowflakeServer, warehouse: Any) -> None:
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS revetl")
    warehouse.execute(f"CREATE TEMPORARY TABLE {T} (a BIGINT)")
    restart(server)
    with pytest.raises(WarehouseLost, match="scratch tables"):
        warehouse.rows("SELECT 1")
    assert warehouse.rows("SELECT 1") == [(1,)]  # from the start of the work


@pytest.mark.parametrize(
    ("sql", "in_doubt"), [("SELECT 1", False), (f"INSERT INTO {T} VALUES (1)", True), (f"DROP TABLE {T}", True)]
)
def test_a_failure_of_the_network_leaves_a_write_in_doubt(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch, sql: str, in_doubt: bool
) -> None:
    sent = _away(warehouse, monkeypatch)
    with pytest.raises(WarehouseLost) as e:
        warehouse.execute(sql)
    assert e.value.in_doubt is in_doubt
    assert len(sent) == (1 if in_doubt else 2), "only a read is asked again"


def test_a_commit_without_an_answer_is_in_doubt(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with warehouse.transaction():
            _away(warehouse, monkeypatch)

    with pytest.raises(WarehouseLost) as e:
        work()
    assert e.value.in_doubt


def test_the_reason_is_said_without_secrets(server: SnowflakeServer) -> None:
    output = {**server.output, "database": "D", "port": 1, "password": "s3cret", "login_timeout": 1}
    with pytest.raises(WarehouseError, match=r"can't be reached \(error \d+\): .+") as e:
        open_warehouse(output, root=Path(), state_schema="revetl")
    assert "s3cret" not in str(e.value)


def _away(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    sent: list[object] = []

    def send(statement: object, params: object) -> Any:
        sent.append(statement)
        raise connector.errors.OperationalError("no route", errno=250003, sqlstate="08001")

    monkeypatch.setattr(warehouse, "_send", send)
    return sent
