"""The values that every layer shares. Imports nothing of ours.

Read together they are the story of one record: a `SyncSpec` says what should stand where, the plan holds one
`Change` per record that differs, the destination answers with exactly one `Outcome` per change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, NamedTuple

# What a warehouse cell may be when it leaves the warehouse. Never NaN, never numpy.
Scalar = str | int | float | bool | Decimal | date | datetime | bytes | None


class JsonText(str):
    """A nested value, as the text of its JSON: of a struct, a list, a map or a column of JSON. Who does not know it
    handles it as text."""

    __slots__ = ()


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Status(StrEnum):
    """What became of one record. `accepted`: the destination took it and does not apply it, or has not yet. `unknown`:
    it may have been applied and could not be read back."""

    OK = "ok"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Change(NamedTuple):
    """One line of a frozen plan. A tuple, since there is one per record sent and a dataclass costs three times as much.

    `ordinal` is dense from 0 and unique in the plan; `key` is the record's identity in our state, as text.
    `destination_id` is the id the destination gave, None while we do not know it: a destination that gives none and
    can't be searched deletes by `match_value`.
    `fields` are the values to send, only what changed (create: all that are not null). `match_value` is the value
    of the field that the sync creates through, sent or not. `in_doubt`: an earlier write of this record may have been
    applied. `erase`: of a delete, that the record is erased for good (`Erases`) and not archived.
    Only for a connector that `NeedsRecords`: `record` is the whole row as it then stands, of a delete as it stood;
    `after` is the run that last had an answer about this record, "" where there was none. A change that is repeated
    because its answer was lost has the same `after` as before, and no later change has it again.
    """

    ordinal: int
    key: str
    op: Operation
    destination_id: str | None
    fields: Mapping[str, Scalar]
    match_value: Scalar = None
    in_doubt: bool = False
    record: Mapping[str, Scalar] | None = None
    after: str = ""
    erase: bool = False


# The code of an accepted record of which the destination answered that another value stands than was sent.
NOT_APPLIED = "NOT_APPLIED"
# The code of a create that went through (ok), of which the destination answered that the record stood there before.
EXISTED = "EXISTED"
# The code of a delete that erased the record for good (ok), or may have (unknown).
ERASED = "ERASED"


@dataclass(slots=True)
class Outcome:
    """What became of one change; attributed by `ordinal`, never by position in a batch. `stands`: of a record that is
    accepted with the code NOT_APPLIED, field → what the destination answered that stands there; of one that was emptied
    for a hand-over, what it was given back. `in_row`: of a refusal,
    its cause is a value of the record itself that no account takes, so it is sent again once its row changes. Any other
    cause may be gone at any moment, and the record is tried again."""

    ordinal: int
    status: Status
    destination_id: str | None = None
    error_class: str | None = None
    error_code: str | None = None
    message: str | None = None
    attempts: int = 1
    stands: Mapping[str, Scalar] | None = None
    in_row: bool = False


FieldPolicy = Literal["always", "fill_blank", "forward_only"]
WhenNull = Literal["clear", "keep"]
OptionsRule = Literal["merge", "replace"]
Mode = Literal["upsert", "update", "insert", "mirror"]
OnLeave = Literal["archive", "clear", "ignore", "forget", "erase"]
# What a run can say of itself in a field of every record that it sends.
Metadata = Literal["synced_at", "first_synced_at", "run_id"]
# What a destination is given that takes a run as a whole: the records that changed, or every record that stands.
Contents = Literal["changes", "full"]


@dataclass(frozen=True, slots=True)
class Reference:
    """Which record a column names: that of the sync `to` with this key, or the one of `object` that is found by the
    field `match_on`. Its id is sent in place of the column's value."""

    to: str | None = None
    object: str = ""
    match_on: str = ""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one column is written. The default: whenever it changed, a null clears it, and options of a multi-select that
    people added stay."""

    policy: FieldPolicy = "always"
    when_null: WhenNull = "clear"
    references: Reference | None = None
    options: OptionsRule = "merge"


@dataclass(frozen=True, slots=True)
class Guardrails:
    """Shares are of the snapshot's rows, 0 to 1. `max_fill_drop`: by how much the share of rows in which a field has a
    value may fall from the snapshot to the model, 0.5 being from 90 % to 40 %. None: no limit. `deletes_declared`: a
    person wrote `max_deleted_share`, so as many need no further agreement. `max_unlinked_share`: of the links that we
    made or found there; None: `max_deleted_share` holds for them too. As many as `few_unlinked` always go on.
    `max_waiting`: refused records that may wait while a run ends well; nothing is stopped by it."""

    max_changed_share: float | None = None
    max_deleted_share: float | None = None
    min_rows: int = 1
    max_creates: int | None = None
    max_fill_drop: float | None = None
    deletes_declared: bool = False
    max_waiting: int = 0
    max_unlinked_share: float | None = None
    few_unlinked: int = 0


@dataclass(frozen=True, slots=True)
class Association:
    """Link each record to the record of sync `to` whose key stands in our column `by`; `type` is the vendor's id.
    `object` is what `to` writes into. With `match_on` the other record is of no sync: it is the one of `object` whose
    field `match_on` holds what stands in `by`, and `to` is a name for these (`looked_up_as`)."""

    to: str
    by: str
    type: int
    object: str = ""
    match_on: str | None = None


def looked_up_as(object_: str, match_on: str) -> str:
    """The name of the records of an object that are found by a field; no sync has such a one, for dbt allows no dot."""
    return f"{object_}.{match_on}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view of the warehouse. Parts are raw names: quoting is done where SQL is built."""

    schema: str
    name: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """One activation model into one object of one destination, as declared under `config.meta.revetl`.

    `columns` are the columns of the model in order, as its contract or its relation says; the ones to send are
    `sent_columns`: all but the key and the columns that only serve associations; `match_on` is always among them.
    `key_property`: the destination's field that holds our key beside them. No other sync of the object writes it.
    `create_properties`: columns for which a field is made where the destination has none of that name.
    `beside`: (name, `match_on`) of other syncs that create records of the object and name no such field.
    `where` names the declaring file for messages. `renamed_from`: the name under which its state was kept before.
    `redirects`: golden_id → current_golden_id, of keys that are over: who left since two became one is not removed.
    `metadata`: fields that tell of the run; they are no columns, so they make no record differ.
    """

    name: str
    relation: Relation
    destination: str
    object: str
    key: str
    match_on: str | None
    mode: Mode = "upsert"
    on_leave: OnLeave = "ignore"
    columns: tuple[str, ...] = ()
    fields: Mapping[str, FieldRule] = field(default_factory=dict)
    guardrails: Guardrails = Guardrails()
    associate: tuple[Association, ...] = ()
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    key_property: str | None = None
    create_properties: tuple[str, ...] = ()
    beside: tuple[tuple[str, str | None], ...] = ()
    where: str = ""
    renamed_from: str | None = None
    redirects: Relation | None = None

    @property
    def sent_columns(self) -> tuple[str, ...]:
        return self.sent_of(self.columns)

    def sent_of(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Of these columns of the model, those to send. A key that records are also found by is sent."""
        unsent = ({self.key} | {a.by for a in self.associate}) - {self.match_on}
        return tuple(c for c in columns if c not in unsent)

    @property
    def created_through(self) -> str | None:
        """The field by whose value a create that is repeated finds the record that the first one made."""
        return self.key_property or self.match_on

    @property
    def erases(self) -> bool:
        """Whether a record that left the model is erased for good, where `on_leave: archive` can be taken back."""
        return self.mode == "mirror" and self.on_leave == "erase"

    @property
    def forgets(self) -> bool:
        """Whether the model holds only what differs: a record that left it and comes back is sent again."""
        return self.on_leave == "forget"

    def rule(self, column: str) -> FieldRule:
        return self.fields.get(column, FieldRule())

    @property
    def references(self) -> Mapping[str, Reference]:
        """Of the columns that name records of another object."""
        return {name: rule.references for name, rule in self.fields.items() if rule.references is not None}

    @property
    def named_syncs(self) -> set[str]:
        """The other syncs whose records this one names by their keys, in fields and in links."""
        named = {a.to for a in self.associate if a.match_on is None}
        named |= {r.to for r in self.references.values() if r.to is not None}
        return named - {self.name}

    @property
    def looked_up(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """(object, field by which it is looked up) → our columns that name its records, of fields and of links."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for name, reference in self.references.items():
            if reference.to is None:
                found.setdefault((reference.object, reference.match_on), {})[name] = None
        for a in self.associate:
            if a.match_on is not None:
                found.setdefault((a.object, a.match_on), {})[a.by] = None
        return {target: tuple(columns) for target, columns in found.items()}


@dataclass(frozen=True, slots=True)
class SagaSpec:
    """Syncs that stand or fall together, in the order in which they run. `max_failures`: records and links that may
    fail in one run before what all of them wrote in it is taken back."""

    name: str
    syncs: tuple[str, ...]
    max_failures: int = 0


RunStatus = Literal["running", "done", "partial", "stopped", "failed", "interrupted"]


@dataclass(slots=True)
class RunRecord:
    """One row of `runs`.

    subject        the sync or the waterfall
    status         done, partial (rejected or unknown records, of this run or waiting), stopped (guardrail or budget),
                   failed, interrupted (signal or crash)
    overrides      guardrail that was overridden → what it would have stopped
    undoes         of a rollback, the run that it takes back
    invocation_id  of the command that it was part of, the same for all runs of one `revetl run`
    waiting        of a sync, why records stood in the retry queue at its end → how many
    """

    run_id: str
    command: str
    subject: str | None
    target: str
    started_at: datetime
    revetl_version: str
    finished_at: datetime | None = None
    status: RunStatus = "running"
    counts: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    retries: int = 0
    spend_usd: Decimal = Decimal(0)
    dbt_invocation_id: str | None = None
    error: str | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    undoes: str | None = None
    invocation_id: str | None = None
    waiting: dict[str, int] = field(default_factory=dict)
