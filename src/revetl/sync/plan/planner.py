"""Where a plan comes from, when it is not made anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from revetl.model import Relation
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.sync_run import SyncRun


@dataclass(frozen=True, slots=True)
class Planner:
    """`plan` puts the lines into `plan__<sync>` and describes them, under the lease and after recovery; field policies
    are then decided again, since time has passed. `links_from`: the keys and what they are linked to, where that is not
    the model as it stands now."""

    plan: Callable[[SyncRun], Awaitable[PlanSummary]]
    links_from: Relation | None = None
