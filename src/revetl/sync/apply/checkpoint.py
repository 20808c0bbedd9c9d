"""A checkpoint: what is settled since the last one becomes durable, in one transaction.

Python hands over only (ordinal, status, id, error): before, after and the changed fields are joined from the plan.
Either all of it stands afterwards (outcomes, snapshot, what waits, how far the intent reaches, the run's counts) or
nothing; then the next run finds these records in doubt and sends them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock
from revetl.model import Outcome, RunRecord
from revetl.state import outcomes, runs, snapshot
from revetl.state.sync_tables import Layout
from revetl.sync.apply import intents
from revetl.sync.rollback import rollback_table
from revetl.warehouse.base import Warehouse

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


def prepare(warehouse: Warehouse, layout: Layout) -> None:
    results = layout.scratch("results")
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(results)}")
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    warehouse.execute(layout.create_scratch("results", f"({columns})"))


def settled_in_plan(warehouse: Warehouse, layout: Layout, run: RunRecord, clock: Clock) -> dict[str, int]:
    """Gives the lines that planning decided not to send their outcome. Returns status → records."""
    select = (
        "SELECT p.*, p.settled AS status, p.destination_id AS result_id,"
        " CASE WHEN p.settled <> 'ok' THEN 'Plan' END AS error_class,"
        " CASE WHEN p.settled <> 'ok' THEN coalesce(p.reason, upper(p.settled)) END AS error_code,"
        " p.note AS error_message, 0 AS attempts"
        f" FROM ({outcomes.with_change_list(layout.t(layout.plan))}) p WHERE p.settled IS NOT NULL"
    )
    found = warehouse.rows(
        f"SELECT settled, count(*) FROM {layout.t(layout.plan)} WHERE settled IS NOT NULL GROUP BY 1"
    )
    counts = {str(status): int(str(n)) for status, n in found}
    if counts:
        with warehouse.transaction():
            _write(warehouse, layout, select, intents.timestamp(clock), run)
    return counts


def write(
    warehouse: Warehouse,
    layout: Layout,
    run: RunRecord,
    plan_id: str,
    done: Sequence[Outcome],
    *,
    intent_until: int | None,
    clock: Clock,
) -> None:
    """One checkpoint. WarehouseError (a full disk, say) leaves everything as it was before."""
    results = layout.scratch("results")
    with warehouse.transaction():
        if done:
            warehouse.execute(f"DELETE FROM {layout.t(results)}")
            warehouse.append(results, _as_arrow(done))
            low, high = min(o.ordinal for o in done), max(o.ordinal for o in done)
            answered = ", ".join(f"r.{name}" for name, _ in _RESULTS if name != "ordinal")
            select = (
                f"SELECT p.*, {answered}"
                f" FROM (SELECT * FROM ({outcomes.with_change_list(layout.t(layout.plan))}) c"
                f" WHERE c.ordinal BETWEEN {low} AND {high}) p"
                f" JOIN {layout.t(results)} r ON r.ordinal = p.ordinal"
            )
            _write(warehouse, layout, select, intents.timestamp(clock), run)
        if intent_until is not None:
            intents.intend(warehouse, layout, plan_id, intent_until)
        runs.finish_run(warehouse, run)


def _write(warehouse: Warehouse, layout: Layout, settled: str, now: datetime, run: RunRecord) -> None:
    outcomes.append_settled(warehouse, layout, settled, now, run.run_id)
    snapshot.merge(warehouse, layout, settled, now, run.run_id)
    # What a rollback restored waits until its row changes; a record that it left alone waits for nothing new.
    remember = rollback_table.hold_restored if run.command == rollback_table.COMMAND else snapshot.remember_rejected
    remember(warehouse, layout, settled, now, run.run_id)


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
