"""Plans that were saved to a file: their lines in a table of their own each, and one row of `saved_plans`.

`plan__<sync>` is replaced by the next plan, so a saved one keeps a copy. Lines are compared by a digest of every row,
computed in the warehouse; the state that a plan was made from by counts that every write of an engine changes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from revetl.model import Relation
from revetl.state import links
from revetl.state.layout import Layout
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """`status`: saved, applied (then `run_id` is by whom) or dropped. `digest` is that of its entry in the file."""

    plan_id: str
    sync: str
    created_at: datetime
    status: str
    run_id: str | None
    digest: str


def copy_of(warehouse: Warehouse, plan_id: str) -> Relation:
    return relation(warehouse, "saved__" + "".join(c if c.isalnum() else "_" for c in plan_id))


def pairs_of(warehouse: Warehouse, plan_id: str) -> Relation:
    """For a sync that links: every key of the model as it was, with the keys that it names."""
    return relation(warehouse, copy_of(warehouse, plan_id).name + "__pairs")


def keep(warehouse: Warehouse, layout: Layout, plan_id: str) -> None:
    """Copies the frozen lines, and what the model links. Safe to repeat."""
    copy, pairs = layout.t(copy_of(warehouse, plan_id)), layout.t(pairs_of(warehouse, plan_id))
    spec = layout.spec
    with warehouse.transaction(ddl=True):
        warehouse.execute(f"DROP TABLE IF EXISTS {copy}")
        warehouse.execute(f"CREATE TABLE {copy} AS SELECT * FROM {layout.t(layout.plan)}")
        if spec.associate:
            names = ", ".join(layout.q(c) for c in dict.fromkeys((spec.key, *(a.by for a in spec.associate))))
            warehouse.execute(f"DROP TABLE IF EXISTS {pairs}")
            warehouse.execute(f"CREATE TABLE {pairs} AS SELECT {names} FROM {layout.t(spec.relation)}")


def register(warehouse: Warehouse, plan_id: str, sync: str, digest: str, now: datetime) -> None:
    create_all(warehouse)
    warehouse.execute(
        f"INSERT INTO {_table(warehouse)} (plan_id, sync, created_at, status, digest) VALUES (?, ?, ?, 'saved', ?)",
        [plan_id, sync, _naive(now), digest],
    )


def find(warehouse: Warehouse, plan_id: str) -> SavedPlan | None:
    if not warehouse.columns(relation(warehouse, "saved_plans")):
        return None
    found: list[Any] = warehouse.rows(
        f"SELECT plan_id, sync, created_at, status, run_id, digest FROM {_table(warehouse)} WHERE plan_id = ?",
        [plan_id],
    )
    if not found:
        return None
    id_, sync, created_at, status, run_id, digest = found[0]
    return SavedPlan(id_, sync, created_at.replace(tzinfo=UTC), status, run_id, digest)


def begun_by(warehouse: Warehouse, plan_id: str) -> str | None:
    """The run that sent anything of this plan, however it ended. One that was refused before it could send leaves no
    outcome: then the plan is as good as before."""
    if not warehouse.columns(relation(warehouse, "plans")):
        return None
    plans, outcomes = (table(relation(warehouse, name)) for name in ("plans", "outcomes"))
    found = warehouse.rows(
        f"SELECT p.run_id FROM {plans} p WHERE p.plan_id = ?"
        f" AND EXISTS (SELECT 1 FROM {outcomes} o WHERE o.run_id = p.run_id AND o.sync = p.sync)",
        [plan_id],
    )
    return str(found[0][0]) if found else None


def restore(warehouse: Warehouse, layout: Layout, plan_id: str) -> None:
    """The saved lines become the present plan. Safe to repeat."""
    copy, plan = layout.t(copy_of(warehouse, plan_id)), layout.t(layout.plan)
    with warehouse.transaction(ddl=True):
        warehouse.execute(f"DROP TABLE IF EXISTS {plan}")
        warehouse.execute(f"CREATE TABLE {plan} AS SELECT * FROM {copy}")


def close(warehouse: Warehouse, plan_id: str, status: str, run_id: str | None) -> None:
    """The lines are dropped, the row stays to tell what became of them."""
    warehouse.execute(
        f"UPDATE {_table(warehouse)} SET status = ?, run_id = ? WHERE plan_id = ?", [status, run_id, plan_id]
    )
    for copy in (copy_of(warehouse, plan_id), pairs_of(warehouse, plan_id)):
        warehouse.execute(f"DROP TABLE IF EXISTS {table(copy)}")


def sweep(warehouse: Warehouse, now: datetime) -> None:
    """Drops the lines of plans that nobody applied for 30 days."""
    old = warehouse.rows(
        f"SELECT plan_id FROM {_table(warehouse)} WHERE status = 'saved' AND created_at < ?", [_naive(now - KEPT)]
    )
    for (plan_id,) in old:
        close(warehouse, str(plan_id), "dropped", None)


def lines_digest(warehouse: Warehouse, lines: Relation, order: str = "ordinal") -> tuple[int, str]:
    """(rows, SHA-256 over a digest of every row in their order). Only digests leave the warehouse."""
    names = [c.name for c in warehouse.columns(lines)]
    if not names:
        return 0, ""
    texts = [f"CAST({ident(name)} AS VARCHAR)" for name in names]
    cells = ", ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    rows, whole = 0, hashlib.sha256(json.dumps(names).encode())
    chunks = warehouse.stream(f"SELECT md5(concat({cells})) AS digest FROM {table(lines)} ORDER BY {ident(order)}")
    for chunk in chunks:
        rows += chunk.num_rows
        whole.update("".join(chunk.column(0).to_pylist()).encode())
    return rows, whole.hexdigest()


def state_digest(warehouse: Warehouse, layout: Layout) -> str:
    """Of what the engine knows of this sync. A run that changed anything leaves its id; recovery, `revetl retry` and
    whatever removes or doubts a record changes a count."""
    snapshot, rejected = layout.t(layout.snapshot), layout.t(layout.rejected)
    known = warehouse.rows(
        f"SELECT run_id, count(*), count(row_hash), count(destination_id), CAST(max(synced_at) AS VARCHAR)"
        f" FROM {snapshot} GROUP BY run_id ORDER BY run_id"
    )
    waiting = warehouse.rows(f"SELECT run_id, count(*) FROM {rejected} GROUP BY run_id ORDER BY run_id")
    linked = []
    if layout.spec.associate and warehouse.columns(links.table_of(warehouse, layout)):
        linked = warehouse.rows(
            f"SELECT run_id, state, count(*) FROM {layout.t(links.table_of(warehouse, layout))}"
            " GROUP BY run_id, state ORDER BY run_id, state"
        )
    return _sha256([known, waiting, linked])


def columns_digest(layout: Layout) -> str:
    """Of all that a line's meaning hangs on: where it goes, by what, and the columns with their types and rules."""
    spec = layout.spec
    rules = [[f.name, f.type, spec.rule(f.name).policy, spec.rule(f.name).when_null] for f in layout.fields]
    named = [spec.name, spec.destination, spec.object, spec.key, spec.match_on, spec.mode, spec.on_leave]
    return _sha256([*named, rules, [[a.to, a.by, a.type] for a in spec.associate]])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "saved_plans"))


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
