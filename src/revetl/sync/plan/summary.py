"""A frozen plan in numbers: printed by the command line, given as JSON, saved with the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from revetl.model import Scalar
from revetl.sync.links.link_plan import LinkChange
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.plan.basis import PlanBasis
from revetl.sync.plan.forecast import PlanForecast
from revetl.sync.plan.guardrails import GuardrailViolation


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One line of a plan, for people: field → (before, after). `outcome`: decided when it was planned, so nothing is
    sent; `ok` where nothing is left to do, else the line is withheld and `reason` and `note` say why."""

    key: str
    op: str
    destination_id: str | None
    fields: Mapping[str, tuple[Scalar, Scalar]]
    note: str | None = None
    outcome: str | None = None
    reason: str | None = None
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class ValueMove:
    """A unique value that one record gives up and another is given. `vacated`: it is taken from the giver before
    anything else is sent, since the values move in a circle."""

    field: str
    value: str
    giver: str
    taker: str
    vacated: bool


class Refresh(Enum):
    """Which records a plan looks at beside those that differ from the snapshot."""

    NONE = "none"
    READ_BACK = "read back"  # all, beside what stands there: the snapshot is older than that
    WHOLE = "whole"  # all, and every field of them is sent


@dataclass(kw_only=True)
class RecordCounts:
    """A plan's records."""

    source_rows: int = 0  # in the model
    snapshot_rows: int = 0  # known to stand at the destination, before this plan

    # Will be sent. `create`: not there yet. `adopt`: there already and new to us, becomes an update.
    create: int = 0
    adopt: int = 0
    update: int = 0
    delete: int = 0
    cleared: int = 0  # among the updates: left a mirror, and lose their values (`on_leave: clear`)

    # Have a line, and nothing is sent.
    matched: int = 0  # stand there equal, or are gone already: only remembered
    withheld: int = 0  # must not be sent
    reasons: dict[str, int] = field(default_factory=dict)  # why withheld → records

    # Have no line.
    unchanged: int = 0
    waiting: int = 0  # in the retry queue
    waiting_for: dict[str, int] = field(default_factory=dict)  # status in the retry queue → records
    waiting_reasons: dict[str, int] = field(default_factory=dict)  # error code, or what a person decided → records
    left: int = 0  # not in the model any more, and kept there
    absent: int = 0  # not at the destination, and mode `update` creates none
    suppressed: int = 0  # of people who were erased: in no other count

    # Are among the others.
    returned: int = 0  # left a model that holds only what differs, and came back: sent whole
    in_doubt: int = 0  # an earlier write of them may have been applied
    recovered: int = 0  # became in doubt just now, by recovery
    vacated: int = 0  # a unique field is emptied first, since values move in a circle
    again: dict[str, int] = field(default_factory=dict)  # create, adopt, … → records that were refused before
    erased: int = 0  # among `delete`: erased for good (`on_leave: erase`)
    cleared_again: int = 0  # among `cleared`: were refused before
    merged: int = 0  # stand under another id: somebody merged their record into another
    left_as_theirs: int = 0  # have a field that is not sent, for nothing says that what stands there is ours
    no_option: int = 0  # will be sent, hold what is no option there, and were not refused before: refused there
    refused: dict[str, int] = field(default_factory=dict)  # among `reasons`: as if they had been refused there
    found_again: int = 0  # stand under another id: archived or deleted there, and made again by somebody

    @property
    def deletions(self) -> int:
        """Records that are taken away at the destination, or lose their values there."""
        return self.delete + self.cleared

    @property
    def new_deletions(self) -> int:
        """Of them, those that nobody has agreed to yet: what was refused before was agreed to then."""
        return self.deletions - self.again.get("delete", 0) - self.cleared_again

    def add_waiting(self, found: Mapping[tuple[str, str], int]) -> None:
        """`found`: (status in the retry queue, reason) → records."""
        by_status, by_reason = Counter(self.waiting_for), Counter(self.waiting_reasons)
        for (status, reason), n in found.items():
            by_status[status] += n
            by_reason[reason] += n
        self.waiting_for, self.waiting_reasons = dict(sorted(by_status.items())), dict(sorted(by_reason.items()))
        self.waiting = sum(by_status.values())

    @property
    def changes(self) -> int:
        """Records that will be sent."""
        return self.create + self.update + self.adopt + self.delete

    @property
    def lines(self) -> int:
        """Records that have a line, sent or not."""
        return self.changes + self.matched + self.withheld


@dataclass(kw_only=True)
class FieldCounts:
    """A plan's fields, each with how many records it is counted in; fields with none are left out."""

    fields: dict[str, int] = field(default_factory=dict)  # will be sent
    kept: dict[str, int] = field(default_factory=dict)  # withheld by a field policy: what stands there is kept
    theirs: dict[str, int] = field(default_factory=dict)  # read back after a restore: differ, and are not known as ours
    held: dict[str, int] = field(default_factory=dict)  # withheld: another record has the value, or is given it
    unresolved: dict[str, int] = field(default_factory=dict)  # withheld: the record that it names is not there
    unresolved_links: dict[str, int] = field(default_factory=dict)  # column → links to records that are not there


@dataclass(kw_only=True)
class PlanSummary(RecordCounts, FieldCounts):
    """One flat document, also as JSON; what is counted stands in the two groups."""

    plan_id: str
    sync: str
    destination: str
    object: str
    samples: list[PlanLine] = field(default_factory=list)  # a few lines of each kind
    notes: list[str] = field(default_factory=list)  # what is worth knowing, a sentence each: no keys, no values
    examples: list[str] = field(default_factory=list)  # values that some of the notes are about, like the samples
    new_fields: dict[str, str] = field(default_factory=dict)  # `create_properties`, made first: name → type
    requests: int = 0  # writes that it takes
    forecast: PlanForecast | None = None  # None without a destination
    links: LinkCounts = field(default_factory=LinkCounts)  # counted apart from records
    link_samples: list[LinkChange] = field(default_factory=list)  # a few changes of each kind, where no run follows
    moved: int = 0  # unique values that one record gives up and another is given
    moves: list[ValueMove] = field(default_factory=list)  # a few of them, in their order
    waves: int = 1  # lines of a later wave are sent once all of an earlier one are answered
    full_refresh: bool = False  # everything is sent, changed or not, and `max_changed_share` is not asked
    read_back: bool = False  # the snapshot is older than what stands there: all was read, and what differs is sent
    consequences: list[str] = field(default_factory=list)  # hold for every run alike: what it can't do, metadata
    basis: PlanBasis = field(default_factory=PlanBasis)  # what was seen at the destination, and what is assumed
    violations: list[GuardrailViolation] = field(default_factory=list)  # guardrails that it breaks
    refused_access: list[str] = field(default_factory=list)  # the account would refuse what it sends
