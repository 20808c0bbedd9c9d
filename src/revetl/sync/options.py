"""What a sync is asked to do, apart from where it runs (`RunContext`) and what it syncs (`SyncSpec`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from revetl.sync.plan.planner import Planner
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.retry.queue import QueueFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """`limit`, `full_refresh` and `released` are of planning, the others of `run_sync` alone.

    released      of the retry queue, what is planned as if it had been released; the queue stays as it is
    dry_run       plan, describe, and send nothing; writes no row of `runs`
    limit         plan at most this many records
    full_refresh  plan every record of the model whole, and send every link, changed or not; stopped half-way, the next
                  run goes on with it
    allow         guardrails that may be passed, by their names; what they would have stopped is kept with the run
    confirm       shown the plan before anything is sent; False ends the run as stopped. None of a use case: nobody can
                  be asked, and no more than a few records are deleted
    planner       gives a plan that was made before, in place of a new one
    intent_rows   how many records a durable intent reaches ahead; None: as the destination's pace asks for
    """

    dry_run: bool = False
    limit: int | None = None
    full_refresh: bool = False
    released: Sequence[QueueFilter] = ()
    allow: Collection[str] = ()
    confirm: Callable[[PlanSummary], bool] | None = None
    planner: Planner | None = None
    intent_rows: int | None = None
