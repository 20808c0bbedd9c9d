"""What is durable of a plan that is being applied: its intent before anything is sent, and what became of it.

`plan__<sync>` holds the lines, `plans` one row for each plan that was applied. Python hands over only (ordinal, status,
id, error): before, after and the changed fields are joined from the plan. A checkpoint is one transaction. Either all
of it stands afterwards (outcomes, snapshot, retry queue, how far the intent reaches, the run's counts) or nothing; then
the next run finds these records in doubt and sends them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.clock import naive
from revetl.model import Outcome, RunRecord
from revetl.state import outcomes, runs, snapshot
from revetl.state.sync_tables import SyncTables

if TYPE_CHECKING:
    import pyarrow as pa

_RESULTS = (
    ("ordinal", "BIGINT"),
    ("status", "VARCHAR"),
    ("result_id", "VARCHAR"),
    ("error_class", "VARCHAR"),
    ("error_code", "VARCHAR"),
    ("error_message", "VARCHAR"),
    ("attempts", "INTEGER"),
)


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """A plan as it is applied. `queue` says which of the answered records wait from now on, as
    `snapshot.queue_refused` does for a sync."""

    plan_id: str
    changes: int
    queue: Callable[[SyncTables, str, datetime, str], None]
    full_refresh: bool = False
    intent_rows: int | None = None


def begin(tables: SyncTables, plan: FrozenPlan, run_id: str, now: datetime) -> None:
    """From here on a crash leaves records in doubt. Nothing may be sent before."""
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    tables.new_scratch("results", f"({columns})")
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.shared("plans")}
        VALUES (?, ?, ?, ?, 'applying', ?, 0)
        """,
        [plan.plan_id, run_id, tables.spec.name, naive(now), plan.changes],
    )
    if plan.full_refresh:
        snapshot.doubt_planned(tables)


def finish(tables: SyncTables, plan: FrozenPlan) -> None:
    """Every record that was sent has its outcome in the tables: nothing to recover."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.shared("plans")}
        SET status = 'done'
        WHERE plan_id = ?
        """,
        [plan.plan_id],
    )


def write_decided(tables: SyncTables, plan: FrozenPlan, record: RunRecord, now: datetime) -> dict[str, int]:
    """Writes the outcomes that were decided when the plan was made. Returns status → records."""
    counts = tables.warehouse.counts(
        f"""
        SELECT outcome, count(*)
        FROM {tables.plan}
        WHERE outcome IS NOT NULL
        GROUP BY 1
        """
    )
    decided = f"""
        SELECT
            p.*,
            p.outcome AS status,
            p.destination_id AS result_id,
            CASE WHEN p.outcome <> 'ok' THEN 'Plan' END AS error_class,
            CASE WHEN p.outcome <> 'ok' THEN coalesce(p.reason, upper(p.outcome)) END AS error_code,
            p.note AS error_message,
            0 AS attempts
        FROM ({outcomes.with_change_list(tables.plan)}) p
        WHERE p.outcome IS NOT NULL
        """
    if counts:
        with tables.warehouse.transaction():
            _write_answered(tables, plan, decided, record, naive(now))
    return counts


def write(
    tables: SyncTables,
    plan: FrozenPlan,
    record: RunRecord,
    done: Sequence[Outcome],
    now: datetime,
    *,
    intent_until: int | None,
) -> None:
    """One checkpoint. WarehouseError (a full disk, say) leaves everything as it was before."""
    warehouse = tables.warehouse
    with warehouse.transaction():
        if done:
            warehouse.execute(f"DELETE FROM {tables.scratch('results')}")
            warehouse.append(tables.scratch_relation("results"), _as_arrow(done))
            _write_answered(tables, plan, _answered(tables, done), record, naive(now))
        if intent_until is not None:
            _intend(tables, plan, intent_until)
        runs.finish_run(warehouse, record)


def _intend(tables: SyncTables, plan: FrozenPlan, until: int) -> None:
    """Records with a smaller ordinal may be sent from now on."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.shared("plans")}
        SET intent_until = ?
        WHERE plan_id = ?
        """,
        [until, plan.plan_id],
    )


def _answered(tables: SyncTables, done: Sequence[Outcome]) -> str:
    """A SELECT of the plan's rows with what the destination said of them. It stands in several statements, so its
    bounds are numbers in the text; they spare the plan's other rows from being read."""
    low, high = min(o.ordinal for o in done), max(o.ordinal for o in done)
    result = ", ".join(f"r.{name}" for name, _ in _RESULTS if name != "ordinal")
    return f"""
        SELECT p.*, {result}
        FROM (
            SELECT *
            FROM ({outcomes.with_change_list(tables.plan)}) c
            WHERE c.ordinal BETWEEN {int(low)} AND {int(high)}
        ) p
        JOIN {tables.scratch("results")} r ON r.ordinal = p.ordinal
        """


def _write_answered(tables: SyncTables, plan: FrozenPlan, answered: str, record: RunRecord, now: datetime) -> None:
    outcomes.append(tables, answered, now, record.run_id)
    snapshot.merge(tables, answered, now, record.run_id)
    plan.queue(tables, answered, now, record.run_id)


def _as_arrow(done: Sequence[Outcome]) -> pa.Table:
    import pyarrow as pa

    columns: list[tuple[str, Any, list[Any]]] = [
        ("ordinal", pa.int64(), [o.ordinal for o in done]),
        ("status", pa.string(), [o.status for o in done]),
        ("result_id", pa.string(), [o.destination_id for o in done]),
        ("error_class", pa.string(), [o.error_class for o in done]),
        ("error_code", pa.string(), [o.error_code for o in done]),
        ("error_message", pa.string(), [o.message for o in done]),
        ("attempts", pa.int32(), [o.attempts for o in done]),
    ]
    return pa.table({name: pa.array(values, type_) for name, type_, values in columns})
