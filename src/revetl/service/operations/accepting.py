"""Takes what is asked: whether it may be, whether it was asked before, and the row that makes it durable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from revetl.accounts.audit import AuditEvent, AuditLog
from revetl.accounts.plan_reviews import PlanReviews, ReviewedPlan
from revetl.accounts.roles import Principal
from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import WarehouseConflict
from revetl.service.operations.kinds import KINDS, OperationKind
from revetl.service.operations.running import OperationRunner
from revetl.service.operations.tables import OperationTable, ServiceOperation
from revetl.service.problems import ServiceProblem
from revetl.state import locks
from revetl.warehouse.base import Warehouse

T = TypeVar("T")

_LOCK = "operations"
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and from where: `api from 127.0.0.1`."""

    principal: Principal
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """`private`: who is meant, where the kind is about a person. `key`: digest of the Idempotency-Key and of whose it
    is; `digest`: of what is asked, keyed by the token, so that nobody who reads the table can try what it may be of."""

    kind: OperationKind
    subject: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, str] | None = field(default=None, repr=False)
    reason: str | None = None
    key: str
    digest: str


class OperationIntake:
    """`approvals`: how many people have to agree to a plan, as the project declares it now."""

    def __init__(
        self,
        door: Callable[[], AbstractContextManager[Warehouse]],
        runner: OperationRunner,
        clock: Clock,
        approvals: Callable[[], int],
        *,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._door, self._runner, self._clock = door, runner, clock
        self._approvals, self._offload = approvals, offload

    async def accept(self, asker: Asker, asked: OperationRequest) -> ServiceOperation:
        """Durable when it is given back. The same request under the same key gives the operation that is there.
        ServiceProblem where it is refused; WarehouseBusy and WarehouseError where nothing could be written."""
        operation, new = await self._offload(self._accept, asker, asked)
        if new:
            self._runner.add(operation, asked.private)
        found: ServiceOperation = self._runner.find(operation.operation_id) or operation
        return found

    async def approve(self, asker: Asker, plan: str, reason: str | None) -> ReviewedPlan:
        """Safe to repeat. ServiceProblem for a plan that is not there, or of whoever asks."""
        return await self._offload(self._approve, asker, plan, reason)  # type: ignore[no-any-return]  # Offload gives Any

    async def refused(self, asker: Asker, action: str, subject: str | None) -> None:
        """Writes down that somebody asked for what he may not have."""
        await self._offload(self._refused, asker, action, subject)

    def _accept(self, asker: Asker, asked: OperationRequest) -> tuple[ServiceOperation, bool]:
        with self._door() as warehouse:
            OperationTable(warehouse).create()
            locks.ensure(warehouse, [_LOCK])
            return _again(lambda: self._in_transaction(warehouse, asker, asked))

    def _in_transaction(
        self, warehouse: Warehouse, asker: Asker, asked: OperationRequest
    ) -> tuple[ServiceOperation, bool]:
        table, now = OperationTable(warehouse), self._clock.now()
        with warehouse.transaction():
            locks.take(warehouse, [_LOCK])  # two requests of one key would else both find nothing
            if (before := table.asked_with(asked.key)) is not None:
                if before.request != asked.digest:
                    raise ServiceProblem("key-in-use", "Another request was made with this key. Take a new one.")
                return before, False
            operation = ServiceOperation(
                operation_id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}",
                kind=asked.kind,
                subject=asked.subject,
                arguments=asked.arguments,
                asked_by=asker.principal.name,
                reason=asked.reason,
                asked_at=now,
                idempotency_key=asked.key,
                request=asked.digest,
            )
            self._check(warehouse, table, operation)
            table.add(operation)
            AuditLog(warehouse, there=True).add(_event(asker, operation), now)
        return operation, True

    def _check(self, warehouse: Warehouse, table: OperationTable, operation: ServiceOperation) -> None:
        needed = self._approvals()
        if KINDS[operation.kind].sends and needed:
            raise ServiceProblem("plan-needed", "Plan it, have the plan approved, and apply that.")
        if operation.kind is not OperationKind.APPLY:
            return
        reviews = PlanReviews(warehouse)
        plan = _found(reviews, operation.arguments["plan"])
        if len(plan.approvers()) < needed:
            said = f"{len(plan.approvers())} of {needed} approvals by others than {plan.created_by} are there."
            raise ServiceProblem("approval-missing", said)
        before = table.find(plan.applied_by) if plan.applied_by is not None else None
        if before is not None and before.is_open:
            raise ServiceProblem("already-applying", f"By the operation {before.operation_id}.")
        reviews.applied(plan.plan, operation.operation_id)

    def _approve(self, asker: Asker, plan: str, reason: str | None) -> ReviewedPlan:
        now, name = self._clock.now(), asker.principal.name
        with self._door() as warehouse:
            OperationTable(warehouse).create()
            locks.ensure(warehouse, [_LOCK])

            def work() -> ReviewedPlan:
                reviews = PlanReviews(warehouse)
                with warehouse.transaction():
                    locks.take(warehouse, [_LOCK])
                    found = _found(reviews, plan)
                    if found.created_by == name:
                        raise ServiceProblem("own-plan", "Somebody else has to agree to it.")
                    if name not in found.approvers():
                        reviews.approve(plan, name, reason, now)
                        event = AuditEvent(
                            actor=name,
                            origin=asker.origin,
                            action="approve",
                            subject=plan,
                            reason=reason,
                            outcome="done",
                        )
                        AuditLog(warehouse, there=True).add(event, now)
                    return _found(reviews, plan)

            return _again(work)

    def _refused(self, asker: Asker, action: str, subject: str | None) -> None:
        event = AuditEvent(
            actor=asker.principal.name, origin=asker.origin, action=action, subject=subject, outcome="refused"
        )
        with self._door() as warehouse:
            AuditLog(warehouse).add(event, self._clock.now())


def _found(reviews: PlanReviews, plan: str) -> ReviewedPlan:
    found = reviews.find(plan)
    if found is None:
        raise ServiceProblem("not-found", "There is no plan of this id.")
    return found


def _event(asker: Asker, operation: ServiceOperation) -> AuditEvent:
    return AuditEvent(
        actor=asker.principal.name,
        origin=asker.origin,
        action=str(operation.kind),
        subject=operation.subject,
        details=operation.arguments,
        reason=operation.reason,
        outcome="asked",
        operation_id=operation.operation_id,
    )


def _again(work: Callable[[], T]) -> T:
    """Where another request was first at this moment, nothing of ours was written."""
    for _ in range(_TRIES):
        try:
            return work()
        except WarehouseConflict:
            continue
    raise ServiceProblem("warehouse-busy", "Others write at this moment.", retry_after_s=1)
