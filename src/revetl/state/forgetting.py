"""The end of a sync's state: every table that is its own, and its rows in those that jobs share. What its runs did
(`runs`, `plans`, `outcomes`) stays: that is the record of what was sent.

Each statement stands by itself and may be repeated. The snapshot goes last, so whoever is killed half-way begins the
same disconnect again and finds what there is to find.
"""

from __future__ import annotations

from revetl.state import saved_plans
from revetl.state.schema import relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_TABLES = ("links", "rejected", "plan", "rollback", "drift", "references", "disconnect", "snapshot")


def left_of(warehouse: Warehouse, sync: str) -> list[str]:
    """The tables of the sync that are there."""
    suffix, present = table_suffix(sync), warehouse.tables(warehouse.state_schema)
    return [f"{kind}__{suffix}" for kind in _TABLES if f"{kind}__{suffix}" in present]


def forget(warehouse: Warehouse, sync: str) -> None:
    """Call under the sync's lease. Safe to repeat, and to repeat after a crash at any point."""
    saved = warehouse.rows(
        f"""
        SELECT plan_id
        FROM {table(relation(warehouse, "saved_plans"))}
        WHERE sync = ? AND status = 'saved'
        """,
        [sync],
    )
    for (plan_id,) in saved:
        saved_plans.close(warehouse, str(plan_id), "disconnected", None)
    warehouse.execute(f"DELETE FROM {table(relation(warehouse, 'destination_jobs'))} WHERE sync = ?", [sync])
    for name in left_of(warehouse, sync):
        warehouse.execute(f"DROP TABLE IF EXISTS {table(relation(warehouse, name))}")
