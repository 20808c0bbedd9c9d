"""What a run does first about one that never finished: what it handed over as a whole, or as jobs, is brought to its
end, and other records that may have been sent become in doubt.

`plans.intent_until` was durable before any record with a smaller ordinal was sent (`checkpoint.write`), so only those
records can have reached the destination, and only those become in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from revetl.clock import naive
from revetl.destinations.base import Destination
from revetl.state import leases, runs
from revetl.state.sync_tables import SyncTables
from revetl.sync.apply import jobs, publishing
from revetl.sync.apply.doubts import doubt
from revetl.sync.sync_run import SyncRun

_BROKEN_OFF = "subject = ? AND status = 'running' AND run_id <> ?"


@dataclass(frozen=True, slots=True)
class Healed:
    """`recovered`: records that became in doubt, `given_up` of them with jobs that can't be followed any more.
    `followed`: outcome status → records of earlier runs' jobs, and of what was published for them."""

    recovered: int
    followed: dict[str, int]
    given_up: int = 0


async def heal(run: SyncRun, destination: Destination | None) -> Healed:
    """What every run does first: jobs of earlier runs are followed to their end and their publications too, then what
    may have been sent and has no outcome becomes in doubt. Raises as `jobs.follow_earlier`,
    `publishing.publish_earlier` and `recover`."""
    followed, given_up = await jobs.follow_earlier(run, destination)
    followed += await publishing.publish_earlier(run, destination)
    recovered = await run.on_tables(recover, run.ctx.clock.now(), present_run=run.ctx.run_id)
    return Healed(recovered + given_up, dict(followed), given_up)


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
            if count := doubt(tables, str(plan_id), str(run_id), int(str(until)), naive(now)):
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
