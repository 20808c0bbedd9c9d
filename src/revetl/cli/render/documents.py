"""What `--json` prints of what use cases return, as plain values. Money is text, exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revetl.enrich.ordering.compare import Comparison, Objective
    from revetl.enrich.report import EnrichReport
    from revetl.privacy.erasure import ErasureReport
    from revetl.sync import PlanSummary, SyncReport
    from revetl.sync.disconnect.disconnecting import DisconnectReport
    from revetl.sync.rollback.rolling_back import RollbackReport
    from revetl.usecases.debug import SetupCheck
    from revetl.usecases.enrich import EnrichResult
    from revetl.usecases.job import JobReport
    from revetl.usecases.tune import Tuning


def plan_document(plan: PlanSummary) -> dict[str, Any]:
    document = {**asdict(plan), "changes": plan.changes}
    if plan.forecast is not None:
        document["forecast"] |= {"requests": plan.forecast.requests, "seconds": plan.forecast.seconds}
    return document


def report_document(report: SyncReport) -> dict[str, Any]:
    return {**asdict(report), "plan": plan_document(report.plan)}


def disconnect_document(report: DisconnectReport) -> dict[str, Any]:
    document = asdict(report)
    if report.plan.changes is not None:
        document["plan"]["changes"]["changes"] = report.plan.changes.changes
    return document


def rollback_document(report: RollbackReport) -> dict[str, Any]:
    return {**asdict(report), "plan": {**asdict(report.plan), "changes": report.plan.changes}}


def job_document(report: JobReport) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "spend_usd": report.spend_usd,
        "stages": [asdict(s) for s in report.stages],
        "builds": [asdict(b) for b in report.builds],
        "waterfalls": [_waterfall(w) for w in report.waterfalls],
        "syncs": [report_document(s) for s in report.syncs],
    }


def _waterfall(report: EnrichReport) -> dict[str, Any]:
    return {**asdict(report), "asked": report.asked, "spent_usd": report.spent_usd, "exit_code": report.exit_code}


def enrich_document(result: EnrichResult) -> dict[str, Any]:
    return {
        "exit_code": result.exit_code,
        "columns": result.columns,
        "estimates": [
            {**asdict(e), "lookups": e.lookups, "expected_usd": e.expected_usd, "greatest_usd": e.greatest_usd}
            for e in result.estimates
        ],
        "waterfalls": [{**_waterfall(r), "filled": r.filled} for r in result.reports],
    }


def erasure_document(report: ErasureReport) -> dict[str, Any]:
    return {
        "erased": report.erased,
        "run_id": report.run_id,
        "records": [{"key": key, "found_in": where} for key, where in report.people.found.items()],
        "tables": report.tables,
        "destinations": [{"sync": sync, "destination_id": id_} for sync, id_ in report.people.standing],
    }


def tuning_document(tuning: Tuning, objective: Objective) -> dict[str, Any]:
    history = tuning.history
    return {
        "waterfall": tuning.spec.name,
        "objective": asdict(objective),
        "fields": list(history.fields),
        "providers": [
            {"name": candidate.name, **asdict(price)}
            for candidate, price in zip(history.candidates, history.prices, strict=True)
        ],
        "all": _comparison(tuning.whole),
        "segments": [_comparison(segment) for segment in tuning.segments],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """JSON has no infinity: a bound that is none is null."""
    document = {**asdict(comparison), "better": comparison.better}
    for line in document["lines"]:
        if line["bounds_usd"] is not None:
            line["bounds_usd"] = [None if usd == float("inf") else usd for usd in line["bounds_usd"]]
    return document


def checks_document(checks: Sequence[SetupCheck]) -> list[dict[str, Any]]:
    return [{"check": c.what, "ok": c.passed, "detail": c.detail} for c in checks]
