"""What a run of a sync says at its end: plain values, printed by the command line and given as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from revetl.model import RunStatus
from revetl.sync.plan.summary import PlanSummary


@dataclass(slots=True)
class SyncReport:
    """One run of one sync."""

    run_id: str
    sync: str
    status: RunStatus
    plan: PlanSummary
    counts: dict[str, int] = field(default_factory=dict)  # outcome status → records; of links `linked` and so on
    not_applied: dict[str, int] = field(default_factory=dict)  # field → accepted records in which another value stands
    not_sent: int = 0  # planned, and not tried because the run stopped
    recovered: int = 0  # became in doubt, left behind by a run that never finished
    followed: dict[str, int] = field(default_factory=dict)  # outcome status → records of jobs of earlier runs
    jobs_running: int = 0  # at the destination, to be followed by the next run; their records are among `not_sent`
    links_waiting: int = 0  # lack a record at the destination
    links_not_sent: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    error: str | None = None  # why it stopped
    exit_code: int = 0
    dry_run: bool = False
