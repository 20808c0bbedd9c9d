"""Records that may have been sent and of which nothing is known become in doubt: the next plan looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from revetl.model import Scalar
from revetl.state import outcomes, snapshot
from revetl.state.outcomes import VACATED
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.sql import ident


def doubt(
    tables: SyncTables, plan_id: str, run_id: str, until: int, now: datetime, *, only: Sequence[int] | None = None
) -> int:
    """Those of the plan below `until` that have no outcome, and those of which a field may have been emptied before;
    returns how many. `only`: these ordinals. Call inside a transaction."""
    warehouse, known = tables.warehouse, tables.snapshot
    columns = {c.name: c.type for c in warehouse.columns(tables.relation("plan"))}
    if not columns:
        return 0
    reached = "(p.ordinal < ? OR p.vacates IS NOT NULL)"
    among = "" if only is None else f"AND p.ordinal IN ({', '.join(str(int(n)) for n in only)})"
    in_flight = f"""
        SELECT *
        FROM {tables.plan} p
        WHERE p.plan_id = ? AND {reached} AND p.outcome IS NULL {among}
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
    snapshot.forget_handed_over(tables, in_flight, params)
    warehouse.execute(
        f"""
        UPDATE {known}
        SET
            row_hash = NULL,
            destination_id = CASE WHEN NOT f.id_is_dropped THEN coalesce({known}.destination_id, f.destination_id) END
        FROM (
            SELECT p.key, p.destination_id, {snapshot.id_is_dropped(tables)} AS id_is_dropped
            FROM ({in_flight}) p
        ) f
        WHERE {known}.key = f.key
        """,
        params,
    )
    # An earlier doubt is over where this plan creates: what it was about was looked for and is not there. The row that
    # takes its place has the values that may have been created since.
    warehouse.execute(
        f"""
        DELETE FROM {known}
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
        INSERT INTO {known} (key, destination_id, row_hash{names}, synced_at, run_id)
        SELECT f.key, f.destination_id, NULL{values}, ?, ?
        FROM ({in_flight}) f
        WHERE NOT EXISTS (SELECT 1 FROM {known} n WHERE n.key = f.key)
            AND f.op <> 'delete'
        """,
        [now, run_id, *params],
    )
    as_planned = tuple(replace(f, type=columns[f.after].upper()) for f in planned)
    _record_unknown(replace(tables, fields=as_planned), in_flight, params, run_id, now)
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
            CASE WHEN f.vacates IS NOT NULL THEN '{VACATED}' END AS error_code,
            'the run broke off while this record was in flight' AS error_message,
            1 AS attempts,
            {outcomes.change_list("f")} AS change_list
        FROM ({in_flight}) f
        """
    outcomes.append(tables, unknown, now, run_id, params)
