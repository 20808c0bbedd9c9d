"""What a run does first about one that never finished: records that may have been sent become in doubt.

`plans.intent_until` was durable before any record with a smaller ordinal was sent (`checkpoint.write`), so only those
records can have reached the destination, and only those become in doubt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from revetl.clock import naive
from revetl.destinations.base import Destination
from revetl.model import Scalar
from revetl.state import leases, outcomes, runs
from revetl.state.sync_tables import SyncTables
from revetl.sync.apply import jobs
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident

_BROKEN_OFF = "subject = ? AND status = 'running' AND run_id <> ?"


async def heal(run: SyncRun, destination: Destination | None) -> int:
    """What every run does first: jobs of earlier runs are followed to their end, then what may have been sent and has
    no outcome becomes in doubt. Returns how many records did. Raises as `jobs.follow_earlier` and `recover`."""
    await jobs.follow_earlier(run, destination)
    return await run.on_tables(recover, run.ctx.clock.now(), present_run=run.ctx.run_id)


def recover(tables: SyncTables, now: datetime, *, present_run: str) -> int:
    """Heals what a run that never finished left behind; returns how many records became in doubt. Safe to repeat.

    Records that may have been sent and have no outcome: those that stand in the snapshot lose their hash; those that
    don't (a create or an adoption in flight) get a row, with the values that may have been created, so that they are
    looked for before anything is created again. LeaseError where another run holds the sync: it is not broken off.
    """
    warehouse, name = tables.warehouse, tables.spec.name
    plans, run_table = tables.shared("plans"), tables.shared("runs")
    open_plans = warehouse.rows(
        f"""
        SELECT plan_id, run_id, intent_until
        FROM {plans}
        WHERE sync = ? AND status = 'applying'
        """,
        [name],
    )
    if not open_plans and not warehouse.rows(
        f"SELECT 1 FROM {run_table} WHERE {_BROKEN_OFF} LIMIT 1", [name, present_run]
    ):
        return 0
    alive = leases.holder(warehouse, leases.name_of(name), now=now)
    if alive is not None and alive.run_id != present_run:
        raise leases.busy(alive)
    with warehouse.transaction():
        doubtful = 0
        for plan_id, run_id, until in open_plans:
            if count := _doubt(tables, str(plan_id), str(run_id), int(str(until)), naive(now)):
                runs.recount(warehouse, str(run_id))
            doubtful += count
        warehouse.execute(
            f"""
            UPDATE {plans}
            SET status = 'interrupted'
            WHERE sync = ? AND status = 'applying'
            """,
            [name],
        )
        warehouse.execute(
            f"""
            UPDATE {run_table}
            SET status = 'interrupted', finished_at = ?
            WHERE {_BROKEN_OFF}
            """,
            [naive(now), name, present_run],
        )
    return doubtful


def _doubt(tables: SyncTables, plan_id: str, run_id: str, until: int, now: datetime) -> int:
    warehouse, snapshot = tables.warehouse, tables.snapshot
    columns = {c.name for c in warehouse.columns(tables.relation("plan"))}
    if not columns:
        return 0
    in_flight = f"""
        SELECT *
        FROM {tables.plan} p
        WHERE p.plan_id = ? AND p.ordinal < ? AND p.outcome IS NULL
            AND NOT EXISTS (
                SELECT 1
                FROM {tables.shared("outcomes")} o
                WHERE o.run_id = ? AND o.sync = ? AND o.key = p.key
            )
        """
    params: list[Scalar] = [plan_id, until, run_id, tables.spec.name]
    count = warehouse.scalar(f"SELECT count(*) FROM ({in_flight}) f", int, params)
    if not count:
        return 0
    # The id of a record that may be gone is not to be trusted: should its row come back, it is looked for again.
    kept_id = f"coalesce({snapshot}.destination_id, f.destination_id)"
    if tables.spec.match_on is not None:
        kept_id = f"CASE WHEN f.op = 'delete' THEN NULL ELSE {kept_id} END"
    warehouse.execute(
        f"""
        UPDATE {snapshot}
        SET row_hash = NULL, destination_id = {kept_id}
        FROM ({in_flight}) f
        WHERE {snapshot}.key = f.key
        """,
        params,
    )
    # An earlier doubt is over where this plan creates: what it was about was looked for and is not there. The row that
    # takes its place has the values that may have been created since.
    warehouse.execute(
        f"""
        DELETE FROM {snapshot}
        WHERE destination_id IS NULL AND row_hash IS NULL
            AND key IN (SELECT f.key FROM ({in_flight}) f WHERE f.op = 'create')
        """,
        params,
    )
    # The model may have lost or gained columns since that plan was made.
    planned = [f for f in tables.fields if f.after in columns]
    names = "".join(f", {ident(f.stored)}" for f in planned)
    values = "".join(f", TRY_CAST(f.{ident(f.after)} AS {f.type})" for f in planned)
    warehouse.execute(
        f"""
        INSERT INTO {snapshot} (key, destination_id, row_hash{names}, synced_at, run_id)
        SELECT f.key, f.destination_id, NULL{values}, ?, ?
        FROM ({in_flight}) f
        WHERE NOT EXISTS (SELECT 1 FROM {snapshot} n WHERE n.key = f.key)
            AND f.op <> 'delete'
        """,
        [now, run_id, *params],
    )
    _record_unknown(replace(tables, fields=tuple(planned)), in_flight, params, run_id, now)
    return count


def _record_unknown(tables: SyncTables, in_flight: str, params: list[Scalar], run_id: str, now: datetime) -> None:
    """Every record of a run has an outcome, also where the run could not write it down: what became of it is not known,
    and what stood before is kept, so that the run can be rolled back. Last of all, since `in_flight` asks for outcomes.
    """
    unknown = f"""
        SELECT
            f.*,
            'unknown' AS status,
            f.destination_id AS result_id,
            'Interrupted' AS error_class,
            CAST(NULL AS VARCHAR) AS error_code,
            'the run broke off while this record was in flight' AS error_message,
            1 AS attempts,
            {outcomes.change_list("f")} AS change_list
        FROM ({in_flight}) f
        """
    outcomes.append(tables, unknown, now, run_id, params)
