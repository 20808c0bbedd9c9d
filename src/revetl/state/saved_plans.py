"""Plans that were saved to a file: their lines in a table of their own each, and one row of `saved_plans`.

`plan__<sync>` is replaced by the next plan, so a saved one keeps a copy. What makes a copy and what
compares it is in `revetl.sync.plan.saved_lines`; erasing a person drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from revetl.clock import naive
from revetl.model import Relation
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """`status`: saved, applied (then `run_id` is by whom), erased (it named somebody who was), disconnected (its sync
    was), or dropped (too old). `digest` is that of its entry in the file, `file_digest` that of the whole file; None
    where an earlier version wrote it."""

    plan_id: str
    sync: str
    created_at: datetime
    status: str
    run_id: str | None
    digest: str
    file_digest: str | None


def copy_of(warehouse: Warehouse, plan_id: str) -> Relation:
    return relation(warehouse, "saved__" + "".join(c if c.isalnum() else "_" for c in plan_id))


def pairs_of(warehouse: Warehouse, plan_id: str) -> Relation:
    """For a sync that links: every key of the model as it was, with the keys that it names."""
    return relation(warehouse, copy_of(warehouse, plan_id).name + "__pairs")


def register(warehouse: Warehouse, plan_id: str, sync: str, digest: str, now: datetime) -> None:
    create_all(warehouse)
    warehouse.execute(
        f"""
        INSERT INTO {_table(warehouse)} (plan_id, sync, created_at, status, digest)
        VALUES (?, ?, ?, 'saved', ?)
        """,
        [plan_id, sync, naive(now), digest],
    )


def seal(warehouse: Warehouse, plan_ids: Sequence[str], file_digest: str) -> None:
    """Keeps what their file is as a whole, before it is written: a file that differs in anything is another one."""
    for plan_id in plan_ids:
        warehouse.execute(
            f"""
            UPDATE {_table(warehouse)}
            SET file_digest = ?
            WHERE plan_id = ?
            """,
            [file_digest, plan_id],
        )


def find(warehouse: Warehouse, plan_id: str) -> SavedPlan | None:
    columns = {c.name for c in warehouse.columns(relation(warehouse, "saved_plans"))}
    if not columns:
        return None
    sealed = "file_digest" if "file_digest" in columns else "NULL"
    found: list[Any] = warehouse.rows(
        f"""
        SELECT plan_id, sync, created_at, status, run_id, digest, {sealed}
        FROM {_table(warehouse)}
        WHERE plan_id = ?
        """,
        [plan_id],
    )
    if not found:
        return None
    id_, sync, created_at, status, run_id, digest, file_digest = found[0]
    return SavedPlan(id_, sync, created_at.replace(tzinfo=UTC), status, run_id, digest, file_digest)


def begun_by(warehouse: Warehouse, plan_id: str) -> str | None:
    """The run that sent anything of this plan, however it ended. One that was refused before it could send leaves no
    outcome: then the plan is as good as before."""
    if not warehouse.columns(relation(warehouse, "plans")):
        return None
    plans, outcomes = (table(relation(warehouse, name)) for name in ("plans", "outcomes"))
    found = warehouse.rows(
        f"""
        SELECT p.run_id
        FROM {plans} p
        WHERE p.plan_id = ?
            AND EXISTS (SELECT 1 FROM {outcomes} o WHERE o.run_id = p.run_id AND o.sync = p.sync)
        """,
        [plan_id],
    )
    return str(found[0][0]) if found else None


def close(warehouse: Warehouse, plan_id: str, status: str, run_id: str | None) -> None:
    """The lines are dropped, the row stays to tell what became of them."""
    warehouse.execute(
        f"""
        UPDATE {_table(warehouse)}
        SET status = ?, run_id = ?
        WHERE plan_id = ?
        """,
        [status, run_id, plan_id],
    )
    for copy in (copy_of(warehouse, plan_id), pairs_of(warehouse, plan_id)):
        warehouse.execute(f"DROP TABLE IF EXISTS {table(copy)}")


def sweep(warehouse: Warehouse, now: datetime) -> None:
    """Drops the lines of plans that nobody applied for 30 days."""
    old = warehouse.rows(
        f"""
        SELECT plan_id
        FROM {_table(warehouse)}
        WHERE status = 'saved' AND created_at < ?
        """,
        [naive(now - KEPT)],
    )
    for (plan_id,) in old:
        close(warehouse, str(plan_id), "dropped", None)


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "saved_plans"))
