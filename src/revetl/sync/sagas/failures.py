"""What counts as a failure of a saga: records and links that were refused, now or before, and still wait; records of
which nobody knows what became. What a person decided, and what is withheld with its reason, is none."""

from __future__ import annotations

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ReadsBack, write_only
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.report import SyncReport

_REFUSED = ("rejected", "unknown")


def of_report(report: SyncReport) -> int:
    """After a run. What waits is judged, so a record that was refused weeks ago counts until it goes through."""
    waiting = sum(report.waiting.get(status, 0) for status in _REFUSED)
    unanswered = report.counts.get("unknown", 0) + report.counts.get("links_unknown", 0)
    return waiting + unanswered + sum(report.links_refused.values())


def foreseen(plan: PlanSummary) -> int:
    """Before a run: records that were refused and whose rows are as they were then. Each would have to go through."""
    waiting = sum(plan.waiting_for.get(status, 0) for status in _REFUSED)
    return waiting + sum(plan.again.values()) + sum(plan.links.refused.values())


def stops(report: SyncReport) -> str | None:
    """Why the run did not come to its end, where it did not; None also where somebody stopped it, since then the next
    one goes on. Without the vendor's words, which may name a person: they stand with the run."""
    if report.status in ("failed", "stopped"):
        return f"{report.sync} stopped, see run {report.run_id[-6:]}"
    return None


async def why_not_undone(destination: Destination, object_: str) -> str | None:
    """Why what is sent there can't be taken back; None where it can."""
    if (await destination.describe(object_)).kind == "events":
        return "events are only added"
    if not write_only(destination) and not isinstance(destination, ReadsBack):
        return "it can't be read back by id"
    return None
