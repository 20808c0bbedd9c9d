"""What each route of `/v1` does. Reading opens the warehouse for a moment; an act becomes an operation."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from revetl.accounts.audit import AuditEvent, AuditLog
from revetl.accounts.plan_reviews import PlanReviews, ReviewedPlan
from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import ConfigError
from revetl.service.api import answers, bodies
from revetl.service.operations.accepting import Asker, OperationIntake, OperationRequest
from revetl.service.operations.kinds import OperationKind
from revetl.service.operations.running import OperationRunner
from revetl.service.operations.tables import OperationTable, ServiceOperation
from revetl.service.page.reading import Overview, records_page
from revetl.service.problems import ServiceProblem
from revetl.service.projects import ProjectBook
from revetl.state import outcomes, runs
from revetl.usecases.caller import Caller
from revetl.usecases.explain import explain
from revetl.warehouse.base import Warehouse

if TYPE_CHECKING:
    from revetl.model import RunRecord

_POLL_S = 0.1
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One request that may be made. `secret`: the token itself, by which what is asked is kept as a keyed digest;
    `wait_s`: how long the answer may wait for the end of the operation."""

    asker: Asker
    path: Mapping[str, str]
    query: Any
    body: Any = None
    key: str = ""
    secret: str = ""
    wait_s: float = 0.0


