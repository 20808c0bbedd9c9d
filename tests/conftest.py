"""Tests of the engine run on DuckDB; the ones named here on the other warehouses as well; and all of these modules on
all three under REVETL_ALL_WAREHOUSES=1, which takes the better part of an hour."""

from __future__ import annotations

import os

import pytest

from tests.support.warehouses import KINDS, PARAMS

_ENGINE = frozenset(
    {
        "tests.unit.test_sync_engine",
        "tests.unit.test_sync_drift",
        "tests.unit.test_sync_full_refresh",
        "tests.unit.test_sync_guardrails",
        "tests.unit.test_sync_links",
        "tests.unit.test_sync_plan_details",
        "tests.unit.test_sync_policies",
        "tests.unit.test_sync_rollback",
        "tests.unit.test_sync_saved_plans",
        "tests.simulation.test_enrich_engine",
        "tests.simulation.test_order_learn",
    }
)
# One of each kind of thing that the engine asks of a warehouse; a Snowflake test takes seconds.
_ALWAYS = {
    "test_only_changed_fields_are_sent_and_a_null_clears": ("duckdb", "postgres", "snowflake"),
    "test_columns_may_come_go_and_change_their_type": ("duckdb", "postgres"),
    "test_a_checkpoint_stands_whole_or_not_at_all": ("duckdb", "postgres"),
    "test_equal_lookups_are_one_call_and_later_ones_are_served_from_it": ("duckdb", "postgres"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ not in _ENGINE:
        return
    everywhere = os.environ.get("REVETL_ALL_WAREHOUSES") == "1"
    kinds = KINDS if everywhere else _ALWAYS.get(metafunc.function.__name__, ())
    if kinds:
        # First of all: a fixture that opens a warehouse asks which.
        metafunc.fixturenames.insert(0, "on_warehouse")
        metafunc.parametrize("on_warehouse", [p for p in PARAMS if p.values[0] in kinds], indirect=True)


@pytest.fixture
def on_warehouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes `tests.support.warehouses.the_warehouse` give this kind."""
    monkeypatch.setenv("REVETL_TEST_WAREHOUSE", request.param)
    return str(request.param)
