"""`reviewed_plans` and `plan_approvals`: plans that the service saved for review, and who agreed to each.

The document of a plan is the file of `revetl plan --out`: counts, names and digests, no key and no value. Its digest is
its id, and the seal that `revetl apply` checks, so what was agreed to is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from revetl.clock import naive
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table


@dataclass(frozen=True, slots=True)
class PlanApproval:
    """`name`: of who agreed."""

    name: str
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedPlan:
    """`plan` is the digest of `document`. `applied_by`: the operation that was begun to send it; None before."""

    plan: str
    document: str
    created_at: datetime
    created_by: str
    operation_id: str
    applied_by: str | None
    approvals: Sequence[PlanApproval] = ()

    def approvers(self) -> set[str]:
        """Whose agreement counts: of everybody but who made it, each once."""
        return {approval.name for approval in self.approvals} - {self.created_by}


class PlanReviews:
    """Reading gives nothing where the tables are not there yet."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._plans = table(relation(warehouse, "reviewed_plans"))
        self._approvals = table(relation(warehouse, "plan_approvals"))

    def add(self, plan: ReviewedPlan) -> None:
        """Safe to repeat."""
        create_all(self._warehouse)
        if self.find(plan.plan) is not None:
            return
        self._warehouse.execute(
            f"""
            INSERT INTO {self._plans} (plan, document, created_at, created_by, operation_id)
            VALUES (?, ?, ?, ?, ?)
            """,
            [plan.plan, plan.document, naive(plan.created_at), plan.created_by, plan.operation_id],
        )

    def approve(self, plan: str, name: str, reason: str | None, now: datetime) -> None:
        """Safe to repeat: the first word of one name holds."""
        there = self._warehouse.rows(f"SELECT 1 FROM {self._approvals} WHERE plan = ? AND name = ?", [plan, name])
        if not there:
            self._warehouse.execute(
                f'INSERT INTO {self._approvals} (plan, name, "at", reason) VALUES (?, ?, ?, ?)',
                [plan, name, naive(now), reason],
            )

    def applied(self, plan: str, operation_id: str) -> None:
        """The operation that is to send it. Whether it still may be sent is for `revetl apply` to say."""
        self._warehouse.execute(f"UPDATE {self._plans} SET applied_by = ? WHERE plan = ?", [operation_id, plan])

    def find(self, plan: str) -> ReviewedPlan | None:
        return next(iter(self._select("WHERE plan = ?", [plan])), None)

    def made_by(self, operation_id: str) -> str | None:
        """The id of the plan that an operation made."""
        return next((plan.plan for plan in self._select("WHERE operation_id = ?", [operation_id])), None)

    def newest(self, limit: int = 50) -> list[ReviewedPlan]:
        return self._select(f"ORDER BY created_at DESC, plan LIMIT {int(limit)}", [])

    def _select(self, rest: str, params: list[str]) -> list[ReviewedPlan]:
        if not self._warehouse.columns(relation(self._warehouse, "reviewed_plans")):
            return []
        rows: list[Any] = self._warehouse.rows(
            f"""
            SELECT plan, document, created_at, created_by, operation_id, applied_by
            FROM {self._plans}
            {rest}
            """,
            list(params),
        )
        return [
            ReviewedPlan(
                plan=plan,
                document=document,
                created_at=created_at.replace(tzinfo=UTC),
                created_by=created_by,
                operation_id=operation_id,
                applied_by=applied_by,
                approvals=self._of(plan),
            )
            for plan, document, created_at, created_by, operation_id, applied_by in rows
        ]

    def _of(self, plan: str) -> list[PlanApproval]:
        rows: list[Any] = self._warehouse.rows(
            f'SELECT name, "at", reason FROM {self._approvals} WHERE plan = ? ORDER BY "at", name', [plan]
        )
        return [PlanApproval(name, at.replace(tzinfo=UTC), reason) for name, at, reason in rows]
