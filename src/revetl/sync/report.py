"""What a run of a sync says at its end: plain values, printed by the command line and given as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from revetl.model import RunStatus
from revetl.sync.plan.summary import PlanSummary


@dataclass(slots=True)
class DoneCounts:
    """What became of the records that the plan was to send: they add up to its `changes`. `created` to `deleted`: the
    destination applied it. What was decided when it was planned (withheld, matched) is not among them."""

    created: int = 0
    adopted: int = 0  # were there already and were new to us: updated
    updated: int = 0
    deleted: int = 0
    accepted: int = 0  # taken, and not applied or not yet
    rejected: int = 0
    skipped: int = 0  # by the connector
    unknown: int = 0
    not_sent: int = 0  # the run stopped before them, or a job of them still runs

    @property
    def sent(self) -> int:
        """Records that were answered for, whatever the answer."""
        answered = self.created + self.adopted + self.updated + self.deleted + self.accepted
        return answered + self.rejected + self.skipped + self.unknown


@dataclass(slots=True)
class SagaEnd:
    """How far a saga is after this command. `cause`: why it is undone. `restored`: records and links that are as before
    its runs. `left`: sync → records that are not, since somebody edited them or the destination refused. `stays`: sync
    → why nothing of it could be taken back. `waits`: of one that is done, sync → records that stand as they did before,
    since they were rolled back and nobody has released them."""

    saga: str
    step: str  # done, undone; applying, undoing: the next run goes on with it
    cause: str | None = None
    restored: int = 0
    left: dict[str, int] = field(default_factory=dict)
    stays: dict[str, str] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class SyncReport:
    """One run of one sync. `plan` is what was to be done, `done` what was."""

    run_id: str
    sync: str
    status: RunStatus
    plan: PlanSummary
    counts: dict[str, int] = field(default_factory=dict)  # outcome status → records; of links `linked` and so on
    not_applied: dict[str, int] = field(default_factory=dict)  # field → accepted records in which another value stands
    not_sent: int = 0  # planned, and not tried because the run stopped
    recovered: int = 0  # became in doubt, left behind by a run that never finished
    done: DoneCounts = field(default_factory=DoneCounts)
    given_up: int = 0  # among `recovered`: of jobs of earlier runs that can't be followed any more
    followed: dict[str, int] = field(default_factory=dict)  # outcome status → records of jobs of earlier runs
    jobs_running: int = 0  # at the destination, to be followed by the next run; their records are among `not_sent`
    waiting: dict[str, int] = field(default_factory=dict)  # status in the retry queue → records, after this run
    waiting_reasons: dict[str, int] = field(default_factory=dict)  # the same by error code, or what a person decided
    unresolved: dict[str, int] = field(default_factory=dict)  # field → records that wait for the one that it names
    links_waiting: int = 0  # lack a record at the destination
    links_unresolved: dict[str, int] = field(default_factory=dict)  # of them, column → it was looked for by a field
    links_refused: dict[str, int] = field(default_factory=dict)  # error code → links that wait after this run
    links_not_sent: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    error: str | None = None  # why it stopped
    destination_stopped: bool = False  # that holds for every sync of its destination
    exit_code: int = 0
    dry_run: bool = False
    saga: SagaEnd | None = None  # that it is part of
    held_by_saga: int = 0  # records, of a sync that is in no saga: one that it was in was undone, and they wait since
