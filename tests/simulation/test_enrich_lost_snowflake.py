"""A waterfall over Snowflake's stand-in whose session is gone, or whose answer is lost, in the midst of its work.
As far as a stand-in can show it: it forgets all when it is stopped, so it is the connection that fails here."""

from __future__ import annotations

from typing import Any

import pytest
import snowflake.connector as connector

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.errors import WarehouseError
from revetl.state.schema import create_all
from tests.simulation.test_enrich_engine import enrich, providers
from tests.simulation.test_enrich_lost_connection import VALUES, check
from tests.support.enrich_fakes import PEOPLE, clock, context, load_people, person, waterfall
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import empty_warehouse

pytestmark = pytest.mark.xdist_group("snowflake")


def filled(directory: Any) -> Any:
    warehouse: Any = empty_warehouse("snowflake", directory)
    create_all(warehouse)
    load_people(warehouse, [person(n) for n in range(12)])
    return warehouse


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    warehouse = filled(tmp_path_factory.mktemp("undisturbed"))
    enrich(warehouse, providers())
    return list(warehouse.rows(VALUES))


@pytest.mark.parametrize(("at", "is_done"), [(2, True), (4, False), (7, True)])
def test_the_answer_to_a_commit_is_lost(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, wanted: list[Any], at: int, is_done: bool
) -> None:
    """`is_done`: it took place all the same. Then the line stays away for some of the clock's seconds."""
    warehouse, vendors, time = filled(tmp_path), providers(), clock()
    send, reopen = warehouse._send, warehouse._open
    commits, back_at = 0, 0.0

    def failing(statement: Any, params: Any) -> Any:
        nonlocal commits, back_at
        asked = sum(len(v.bill) for v in vendors.values())
        if statement.sql == "COMMIT" and asked:
            commits += 1
            if commits == at:
                back_at = time.monotonic() + 20
                send(statement, params) if is_done else warehouse._db.rollback()
                raise connector.errors.OperationalError("no route", errno=250003, sqlstate="08001")
        return send(statement, params)

    def reopened() -> None:
        if time.monotonic() < back_at:
            raise WarehouseError("can't be reached")
        reopen()

    monkeypatch.setattr(warehouse, "_send", failing)
    monkeypatch.setattr(warehouse, "_open", reopened)
    ctx = context(warehouse, time, "r1", reconnect_s=60.0)
    run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
    assert commits > at
    check(warehouse, vendors, wanted)
