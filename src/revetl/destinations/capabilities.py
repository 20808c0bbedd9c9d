"""What a connector may add to the core, each a small protocol of its own. A connector has a capability by having its
methods; where it has some only with certain options, `connect` gives one class or another.

What the engine does without one, and says in every plan (`revetl.sync.plan.consequences`):

| without | follows |
|---|---|
| `LooksUp` | nothing is adopted: a record that is new to us is created, or upserted where the endpoint is idempotent |
| `LooksUpIds` | `match_on` can't be the id that the destination gave |
| `ReadsBack` | no field policies, no drift; no rollback either, where there is `LooksUp` |
| `LooksUp` and `ReadsBack` | a rollback is from our snapshot: it sends earlier values, unseen what stands there |
| `Links` | no `associate` |
| `ExclusiveLinks` | a link of ours that did not go along to a merged record is made there, whatever a person chose |
| `HasQuota` | the forecast counts requests and says no time |
| `ProbesAccess` | `revetl debug` tries that the credentials are valid, not what they may do |
| `TellsScopes` | `revetl debug` says nothing of scopes |
| `MakesKeyFields` | `key_property` names a field that is there already |
| `ProbesKeyFields` | a field for keys is made unsaid in the plan, and lacking rights show when it is |
| `MakesFields` | no `create_properties` |
| `Erases` | no `on_leave: erase` |
| `RunsJobs` | every batch goes by `write` |
| `PublishesRuns` | the same |
| `CopiesSetup` | a sandbox can't be made as the account is |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from revetl.destinations.base import DestinationField, FieldType, Pair, Quota, RecordMatch
from revetl.model import Change, Contents, Outcome, Scalar

if TYPE_CHECKING:
    import pyarrow as pa

# The records that one is linked to, by their ids, each with the kinds of link between the two.
LinkedRecords = Mapping[str, frozenset[int]]


@runtime_checkable
class LooksUp(Protocol):
    """Records can be found by the value of a field."""

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        """Which of these values exist, by the value as text in the destination's normal form (`normalise`). At most
        `lookup_rows` values. ConfigError where the field can't be looked up by."""
        ...


@runtime_checkable
class LooksUpIds(Protocol):
    """`look_up` also takes the id that the destination gave a record, so that a model may name records by it."""

    def id_field(self, object_: str) -> str:
        """The field under which `look_up` takes that id. `describe` has it, as read-only."""
        ...


@runtime_checkable
class ReadsBack(Protocol):
    """Records can be read by their id: what policies, rollback and drift need."""

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        """What stands there now, by the id that was asked for; ids that are gone (or archived) are absent. An id whose
        record was merged into another gives that other, with its own `destination_id`. At most `read_rows` ids."""
        ...


