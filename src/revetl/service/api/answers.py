"""What the API answers with. Fields may be added; nothing else changes within /v1."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RunAnswer(_Answer):
    run_id: str
    command: str
    subject: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, int] = Field(description="Outcome → records.")
    waiting: dict[str, int] = Field(description="Why records stood in the retry queue at its end → how many.")
    requests: int
    spend_usd: Decimal
    error: str | None
    undoes: str | None
    invocation_id: str | None


class RunsAnswer(_Answer):
    runs: list[RunAnswer]
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class SyncAnswer(_Answer):
    name: str
    destination: str
    object: str
    mode: str
    last_run_id: str | None
    last_status: str | None
    sent_well_at: datetime | None = Field(description="When its last run that went well ended.")
    waiting: int = Field(description="Records in the retry queue.")
    next_run_at: datetime | None


class SyncsAnswer(_Answer):
    syncs: list[SyncAnswer]
    read_at: datetime = Field(description="Beside a run that has the database file it is of before.")


class OutcomeAnswer(_Answer):
    sync: str
    key: str
    op: str
    status: str
    destination_id: str | None
    error_class: str | None
    error_code: str | None
    message: str | None
    attempts: int
    before: dict[str, Any]
    after: dict[str, Any]
    at: datetime


class OutcomesAnswer(_Answer):
    outcomes: list[OutcomeAnswer]
    next: str | None


class ReasonAnswer(_Answer):
    status: str
    code: str
    example: str
    records: int


class RunDetailAnswer(_Answer):
    run: RunAnswer
    reasons: list[ReasonAnswer] = Field(description="What did not go through, the most frequent first.")


class RecordAnswer(_Answer):
    key: str
    sections: dict[str, list[dict[str, Any]]] = Field(description="What `revetl explain` shows: title → rows.")


class ApprovalAnswer(_Answer):
    name: str
    at: datetime
    reason: str | None


class PlanAnswer(_Answer):
    plan: str = Field(description="Its id: the digest of the document.")
    created_at: datetime
    created_by: str
    approvals: list[ApprovalAnswer]
    approvals_needed: int
    applied_by: str | None = Field(description="The last operation that was to send it.")
    syncs: list[dict[str, Any]] = Field(
        description="Per sync counts, fields, reasons and guardrails; no key, no value."
    )


class PlansAnswer(_Answer):
    plans: list[PlanAnswer]


class OperationAnswer(_Answer):
    operation_id: str
    kind: str
    subject: str | None
    status: str = Field(description="waiting, running; done, partial, stopped, failed, interrupted")
    said: str | None
    asked_by: str
    asked_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    plan: str | None = Field(default=None, description="Of a plan that was made: its id.")
    result: Any = Field(
        default=None, description="Of one about a person: what it gave, as long as the service keeps it in memory."
    )


class OperationsAnswer(_Answer):
    operations: list[OperationAnswer]


class AuditEventAnswer(_Answer):
    event_id: str
    at: datetime
    actor: str
    origin: str
    action: str
    subject: str | None
    details: dict[str, Any]
    reason: str | None
    outcome: str
    invocation_id: str | None
    operation_id: str | None


class AuditAnswer(_Answer):
    events: list[AuditEventAnswer]
    next: str | None
