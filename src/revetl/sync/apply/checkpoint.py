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
from revetl.state import destination_jobs, outcomes, publications, runs, snapshot
from revetl.state.destination_jobs import DestinationJob
from revetl.state.publications import Publication
from revetl.state.sync_tables import SyncTables
from revetl.sync import typed_text
from revetl.sync.apply.doubts import doubt
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    import pyarrow as pa

Queue = Callable[[SyncTables, str, datetime, str], None]

_RESULTS = (
    ("ordinal", "BIGINT"),
    ("status", "VARCHAR"),
    ("result_id", "VARCHAR"),
    ("error_class", "VARCHAR"),
    ("error_code", "VARCHAR"),
    ("error_message", "VARCHAR"),
    ("attempts", "INTEGER"),
    ("in_row", "BOOLEAN"),
)


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """A plan as it is applied. `queue` says which of the answered records wait from now on, as
    `snapshot.queue_refused` does for a sync. `by_jobs`: batches may go as jobs, where the destination runs them.
    `erases`: deletes erase for good."""

    plan_id: str
    changes: int
    queue: Queue
    full_refresh: bool = False
    intent_rows: int | None = None
    by_jobs: bool = False
    erases: bool = False


def begin(tables: SyncTables, plan: FrozenPlan, run_id: str, now: datetime) -> None:
    """From here on a crash leaves records in doubt. Nothing may be sent before. Safe to repeat."""
    _new_results(tables)
    plans = tables.shared("plans")
    if not tables.warehouse.rows(f"SELECT 1 FROM {plans} WHERE plan_id = ? AND run_id = ?", [plan.plan_id, run_id]):
        tables.warehouse.execute(
            f"""
            INSERT INTO {plans}
            VALUES (?, ?, ?, ?, 'applying', ?, 0)
            """,
            [plan.plan_id, run_id, tables.spec.name, naive(now), plan.changes],
        )
    snapshot.doubt_vacated(tables)
    if plan.full_refresh:
        snapshot.doubt_planned(tables)


def _new_results(tables: SyncTables) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    tables.new_scratch("results", f"({columns})")
    tables.new_scratch("stands", "(ordinal BIGINT, field VARCHAR, value VARCHAR)")


def finish(tables: SyncTables, plan: FrozenPlan) -> None:
    """Every record that was sent has its outcome in the tables, or is in a job that is to be followed: nothing to
    recover."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.shared("plans")}
        SET status = 'done'
        WHERE plan_id = ?
        """,
        [plan.plan_id],
    )


