"""What an applied plan came to, in records: held apart from what it was to do."""

from __future__ import annotations

from collections.abc import Mapping

from revetl.model import Operation, Status
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.report import DoneCounts

Answered = Mapping[tuple[Operation, Status], int]


def done_counts(tables: SyncTables, run_id: str, plan: PlanSummary, answered: Answered) -> DoneCounts:
    """`answered`: (operation, status) → records that were sent. Adopted records are updates to the destination; which
    of several updates they were is looked up only where it does not follow from the plan."""
    updated = answered.get((Operation.UPDATE, Status.OK), 0)
    adopted = _adopted(tables, run_id, plan, updated)

    def of(status: Status) -> int:
        return sum(n for (_, found), n in answered.items() if found is status)

    return DoneCounts(
        created=answered.get((Operation.CREATE, Status.OK), 0),
        adopted=adopted,
        updated=updated - adopted,
        deleted=answered.get((Operation.DELETE, Status.OK), 0),
        accepted=of(Status.ACCEPTED),
        rejected=of(Status.REJECTED),
        skipped=of(Status.SKIPPED),
        unknown=of(Status.UNKNOWN),
        not_sent=plan.changes - sum(answered.values()),
    )


def _adopted(tables: SyncTables, run_id: str, plan: PlanSummary, updated: int) -> int:
    if not plan.adopt or not plan.update:
        return updated if plan.adopt else 0
    if updated == plan.adopt + plan.update:
        return plan.adopt
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.shared("outcomes")} o
        JOIN {tables.plan} p ON p.key = o.key
        WHERE o.run_id = ? AND o.sync = ? AND o.op = 'update' AND o.status = 'ok'
            AND p.adopted AND p.outcome IS NULL
        """,
        int,
        [run_id, tables.spec.name],
    )
