"""What is chosen for one run of a waterfall, beside what the waterfall itself declares."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from revetl.enrich.project_budget import NO_PROJECT_BUDGET, ProjectBudget
from revetl.enrich.report import Estimate, OnProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallOptions:
    """The same for a forecast and for the run that it foresees.

    max_spend_usd  the most that the run may cost, in US dollars; the waterfall's own budget holds beside it. None: only
                   that one
    limit          look at the first so many records by key only; None: at all
    entity_name    what values are kept under; None: the entity that the waterfall names. A list has a name of its own
    on_progress    is called after answers were written; a forecast never calls it
    foreseen       the forecast that was agreed to. It is kept with the run, so that the two can be compared
    project_budget  what all waterfalls may spend together, and in which time zone a day begins
    """

    max_spend_usd: Decimal | None = None
    limit: int | None = None
    entity_name: str | None = None
    on_progress: OnProgress | None = None
    foreseen: Estimate | None = None
    project_budget: ProjectBudget = NO_PROJECT_BUDGET
