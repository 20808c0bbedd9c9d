"""What a plan and a run tell: plain values, printed by the command line and given as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from revetl.model import RunStatus, Scalar
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.plan.forecast import Forecast
from revetl.sync.plan.guardrails import Violation


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a plan for people: field → (before, after). `settled`: not sent, and why (`reason`, `note`); `ok` is
    where nothing is left to do."""

    key: str
    op: str
    destination_id: str | None
    fields: Mapping[str, tuple[Scalar, Scalar]]
    note: str | None = None
    settled: str | None = None
    reason: str | None = None
    in_doubt: bool = False


@dataclass(slots=True)
class PlanSummary:
    """The counts of a frozen plan, in records. `adopt` are records that stand at the destination already and are new
    to us: they become updates. `matched` stand there equal (or are gone already): nothing is sent, they are only
    remembered. `held` will not be sent, by `reasons`; `waiting` were refused or undone before and come back when their
    row changes or on `revetl retry`, by `waiting_for`. `cleared`, among the updates, have left a mirror and lose their
    values. `left` have left the model and are kept, `absent` are not at the
    destination and are not created (mode update), `suppressed` are of people who were erased: they are in no other
    count. `in_doubt` are among the others, `recovered` became so just now. `fields`: field → records that will be sent
    it; `kept`: field → records where its policy keeps what stands there. `requests` are writes. `violations`:
    guardrails that it breaks. `links` count apart from the records. `full_refresh`: everything is sent, changed or not,
    and `max_changed_share` is not asked."""

    plan_id: str
    sync: str
    destination: str
    object: str
    source_rows: int = 0
    snapshot_rows: int = 0
    create: int = 0
    update: int = 0
    adopt: int = 0
    delete: int = 0
    cleared: int = 0
    unchanged: int = 0
    matched: int = 0
    held: int = 0
    waiting: int = 0
    waiting_for: dict[str, int] = field(default_factory=dict)
    left: int = 0
    suppressed: int = 0
    absent: int = 0
    in_doubt: int = 0
    recovered: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    requests: int = 0
    forecast: Forecast | None = None
    links: LinkCounts = field(default_factory=LinkCounts)
    full_refresh: bool = False
    violations: list[Violation] = field(default_factory=list)

    @property
    def deletions(self) -> int:
        """Records that are taken away at the destination, or lose their values there."""
        return self.delete + self.cleared

    @property
    def changes(self) -> int:
        """Records that will be sent."""
        return self.create + self.update + self.adopt + self.delete

    @property
    def lines(self) -> int:
        """Records of the plan, sent or not."""
        return self.changes + self.matched + self.held


@dataclass(slots=True)
class SyncReport:
    """One run of one sync. `counts`: outcome status → records. `not_sent`: planned, and not tried because the run
    stopped. `error` says why it stopped."""

    run_id: str
    sync: str
    status: RunStatus
    plan: PlanSummary
    counts: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0
    recovered: int = 0
    links_waiting: int = 0
    links_not_sent: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    dry_run: bool = False
