"""The lines of a saved plan: copied when it is saved, compared by digest, put back when it is applied.

Lines are compared by a digest of every row, computed in the warehouse; the state that a plan was made from by counts
that every write of an engine changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from revetl.model import Relation
from revetl.state import snapshot
from revetl.state.saved_plans import copy_of, pairs_of
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table


def keep(tables: SyncTables, plan_id: str) -> None:
    """Copies the frozen lines, and what the model links. Safe to repeat."""
    warehouse, spec = tables.warehouse, tables.spec
    copy, pairs = table(copy_of(warehouse, plan_id)), table(pairs_of(warehouse, plan_id))
    with warehouse.transaction(ddl=True):
        warehouse.execute(f"DROP TABLE IF EXISTS {copy}")
        warehouse.execute(f"CREATE TABLE {copy} AS SELECT * FROM {tables.plan}")
        if spec.associate:
            names = ", ".join(map(ident, dict.fromkeys((spec.key, *(a.by for a in spec.associate)))))
            warehouse.execute(f"DROP TABLE IF EXISTS {pairs}")
            warehouse.execute(f"CREATE TABLE {pairs} AS SELECT {names} FROM {tables.model}")


def restore(tables: SyncTables, plan_id: str) -> None:
    """The saved lines become the present plan. The copy stays as it was saved, whatever the version: its digest stands
    in the file. Safe to repeat."""
    warehouse = tables.warehouse
    with warehouse.transaction(ddl=True):
        warehouse.execute(f"DROP TABLE IF EXISTS {tables.plan}")
        warehouse.execute(f"CREATE TABLE {tables.plan} AS SELECT * FROM {table(copy_of(warehouse, plan_id))}")
        snapshot.upgrade_plan(tables)


def lines_digest(warehouse: Warehouse, lines: Relation, order: str = "ordinal") -> tuple[int, str]:
    """(rows, SHA-256 over a digest of every row in their order). Only digests leave the warehouse."""
    names = [c.name for c in warehouse.columns(lines)]
    if not names:
        return 0, ""
    texts = [f"CAST({ident(name)} AS VARCHAR)" for name in names]
    cells = ", ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    rows, whole = 0, hashlib.sha256(json.dumps(names).encode())
    chunks = warehouse.stream(
        f"""
        SELECT md5(concat({cells})) AS digest
        FROM {table(lines)}
        ORDER BY {ident(order)}
        """
    )
    for chunk in chunks:
        rows += chunk.num_rows
        whole.update("".join(chunk.column(0).to_pylist()).encode())
    return rows, whole.hexdigest()


def state_digest(tables: SyncTables) -> str:
    """Of what the engine knows of this sync. A run that changed anything leaves its id; recovery, `revetl retry` and
    whatever removes or doubts a record changes a count."""
    warehouse = tables.warehouse
    known = warehouse.rows(
        f"""
        SELECT run_id, count(*), count(row_hash), count(destination_id), CAST(max(synced_at) AS VARCHAR)
        FROM {tables.snapshot}
        GROUP BY run_id
        ORDER BY run_id
        """
    )
    waiting = warehouse.rows(
        f"""
        SELECT run_id, count(*)
        FROM {tables.rejected}
        GROUP BY run_id
        ORDER BY run_id
        """
    )
    linked = []
    if tables.spec.associate and warehouse.columns(tables.relation("links")):
        linked = warehouse.rows(
            f"""
            SELECT run_id, state, count(*)
            FROM {tables.links}
            GROUP BY run_id, state
            ORDER BY run_id, state
            """
        )
    return _sha256([known, waiting, linked])


def columns_digest(tables: SyncTables) -> str:
    """Of all that a line's meaning hangs on: where it goes, by what, and the columns with their types and rules."""
    spec = tables.spec
    rules = [[f.name, f.type, spec.rule(f.name).policy, spec.rule(f.name).when_null] for f in tables.fields]
    rules += [[name, rule.options] for name, rule in sorted(spec.fields.items()) if rule.options != "merge"]
    rules += [[name, r.to or "", r.object, r.match_on] for name, r in sorted(spec.references.items())]
    named = [spec.name, spec.destination, spec.object, spec.key, spec.match_on, spec.mode, spec.on_leave]
    named += [f"{name}: {kind}" for name, kind in sorted(spec.metadata.items())]
    named += [] if spec.key_property is None else [f"key_property: {spec.key_property}"]
    named += [f"create_properties: {name}" for name in spec.create_properties]
    return _sha256([*named, rules, [[a.to, a.by, a.type] for a in spec.associate]])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()
