"""What counts as a failure of a saga: records and links that were refused, now or before, and still wait; records that
can't be sent, for nothing says which record they are; records of which nobody knows what became. What a person decided,
and any other that is withheld with its reason, is none.

Of a plan the same is counted before anything is sent, as far as the plan knows it.
"""

from __future__ import annotations

from collections.abc import Mapping

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ReadsBack, write_only
from revetl.state.outcomes import NO_IDENTITY
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.report import SyncReport

_REFUSED = ("rejected", "unknown")


def of_report(report: SyncReport) -> int:
    """After a run. What waits is judged, so a record that was refused weeks ago counts until it goes through."""
    waiting = _waiting(report.waiting, report.waiting_reasons)
    unanswered = report.counts.get("unknown", 0) + report.counts.get("links_unknown", 0)
    return waiting + unanswered + sum(report.links_refused.values())


def foreseen(plan: PlanSummary) -> dict[str, int]:
    """Before a run: what becomes of records, as a sentence goes on → how many. They were refused and their rows are as
    they were then, so each would have to go through; or the plan knows that they will not go through."""
    before = _waiting(plan.waiting_for, plan.waiting_reasons)
    before += sum(plan.again.values()) + sum(plan.links.refused.values())
    found = {
        "were refused before and stand as they did": before,
        "hold what is no option there": plan.no_option,
    }
    found |= {f"can't be sent ({reason})": n for reason, n in plan.refused.items()}
    return {said: n for said, n in found.items() if n}


def _waiting(statuses: Mapping[str, int], reasons: Mapping[str, int]) -> int:
    return sum(statuses.get(status, 0) for status in _REFUSED) + reasons.get(NO_IDENTITY, 0)


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