class ApiHandlers:
    """`door` opens the warehouse for a moment; `overview` is what the page shows, and whether it is of before."""

    def __init__(
        self,
        book: ProjectBook,
        door: Callable[[], AbstractContextManager[Warehouse]],
        overview: Callable[[], Awaitable[tuple[Overview, bool]]],
        intake: OperationIntake,
        runner: OperationRunner,
        clock: Clock,
        *,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._book, self._door, self._overview, self._clock = book, door, overview, clock
        self._intake, self._runner, self._offload = intake, runner, offload

    async def list_syncs(self, _call: ApiCall) -> BaseModel:
        overview, _ = await self._overview()
        seen = {sync.subject: sync for sync in overview.syncs}
        found = []
        for spec in self._book.project.syncs(verified=False):
            at = seen.get(spec.name)
            found.append(
                answers.SyncAnswer(
                    name=spec.name,
                    destination=spec.destination,
                    object=spec.object,
                    mode=spec.mode,
                    last_run_id=at.last.run_id if at and at.last else None,
                    last_status=at.last.status if at and at.last else None,
                    sent_well_at=at.well_at if at else None,
                    waiting=at.waiting if at else 0,
                    next_run_at=at.next_at if at else None,
                )
            )
        return answers.SyncsAnswer(syncs=found, read_at=overview.read_at)

    async def list_runs(self, call: ApiCall) -> BaseModel:
        limit = call.query.limit

        def read(warehouse: Warehouse) -> list[RunRecord]:
            if call.query.after is None:
                return runs.list_runs(warehouse, limit + 1)
            return runs.list_runs_before(warehouse, _run(warehouse, call.query.after), limit + 1)

        found = await self._read(read)
        following = found[limit - 1].run_id if len(found) > limit else None
        return answers.RunsAnswer(runs=[_run_answer(run) for run in found[:limit]], next=following)

    async def show_run(self, call: ApiCall) -> BaseModel:
        def read(warehouse: Warehouse) -> BaseModel:
            run = _run(warehouse, call.path["run_id"])
            reasons = [
                answers.ReasonAnswer(status=status, code=code, example=message, records=n)
                for status, code, message, n in outcomes.reasons(warehouse, run.run_id)
            ]
            return answers.RunDetailAnswer(run=_run_answer(run), reasons=reasons)

        return await self._read(read)  # type: ignore[no-any-return]  # Offload gives Any

    async def list_outcomes(self, call: ApiCall) -> BaseModel:
        asked = call.query

        def read(warehouse: Warehouse) -> BaseModel:
            run = _run(warehouse, call.path["run_id"])
            found, following = records_page(
                warehouse,
                run.run_id,
                search=asked.search or "",
                status=asked.status or "",
                after=asked.after or "",
                limit=asked.limit,
            )
            listed = [answers.OutcomeAnswer.model_validate(asdict(o) | {"at": _aware(o.at)}) for o in found]
            return answers.OutcomesAnswer(outcomes=listed, next=following)

        return await self._read(read)  # type: ignore[no-any-return]  # Offload gives Any

    async def explain_record(self, call: ApiCall) -> BaseModel:
        def read() -> BaseModel:
            try:
                key, sections = explain(self._book.project, call.path["key"], Caller(clock=self._clock))
            except ConfigError:
                raise ServiceProblem("not-found", "No record, or several, are named so.") from None
            return answers.RecordAnswer(key=key, sections=_plain(sections))

        return await self._offload(read)  # type: ignore[no-any-return]  # Offload gives Any

    async def list_plans(self, call: ApiCall) -> BaseModel:
        found = await self._read(lambda warehouse: PlanReviews(warehouse).newest(call.query.limit))
        return answers.PlansAnswer(plans=[self._plan(plan) for plan in found])

    async def show_plan(self, call: ApiCall) -> BaseModel:
        found = await self._read(lambda warehouse: PlanReviews(warehouse).find(call.path["plan"]))
        if found is None:
            raise ServiceProblem("not-found", "There is no plan of this id.")
        return self._plan(found)

    def _plan(self, plan: ReviewedPlan) -> answers.PlanAnswer:
        return answers.PlanAnswer(
            plan=plan.plan,
            created_at=plan.created_at,
            created_by=plan.created_by,
            approvals=[answers.ApprovalAnswer.model_validate(approval) for approval in plan.approvals],
            approvals_needed=self._book.project.approvals,
            applied_by=plan.applied_by,
            syncs=json.loads(plan.document)["syncs"],
        )

    async def list_operations(self, call: ApiCall) -> BaseModel:
        found = await self._read(lambda warehouse: OperationTable(warehouse).newest(call.query.limit))
        listed = [_operation(self._runner.find(o.operation_id) or o, None, None) for o in found]
        return answers.OperationsAnswer(operations=listed)

    async def show_operation(self, call: ApiCall) -> BaseModel:
        id_ = call.path["operation_id"]
        if (ours := self._runner.find(id_)) is not None:
            return self._shown(ours)

        def read(warehouse: Warehouse) -> tuple[ServiceOperation | None, str | None]:
            return OperationTable(warehouse).find(id_), PlanReviews(warehouse).made_by(id_)

        found, plan = await self._read(read)
        if found is None:
            raise ServiceProblem("not-found", "There is no operation of this id.")
        return _operation(found, plan, None)

    def _shown(self, operation: ServiceOperation) -> answers.OperationAnswer:
        id_ = operation.operation_id
        return _operation(operation, self._runner.plan(id_), _plain(self._runner.result(id_)))

    async def list_audit(self, call: ApiCall) -> BaseModel:
        asked = call.query

        def read(warehouse: Warehouse) -> list[AuditEvent]:
            log, before = AuditLog(warehouse), None
            if asked.after is not None and (before := log.moment_of(asked.after)) is None:
                raise ServiceProblem("not-found", "There is no event of this id.")
            return log.newest(asked.limit + 1, before=before, subject=asked.subject or "", actor=asked.actor or "")

        found = await self._read(read)
        following = found[asked.limit - 1].event_id if len(found) > asked.limit else None
        events = [answers.AuditEventAnswer.model_validate(event) for event in found[: asked.limit]]
        return answers.AuditAnswer(events=events, next=following)

    async def make_plan(self, call: ApiCall) -> BaseModel:
        syncs = list(dict.fromkeys(call.body.syncs))
        for sync in syncs:
            self._declared(sync)
        return await self._act(call, OperationKind.PLAN, ", ".join(syncs), {"syncs": syncs})

    async def approve_plan(self, call: ApiCall) -> BaseModel:
        return self._plan(await self._intake.approve(call.asker, call.path["plan"], call.body.reason))

    async def apply_plan(self, call: ApiCall) -> BaseModel:
        plan = call.path["plan"]
        return await self._act(call, OperationKind.APPLY, plan, {"plan": plan})

    async def run_sync(self, call: ApiCall) -> BaseModel:
        sync = self._declared(call.path["sync"])
        return await self._act(call, OperationKind.SYNC, sync, {"sync": sync})

    async def retry_sync(self, call: ApiCall) -> BaseModel:
        sync = self._declared(call.path["sync"])
        given = {"sync": sync} | ({"codes": call.body.codes} if call.body.codes else {})
        return await self._act(call, OperationKind.RETRY, sync, given)

    async def look_at_drift(self, call: ApiCall) -> BaseModel:
        sync = self._declared(call.path["sync"])
        given = {"sync": sync} | ({"resolve": call.body.resolve} if call.body.resolve else {})
        return await self._act(call, OperationKind.DRIFT, sync, given)

    async def roll_back(self, call: ApiCall) -> BaseModel:
        run = await self._read(lambda warehouse: _run(warehouse, call.path["run_id"]).run_id)
        return await self._act(call, OperationKind.ROLLBACK, run, {"run": run})

    async def enrich_one(self, call: ApiCall) -> BaseModel:
        body: bodies.EnrichmentBody = call.body
        if body.waterfall not in self._book.project.waterfalls:
            raise ServiceProblem("not-found", "There is no waterfall of this name.")
        given = {"waterfall": body.waterfall, "max_spend_usd": body.max_spend_usd}
        return await self._act(call, OperationKind.ENRICH, body.waterfall, given, private=body.inputs)

    async def erase_person(self, call: ApiCall) -> BaseModel:
        return await self._act(call, OperationKind.ERASE, None, {}, private=call.body.named())

    def _declared(self, sync: str) -> str:
        if sync not in {spec.name for spec in self._book.project.syncs(verified=False)}:
            raise ServiceProblem("not-found", "There is no sync of this name.")
        return sync

    async def _act(
        self,
        call: ApiCall,
        kind: OperationKind,
        subject: str | None,
        arguments: Mapping[str, Any],
        *,
        private: Mapping[str, str] | None = None,
    ) -> BaseModel:
        asked = json.dumps([kind, subject, arguments, private, call.body.reason], sort_keys=True)
        request = OperationRequest(
            kind=kind,
            subject=subject,
            arguments=arguments,
            private=private,
            reason=call.body.reason,
            key=hashlib.sha256(f"{call.asker.principal.token_id}\n{call.key}".encode()).hexdigest(),
            digest=hmac.new(call.secret.encode(), asked.encode(), "sha256").hexdigest(),
        )
        operation = await self._intake.accept(call.asker, request)
        deadline = self._clock.monotonic() + call.wait_s
        while operation.is_open and self._clock.monotonic() < deadline:
            await self._clock.sleep(_POLL_S)
            operation = self._runner.find(operation.operation_id) or operation
        return self._shown(operation)

    async def _read(self, read: Callable[[Warehouse], Any]) -> Any:
        def reading() -> Any:
            with self._door() as warehouse:
                return read(warehouse)

        return await self._offload(reading)


def _run(warehouse: Warehouse, run_id: str) -> RunRecord:
    found = runs.get_run(warehouse, run_id)
    if found is None:
        raise ServiceProblem("not-found", "There is no run of this id.")
    return found


def _run_answer(run: RunRecord) -> answers.RunAnswer:
    return answers.RunAnswer.model_validate(run)


def _operation(operation: ServiceOperation, plan: str | None, result: Any) -> answers.OperationAnswer:
    shown = answers.OperationAnswer.model_validate(operation)
    return shown.model_copy(update={"plan": plan, "result": result})


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _plain(value: Any) -> Any:
    """With nothing in it that JSON has no form for."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else str(value)
