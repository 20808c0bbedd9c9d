"""Plans: `plan__<sync>` holds the lines of the present or last one, `plans` one row for each plan that was applied.

`plans.intent_until` makes a plan the write-ahead intent: it is durable before any record with a smaller ordinal is
sent. After a crash only those records can have reached the destination, so only those become in doubt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from revetl.clock import Clock
from revetl.model import Scalar
from revetl.state import leases, outcomes, runs
from revetl.state.schema import relation
from revetl.state.sync_tables import Layout
from revetl.warehouse.base import Warehouse


def timestamp(clock: Clock) -> datetime:
    """Now, in UTC without a zone, as the state tables hold it."""
    return clock.now().astimezone(UTC).replace(tzinfo=None)


def begin(warehouse: Warehouse, layout: Layout, plan_id: str, run_id: str, changes: int, clock: Clock) -> None:
    """From here on a crash leaves records in doubt. Nothing may be sent before."""
    warehouse.execute(
        f"INSERT INTO {layout.t(relation(warehouse, 'plans'))} VALUES (?, ?, ?, ?, 'applying', ?, 0)",
        [plan_id, run_id, layout.spec.name, timestamp(clock), changes],
    )


def intend(warehouse: Warehouse, layout: Layout, plan_id: str, until: int) -> None:
    warehouse.execute(
        f"UPDATE {layout.t(relation(warehouse, 'plans'))} SET intent_until = ? WHERE plan_id = ?", [until, plan_id]
    )


def finish(warehouse: Warehouse, layout: Layout, plan_id: str) -> None:
    """Every record that was sent has its outcome in the tables: nothing to recover."""
    warehouse.execute(
        f"UPDATE {layout.t(relation(warehouse, 'plans'))} SET status = 'done' WHERE plan_id = ?", [plan_id]
    )


def recover(warehouse: Warehouse, layout: Layout, clock: Clock, *, present_run: str) -> int:
    """Heals what a run that never finished left behind; returns how many records became in doubt. Safe to repeat.

    Records that may have been sent and have no outcome: those that stand in the snapshot lose their hash; those that
    don't (a create or an adoption in flight) get a row, with the values that may have been created, so that they are
    looked for before anything is created again. LeaseError where another run holds the sync: it is not broken off.
    """
    plans, run_table = layout.t(relation(warehouse, "plans")), layout.t(relation(warehouse, "runs"))
    name = layout.spec.name
    broken_off = "subject = ? AND status = 'running' AND run_id <> ?"
    open_plans = warehouse.rows(
        f"SELECT plan_id, run_id, intent_until FROM {plans} WHERE sync = ? AND status = 'applying'", [name]
    )
    if not open_plans and not warehouse.rows(
        f"SELECT 1 FROM {run_table} WHERE {broken_off} LIMIT 1", [name, present_run]
    ):
        return 0
    alive = leases.holder(warehouse, leases.name_of(name), now=clock.now())
    if alive is not None and alive.run_id != present_run:
        raise leases.busy(alive)
    with warehouse.transaction():
        doubtful = 0
        for plan_id, run_id, until in open_plans:
            if count := _doubt(warehouse, layout, str(plan_id), str(run_id), int(str(until)), clock):
                runs.recount(warehouse, str(run_id))
            doubtful += count
        warehouse.execute(f"UPDATE {plans} SET status = 'interrupted' WHERE sync = ? AND status = 'applying'", [name])
        warehouse.execute(
            f"UPDATE {run_table} SET status = 'interrupted', finished_at = ? WHERE {broken_off}",
            [timestamp(clock), name, present_run],
        )
    return doubtful


def _doubt(warehouse: Warehouse, layout: Layout, plan_id: str, run_id: str, until: int, clock: Clock) -> int:
    columns = {c.name for c in warehouse.columns(layout.plan)}
    if not columns:
        return 0
    snapshot, plan = layout.t(layout.snapshot), layout.t(layout.plan)
    in_flight = (
        f"SELECT * FROM {plan} p WHERE p.plan_id = ? AND p.ordinal < ? AND p.settled IS NULL AND NOT EXISTS"
        f" (SELECT 1 FROM {layout.t(relation(warehouse, 'outcomes'))} o"
        " WHERE o.run_id = ? AND o.sync = ? AND o.key = p.key)"
    )
    params: list[Scalar] = [plan_id, until, run_id, layout.spec.name]
    count = int(str(warehouse.rows(f"SELECT count(*) FROM ({in_flight}) f", params)[0][0]))
    if not count:
        return 0
    # The id of a record that may be gone is not to be trusted: should its row come back, it is looked for again.
    kept = f"coalesce({snapshot}.destination_id, f.destination_id)"
    if layout.spec.match_on is not None:
        kept = f"CASE WHEN f.op = 'delete' THEN NULL ELSE {kept} END"
    warehouse.execute(
        f"UPDATE {snapshot} SET row_hash = NULL, destination_id = {kept}"
        f" FROM ({in_flight}) f WHERE {snapshot}.key = f.key",
        params,
    )
    # An earlier doubt is settled where this plan creates: what it was about was looked for and is not there. The row
    # that takes its place has the values that may have been created since.
    warehouse.execute(
        f"DELETE FROM {snapshot} WHERE destination_id IS NULL AND row_hash IS NULL"
        f" AND key IN (SELECT f.key FROM ({in_flight}) f WHERE f.op = 'create')",
        params,
    )
    # The model may have lost or gained columns since that plan was made.
    held = [f for f in layout.fields if f.after in columns]
    names = "".join(f", {layout.q(f.stored)}" for f in held)
    values = "".join(f", TRY_CAST(f.{layout.q(f.after)} AS {f.type})" for f in held)
    warehouse.execute(
        f"INSERT INTO {snapshot} (key, destination_id, row_hash{names}, synced_at, run_id)"
        f" SELECT f.key, f.destination_id, NULL{values}, ?, ? FROM ({in_flight}) f"
        f" WHERE NOT EXISTS (SELECT 1 FROM {snapshot} n WHERE n.key = f.key) AND f.op <> 'delete'",
        [timestamp(clock), run_id, *params],
    )
    _record_unknown(warehouse, replace(layout, fields=tuple(held)), in_flight, params, run_id, clock)
    return count


def _record_unknown(
    warehouse: Warehouse, layout: Layout, in_flight: str, params: list[Scalar], run_id: str, clock: Clock
) -> None:
    """Every record of a run has an outcome, also where the run could not write it down: what became of it is not known,
    and what stood before is kept, so that the run can be undone. Last of all, since `in_flight` asks for outcomes."""
    settled = (
        "SELECT f.*, 'unknown' AS status, f.destination_id AS result_id, 'Interrupted' AS error_class,"
        " CAST(NULL AS VARCHAR) AS error_code, 'the run broke off while this record was in flight' AS error_message,"
        " 1 AS attempts, ',' || substr(f.changed_fields, 2, length(f.changed_fields) - 2) || ',' AS change_list"
        f" FROM ({in_flight}) f"
    )
    outcomes.append_settled(warehouse, layout, settled, timestamp(clock), run_id, params)
