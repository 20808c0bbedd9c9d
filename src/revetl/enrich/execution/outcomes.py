"""What came of a call, as the ledger keeps it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from revetl.errors import CallError
from revetl.providers.base import Answer
from revetl.state.calls import CallOutcome, CallStatus

MILLIONTH = Decimal("0.000001")  # the ledger's unit


def answered(status: CallStatus, answer: Answer, at: datetime, response: object, request_id: str | None) -> CallOutcome:
    """The outcome row of an answer; `response` is what the ledger keeps of it."""
    credits = {name: count.quantize(MILLIONTH) for name, count in answer.credits.items()}
    return CallOutcome(
        status,
        at,
        answer.http_status,
        answer.charged_usd.quantize(MILLIONTH),
        answer.latency_ms,
        response,
        request_id,
        credits.get("charged"),
        credits.get("remaining"),
    )


def why(error: Exception | None) -> dict[str, object]:
    """For the ledger: the class and the vendor's words for it, never a message, which may quote a value."""
    if error is None:
        return {"error": "interrupted"}
    found: dict[str, object] = {"error": type(error).__name__}
    if isinstance(error, CallError):
        found |= {"code": error.code, "status": error.status}
    return found