@runtime_checkable
class Links(Protocol):
    """Records can be tied to each other. Making a link that stands and removing one that doesn't change nothing."""

    async def link_types(self, object_: str, to_object: str) -> frozenset[int]:
        """The kinds of link from one object to another, by the vendor's ids; empty where records can't be linked."""
        ...

    async def implied_type(self, object_: str, to_object: str) -> int | None:
        """The kind that stands on a pair as soon as any other does (a link without a label); None where each
        kind stands by itself."""
        ...

    async def link(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        """Makes at most `link_rows` links. One outcome per pair. What is said of `write`'s exceptions holds."""
        ...

    async def unlink(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        """Removes at most `unlink_rows` links, as `link` makes them. A link that is not there counts as removed.

        Of a pair only this kind goes. The implied kind goes along where the pair is `alone` and no other kind is left
        on it; and it stays, answered as ok, where it is asked for and another kind still leans on it."""
        ...

    async def links_of(self, object_: str, to_object: str, ids: Sequence[str]) -> Mapping[str, LinkedRecords]:
        """The records that those of `ids` are linked to, and by which kinds, whoever made the links; an id without any
        may be absent. At most `link_read_rows` ids."""
        ...


@runtime_checkable
class ExclusiveLinks(Protocol):
    """Some kinds of link a record has only once: the primary company of a contact, say."""

    async def exclusive_types(self, object_: str, to_object: str) -> frozenset[int]:
        """The kinds that stand on at most one pair of each record of `object_`: making one takes it off the earlier."""
        ...


@runtime_checkable
class RunsJobs(Protocol):
    """Many records are handed over as one job, and what became of them is known later: a bulk upload. The engine uses
    it in place of `write` for plans of at least `jobs_from` records. It makes the job's id durable before it asks for
    the first time, so that a run which takes over follows the job and sends nothing again."""

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        """Hands over at most `job_rows` changes of one operation and gives the job's id, which must be all that another
        process needs to follow it. Raises as `write`; Rejected: the job is refused whole, and nothing is applied."""
        ...

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        """Asks once how the job stands, without waiting: None while it runs, afterwards one outcome for each change
        that was submitted. Repeating is safe. Rejected: the job failed, and nothing of it was applied. Ambiguous: the
        vendor does not know the job any more. Any other CallError: not to be told now; it is asked again later."""
        ...


# The column of a published row that says what was done with its record: create, update or delete.
OPERATION = "_op"
# Hands every batch of rows, in order, to a function that it calls in a thread. Can be called again: the same rows.
RowFeed = Callable[[Callable[["pa.RecordBatch"], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A run whose rows are published. `run_id` sorts by time and has only letters, digits, `.` and `-`. `started_at` is
    aware. `key`: the column that names a record. `json_columns`: those whose text is JSON. `contents`: `changes`, rows
    with `OPERATION` first, a deleted record having nothing but its key; or `full`, every
    record that stands after the run, without it."""

    run_id: str
    sync: str
    started_at: datetime
    key: str
    json_columns: frozenset[str]
    contents: Contents


@runtime_checkable
class PublishesRuns(Protocol):
    """What a run sends is handed over as a whole, once: as a file. The engine uses it in place of `write` for every
    plan, a rollback's too. Before it is called for the first time the run is durable as one to be published, and its
    rows stand frozen in the warehouse; so a run that takes over publishes the very same, before anything else."""

    def contents(self, object_: str) -> Contents:
        """Which rows are wanted."""
        ...

    async def publish(self, object_: str, run: PublishedRun, rows: RowFeed) -> None:
        """Returns once all of it can be seen there. Repeating it for the same run MUST change nothing there, also from
        two processes at once. Denied, Throttled, Unavailable, Rejected: certainly nothing of this run can be seen, now
        or later, and the run is given up. Anything else that is raised: some of it may be seen, so the next run calls
        again for this one."""
        ...


@runtime_checkable
class KeepsKeys(Protocol):
    """What is created there carries our key, so that creating it again finds it, whatever else has changed."""

    def keeps_key(self, object_: str, match_on: str | None) -> bool:
        """Of creates matched by this field. Asks nothing; certain once `describe` was called."""
        ...


@runtime_checkable
class NeedsRecords(Protocol):
    """Beside what changed, the rest of the row is needed: in an address, or since a write replaces the record. Not for
    jobs."""

    def needs_record(self, object_: str) -> bool:
        """Whether `Change.record` and `Change.after` are to be filled in."""
        ...

    def replaces_record(self, object_: str) -> bool:
        """Whether an update is of all fields: then no field can be left to what people wrote there."""
        ...


@runtime_checkable
class MakesKeyFields(Protocol):
    """A unique field that holds a sync's keys can be made where the object has none of that name."""

    async def make_key_field(self, object_: str, name: str) -> None:
        """Afterwards it stands, is unique, and `describe` has it. Repeating is safe. ConfigError where it can't be."""
        ...


@runtime_checkable
class ProbesKeyFields(Protocol):
    """Whether a sync would have to make a field for its keys is known before it does."""

    async def key_field_to_make(self, object_: str, match_on: str | None) -> str | None:
        """The field that is made before, or with, the first record that is matched by `match_on`; None where none is.
        Changes nothing. Denied where the credentials do not suffice for making it."""
        ...


@runtime_checkable
class MakesFields(Protocol):
    """A field can be made for a column of which the object has none. The engine asks for those that a sync names."""

    def new_field(self, object_: str, name: str, type_: FieldType) -> DestinationField:
        """The field as it would be. Asks nothing. ConfigError where the destination takes no such name or type."""
        ...

    async def try_making_field(self, object_: str) -> None:
        """Denied where the credentials do not suffice for making one. Changes nothing."""
        ...

    async def make_field(self, object_: str, name: str, type_: FieldType) -> None:
        """Afterwards it stands and `describe` has it, whoever made it. Repeating is safe. ConfigError where it can't be
        made, or where one of another type stands there by now."""
        ...


@runtime_checkable
class Erases(Protocol):
    """Records can be erased for good: neither the vendor nor its user brings one back."""

    def erases(self, object_: str) -> bool:
        """Whether `write` takes deletes of this object with `Change.erase`, `Limits.erase_rows` a call. The outcome of
        one that went through, or may have, has the code ERASED. A record that is gone already is ok, as of a delete."""
        ...


@runtime_checkable
class HasQuota(Protocol):
    """The account's limits are known, so that a plan can say how long it takes."""

    def quota(self, object_: str, match_on: str | None) -> Quota:
        """What is known of it so far: asks nothing. Better once `describe` was called."""
        ...


@runtime_checkable
class ProbesAccess(Protocol):
    """Whether the credentials suffice for a sync can be tried without changing anything."""

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        """What is missing, a sentence each; empty where all that a sync of this object does would be let in. Sends only
        requests that change nothing."""
        ...


@dataclass(frozen=True, slots=True)
class TokenScopes:
    """Names of scopes, as the vendor has them. `needed`: the least that a sync takes; `granted`: those of the token, by
    the vendor's own word, None where it gives none."""

    needed: tuple[str, ...]
    granted: frozenset[str] | None

    @property
    def missing(self) -> tuple[str, ...]:
        """By their names alone: an older scope of another name may let the same in."""
        return () if self.granted is None else tuple(s for s in self.needed if s not in self.granted)


@runtime_checkable
class TellsScopes(Protocol):
    """What a token may do has names, and the vendor may say which of them it has."""

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        """Of a sync that writes `object_` and links its records to those of `others`, or names them in a field.
        `makes_fields`: it makes fields too. Changes nothing."""
        ...


@runtime_checkable
class TellsTls(Protocol):
    """How its connections are encrypted is known."""

    @property
    def tls_version(self) -> str | None:
        """Of the connection that was opened last, as `TLSv1.3`; None where none was, or it was not encrypted."""
        ...


@runtime_checkable
class CopiesSetup(Protocol):
    """What an account is made of can be copied, so that a sandbox is made as the account is."""

    async def copy_setup(self) -> tuple[dict[str, Any], list[str]]:
        """JSON that the vendor's sandbox takes, without a record, and a sentence for each part that the credentials do
        not suffice for: it is left out. Changes nothing; safe to repeat."""
        ...


@runtime_checkable
class CountsRequests(Protocol):
    """Requests are counted, so that a run can say how many it took."""

    @property
    def requests(self) -> int:
        """Sent so far, retries included."""
        ...

    @property
    def retries(self) -> int: ...


def write_only(destination: object) -> bool:
    """Whether nothing that stands there can be seen: neither looked up nor read back."""
    return not isinstance(destination, LooksUp | ReadsBack)


def requests_of(destination: object) -> tuple[int, int]:
    """(requests, retries) so far; zeros where the connector does not count them."""
    return (destination.requests, destination.retries) if isinstance(destination, CountsRequests) else (0, 0)
