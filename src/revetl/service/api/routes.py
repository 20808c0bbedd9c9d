"""The one table of `/v1`: what is answered, documented and checked comes from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pydantic import BaseModel

from revetl.accounts.roles import Right
from revetl.service.api import answers, bodies


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRoute:
    """`handler`: the method of `revetl.service.api.handlers.ApiHandlers`. `act`: it needs an Idempotency-Key and is
    answered with an operation. `deprecated`, `sunset`: since when it is to go, and when it does; `successor`: the path
    that takes its place."""

    method: str
    path: str
    handler: str
    summary: str
    right: Right
    answer: type[BaseModel]
    query: type[BaseModel] = bodies.NoQuery
    body: type[BaseModel] | None = None
    act: bool = False
    status: int = 200
    deprecated: date | None = None
    sunset: date | None = None
    successor: str | None = None

    def headers(self) -> dict[str, str]:
        """RFC 9745, RFC 8594, RFC 8288."""
        found = {}
        if self.deprecated is not None:
            found["Deprecation"] = f"@{int(_midnight(self.deprecated).timestamp())}"
        if self.sunset is not None:
            found["Sunset"] = f"{_midnight(self.sunset):%a, %d %b %Y %H:%M:%S} GMT"
        if self.successor is not None:
            found["Link"] = f'<{self.successor}>; rel="successor-version"'
        return found


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _get(path: str, handler: str, summary: str, answer: type[BaseModel], query: type[BaseModel]) -> ApiRoute:
    return ApiRoute(
        method="GET", path=path, handler=handler, summary=summary, right=Right.READ, answer=answer, query=query
    )


def _act(path: str, handler: str, summary: str, body: type[BaseModel], right: Right = Right.ACT) -> ApiRoute:
    return ApiRoute(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        right=right,
        answer=answers.OperationAnswer,
        body=body,
        act=True,
        status=202,
    )


ROUTES: Sequence[ApiRoute] = (
    _get("/v1/syncs", "list_syncs", "Syncs and how their last run went.", answers.SyncsAnswer, bodies.NoQuery),
    _get("/v1/runs", "list_runs", "Runs, the newest first.", answers.RunsAnswer, bodies.PageQuery),
    _get("/v1/runs/{run_id}", "show_run", "One run.", answers.RunDetailAnswer, bodies.NoQuery),
    _get(
        "/v1/runs/{run_id}/outcomes",
        "list_outcomes",
        "What became of each record of a run, by key.",
        answers.OutcomesAnswer,
        bodies.OutcomesQuery,
    ),
    _get(
        "/v1/records/{key}", "explain_record", "All that is known of one record.", answers.RecordAnswer, bodies.NoQuery
    ),
    _get(
        "/v1/plans", "list_plans", "Plans saved for review, the newest first.", answers.PlansAnswer, bodies.LimitQuery
    ),
    _get("/v1/plans/{plan}", "show_plan", "One saved plan.", answers.PlanAnswer, bodies.NoQuery),
    _get(
        "/v1/operations",
        "list_operations",
        "What was asked, the newest first.",
        answers.OperationsAnswer,
        bodies.LimitQuery,
    ),
    _get(
        "/v1/operations/{operation_id}", "show_operation", "What became of it.", answers.OperationAnswer, bodies.NoQuery
    ),
    ApiRoute(
        method="GET",
        path="/v1/audit",
        handler="list_audit",
        summary="Who did what, the newest first.",
        right=Right.DECIDE,
        answer=answers.AuditAnswer,
        query=bodies.AuditQuery,
    ),
    _act("/v1/plans", "make_plan", "Plan syncs, and save the plan for review.", bodies.PlanBody),
    ApiRoute(
        method="POST",
        path="/v1/plans/{plan}/approvals",
        handler="approve_plan",
        summary="Agree to a plan of somebody else. Safe to repeat.",
        right=Right.DECIDE,
        answer=answers.PlanAnswer,
        body=bodies.ReasonBody,
    ),
    _act("/v1/plans/{plan}/apply", "apply_plan", "Send exactly what was planned.", bodies.ReasonBody),
    _act("/v1/syncs/{sync}/runs", "run_sync", "Send what changed.", bodies.ReasonBody),
    _act("/v1/syncs/{sync}/retries", "retry_sync", "Send again what was refused.", bodies.RetryBody),
    _act("/v1/syncs/{sync}/drift", "look_at_drift", "Compare with what stands at the destination.", bodies.DriftBody),
    _act("/v1/runs/{run_id}/rollback", "roll_back", "Take back what a run wrote.", bodies.ReasonBody),
    _act("/v1/enrichments", "enrich_one", "Fill the gaps of one person or company.", bodies.EnrichmentBody),
    _act("/v1/erasures", "erase_person", "Forget a person.", bodies.ErasureBody, Right.DECIDE),
)
