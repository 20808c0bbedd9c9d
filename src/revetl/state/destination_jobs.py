"""`destination_jobs`: every job that a destination was handed. A row is durable before the job is asked after, so that
a run which takes over follows it and does not send its records again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from revetl.clock import naive
from revetl.state.sync_tables import SyncTables


@dataclass(frozen=True, slots=True)
class DestinationJob:
    """One row. `ordinals` are of its records in the plan."""

    run_id: str
    plan_id: str
    job_id: str
    ordinals: tuple[int, ...]


def remember(tables: SyncTables, job: DestinationJob, now: datetime) -> None:
    """From here on a crash leaves a job to be followed, and no record in doubt."""
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.shared("destination_jobs")}
            (run_id, sync, plan_id, ordinals, job_id, status, submitted_at)
        VALUES (?, ?, ?, ?, ?, 'submitted', ?)
        """,
        [job.run_id, tables.spec.name, job.plan_id, to_ranges(job.ordinals), job.job_id, naive(now)],
    )


def remember_again(tables: SyncTables, job: DestinationJob, now: datetime) -> None:
    """Where the connection was lost meanwhile: looks whether the row is there."""
    row = [tables.spec.name, job.run_id, job.plan_id, job.job_id, to_ranges(job.ordinals)]
    found = tables.warehouse.rows(
        f"""
        SELECT 1
        FROM {tables.shared("destination_jobs")}
        WHERE sync = ? AND run_id = ? AND plan_id = ? AND job_id = ? AND ordinals = ?
        """,
        row,
    )
    if not found:
        remember(tables, job, now)


def finish(tables: SyncTables, jobs: Iterable[DestinationJob], status: str = "done") -> None:
    """Their outcomes are written, or, `given up`, their records are in doubt. Call in the transaction
    that writes it. A row is its run, plan, id and records: a vendor may answer two submits with one id."""
    for job in jobs:
        tables.warehouse.execute(
            f"""
            UPDATE {tables.shared("destination_jobs")}
            SET status = ?
            WHERE sync = ? AND run_id = ? AND plan_id = ? AND job_id = ? AND ordinals = ?
            """,
            [status, tables.spec.name, job.run_id, job.plan_id, job.job_id, to_ranges(job.ordinals)],
        )


def to_follow(tables: SyncTables) -> list[DestinationJob]:
    """The jobs of this sync whose outcomes nobody has written yet, in the order in which they were submitted."""
    found = tables.warehouse.rows(
        f"""
        SELECT run_id, plan_id, job_id, ordinals
        FROM {tables.shared("destination_jobs")}
        WHERE sync = ? AND status = 'submitted'
        ORDER BY submitted_at, job_id, ordinals
        """,
        [tables.spec.name],
    )
    return [DestinationJob(str(r), str(p), str(j), from_ranges(str(o))) for r, p, j, o in found]


def to_ranges(ordinals: Iterable[int]) -> str:
    """`0-99,205`: a job of many thousand records is mostly one range."""
    ranges: list[list[int]] = []
    for n in sorted(ordinals):
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def from_ranges(text: str) -> tuple[int, ...]:
    ordinals: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        ordinals += range(int(first), int(last or first) + 1)
    return tuple(ordinals)