def write_decided(tables: SyncTables, plan: FrozenPlan, record: RunRecord, now: datetime) -> dict[str, int]:
    """Writes the outcomes that were decided when the plan was made, the first that this run writes. Returns status →
    records. Safe to repeat."""
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
            0 AS attempts,
            coalesce(p.reason, '') IN ({", ".join(map(literal, outcomes.DECIDED_BY_ROW))}) AS in_row
        FROM ({outcomes.with_change_list(tables.plan)}) p
        WHERE p.outcome IS NOT NULL
        """
    ours = f"SELECT 1 FROM {tables.shared('outcomes')} WHERE run_id = ? AND sync = ? LIMIT 1"
    if counts and not tables.warehouse.rows(ours, [record.run_id, tables.spec.name]):
        with tables.warehouse.transaction():
            _write_answered(tables, plan.queue, decided, record.run_id, naive(now))
    return counts


def write(
    tables: SyncTables,
    plan: FrozenPlan,
    record: RunRecord,
    done: Sequence[Outcome],
    now: datetime,
    *,
    intent_until: int | None,
    ended_jobs: Sequence[DestinationJob] = (),
) -> None:
    """One checkpoint. `ended_jobs`: those whose outcomes are all among `done`. WarehouseError (a full disk, say) leaves
    everything as it was before."""
    warehouse = tables.warehouse
    with warehouse.transaction():
        if done:
            warehouse.execute(f"DELETE FROM {tables.scratch('results')}")
            warehouse.append(tables.scratch_relation("results"), _as_arrow(done))
            _write_answered(tables, plan.queue, _answered(tables, done), record.run_id, naive(now))
            _write_what_stands(tables, done)
        destination_jobs.finish(tables, ended_jobs)
        if intent_until is not None:
            _intend(tables, plan, intent_until)
        runs.finish_run(warehouse, record)


def write_again(
    tables: SyncTables,
    plan: FrozenPlan,
    record: RunRecord,
    done: Sequence[Outcome],
    now: datetime,
    *,
    intent_until: int | None,
    ended_jobs: Sequence[DestinationJob] = (),
) -> None:
    """A checkpoint in the midst of which the connection was lost. It is one transaction, so one outcome of it tells
    that all of it took place; where it holds none, writing it twice is the same."""
    _new_results(tables)
    if not done or not _is_written(tables, record.run_id, done[0]):
        write(tables, plan, record, done, now, intent_until=intent_until, ended_jobs=ended_jobs)


def _is_written(tables: SyncTables, run_id: str, outcome: Outcome) -> bool:
    found = tables.warehouse.rows(
        f"""
        SELECT 1
        FROM {tables.shared("outcomes")} o
        JOIN {tables.plan} p ON p.key = o.key AND p.op = o.op
        WHERE o.run_id = ? AND o.sync = ? AND p.ordinal = ?
        LIMIT 1
        """,
        [run_id, tables.spec.name, outcome.ordinal],
    )
    return bool(found)


def write_followed(tables: SyncTables, job: DestinationJob, done: Sequence[Outcome], now: datetime) -> None:
    """What became of a job that an earlier run submitted, under that run. One transaction; of records whose outcome
    that run wrote itself nothing is written again. Safe to repeat."""
    warehouse = tables.warehouse
    _new_results(tables)
    if done:
        warehouse.append(tables.scratch_relation("results"), _as_arrow(done))
        unwritten = f"""
            SELECT a.*
            FROM ({_answered(tables, done)}) a
            WHERE NOT EXISTS (
                SELECT 1
                FROM {tables.shared("outcomes")} o
                WHERE o.run_id = {literal(job.run_id)} AND o.sync = {literal(tables.spec.name)} AND o.key = a.key
            )
            """
        # Kept apart: writing the first outcomes would empty the SELECT for the statements after it.
        tables.new_scratch("followed", f"AS {unwritten}")
    with warehouse.transaction():
        destination_jobs.finish(tables, [job])
        if done:
            followed = f"SELECT * FROM {tables.scratch('followed')}"
            _write_answered(tables, snapshot.queue_refused, followed, job.run_id, naive(now))
            _write_what_stands(tables, done)
            runs.recount(warehouse, job.run_id)


def write_published(
    tables: SyncTables, publication: Publication, queue: Queue, ordinals: tuple[int, int], now: datetime
) -> None:
    """That the lines from the first to the last of these ordinals stand where they were published, each under its key.
    One transaction; what is written already is not written again."""
    first, last = max(ordinals[0], publication.written_until), ordinals[1]
    if last < first:
        return
    answered = f"""
        SELECT
            p.*,
            'ok' AS status,
            coalesce(p.destination_id, p.key) AS result_id,
            CAST(NULL AS VARCHAR) AS error_class,
            CAST(NULL AS VARCHAR) AS error_code,
            CAST(NULL AS VARCHAR) AS error_message,
            1 AS attempts,
            FALSE AS in_row
        FROM ({outcomes.with_change_list(tables.plan)}) p
        WHERE p.outcome IS NULL AND p.ordinal BETWEEN {int(first)} AND {int(last)}
        """
    with tables.warehouse.transaction():
        _write_answered(tables, queue, answered, publication.run_id, naive(now))
        publications.wrote(tables, publication, last + 1)


def give_up(tables: SyncTables, job: DestinationJob, now: datetime) -> int:
    """Nothing of this job can be written as it was planned, or nobody can ask after it: its records without an outcome
    are in doubt. Returns how many. One transaction; safe to repeat."""
    with tables.warehouse.transaction():
        destination_jobs.finish(tables, [job], "given up")
        count = doubt(tables, job.plan_id, job.run_id, max(job.ordinals) + 1, naive(now), only=job.ordinals)
        if count:
            runs.recount(tables.warehouse, job.run_id)
    return count


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


def _write_answered(tables: SyncTables, queue: Queue, answered: str, run_id: str, now: datetime) -> None:
    outcomes.append(tables, answered, now, run_id)
    snapshot.merge(tables, answered, now, run_id)
    queue(tables, answered, now, run_id)


def _write_what_stands(tables: SyncTables, done: Sequence[Outcome]) -> None:
    """Of what was taken and not applied the snapshot holds what the destination answered that stands there, not what
    was sent: so nobody takes the difference for a person's change. After the snapshot was merged."""
    types = {f.name: f.type for f in tables.fields}
    rows = [(o.ordinal, name, value) for o in done for name, value in (o.stands or {}).items() if name in types]
    fitting = []
    for ordinal, name, value in rows:
        try:
            fitting.append((ordinal, name, typed_text.text(typed_text.fit(types[name], value))))
        except ValueError:
            continue  # our column can't hold it: drift will say so
    if not fitting:
        return
    import pyarrow as pa

    ordinals, names, values = (list(cells) for cells in zip(*fitting, strict=True))
    scratch = tables.scratch("stands")
    tables.warehouse.execute(f"DELETE FROM {scratch}")
    tables.warehouse.append(
        tables.scratch_relation("stands"),
        pa.table(
            {
                "ordinal": pa.array(ordinals, pa.int64()),
                "field": pa.array(names, pa.string()),
                "value": pa.array(values, pa.string()),
            }
        ),
    )
    for field in (f for f in tables.fields if f.name in set(names)):
        tables.warehouse.execute(
            f"""
            UPDATE {tables.snapshot}
            SET {ident(field.stored)} = {typed_text.cast("s.value", field.type)}
            FROM (
                SELECT p.key, r.value
                FROM {scratch} r
                JOIN {tables.plan} p ON p.ordinal = r.ordinal
                WHERE r.field = ?
            ) s
            WHERE s.key = {tables.snapshot}.key
            """,
            [field.name],
        )


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
        ("in_row", pa.bool_(), [o.in_row for o in done]),
    ]
    return pa.table({name: pa.array(values, type_) for name, type_, values in columns})
