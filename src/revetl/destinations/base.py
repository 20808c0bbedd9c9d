"""What the sync engine asks of a destination: a core that every connector has. What a connector may add is in
`revetl.destinations.capabilities`.

Who batches is said once, here: the engine. It hands a connector at most as much as `limits` declares and keeps at most
`concurrency` calls under way; pacing, retry and the circuit breaker are the HTTP session's. A connector cuts further
only where its vendor counts something else than records (the length of a query).

Duties of a connector:
- `write` MUST give exactly one outcome per change, attributed by `ordinal`. What the vendor did not answer for is
  `unknown`, never `ok`.
- A record that the vendor refuses MUST NOT cost another: answer `rejected` for it by its `ordinal`. Where the vendor
  refuses the call as a whole, raise Rejected, which says that nothing of this call was applied: the engine halves the
  batch until the culprit stands alone, whether or not `atomic` is set.
- A refusal says what of it lies in the record's own values (`in_row` of the outcome, or of what is raised): an address
  or a number that no account takes. Such a record waits for its row to change. What is not certain to lie there (an
  option, an owner, a scope, another record that has the value) is left out: it is tried again by itself.
- `atomic` says that a call can't answer per record at all: every refusal is then a raised Rejected, and the plan says
  so beforehand.
- `Denied`, `Throttled` and `Unavailable` leave as exceptions (nothing was applied); a lost answer is `Ambiguous`
  from an endpoint that is not idempotent, and is repeated by the session where the endpoint is.
- Where some sub-calls of one `write` were applied and then the vendor denies, throttles or is away, do not raise: give
  the outcomes that are known, and `unknown` for every change that may have been applied or was not reached. Raise only
  where certainly nothing of this call was applied.
- An outcome's `destination_id` is the id that the vendor's answer gave, and None where it gave none (refused, lost):
  the engine has the one that the change named.
- A delete of a record that is gone already is `ok`: a repeat after a lost answer must not be refused.
- Values arrive in `Change.fields` as str, int, float, bool, Decimal, date, datetime, bytes or None; None means "clear
  this field". The connector makes them what its vendor takes: `json` knows neither Decimal, dates nor bytes. A nested
  value is a `JsonText`, which beside columns of JSON only fields of the types `json` and `any` are handed; its normal
  form is of its content, without the order of keys and without spacing. `look_up` and `read_back` give values as the
  vendor stores them; `normalise` makes both comparable.
- What the vendor took and does not apply, or has not yet, is `accepted`: shown apart from `ok`, and not sent again
  until its row changes.
- Nothing sleeps and nothing reads the environment in `write`: time and secrets were handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from revetl.http import Rate
from revetl.model import Change, Operation, Outcome, Scalar

# `json` takes JSON: a column of text is read as such. `any` takes whatever a column holds, text as text. Into all
# others no struct, list or map may go.
FieldType = Literal["string", "number", "bool", "date", "datetime", "enum", "multi_enum", "json", "any"]

# The members of `Destination`: what the registry looks for in what a connector gives.
CORE = ("__aenter__", "__aexit__", "check", "describe", "limits", "normalise", "idempotent", "write")


@dataclass(frozen=True, slots=True)
class DestinationField:
    """A field of a destination's object. `options` are the internal values of an enumeration, in the order in which the
    destination shows them. `unique`: no two records have one value, so a value that another has is refused.
    `vacatable`: it may be empty for a while on a record that is updated by its id, so that two records can exchange
    their values. `only_forward`: the destination takes a step back in that order and does not apply it."""

    name: str
    type: FieldType
    read_only: bool = False
    unique: bool = False
    options: tuple[str, ...] = ()
    vacatable: bool = False
    only_forward: bool = False


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """What an object is made of. `kind`: records can be changed; events can only be added. `event_id`: the field by
    which the destination recognises an event that it has already; None where it would take it twice. `required`: field
    → what for; without a column of that name nothing can be sent."""

    fields: Mapping[str, DestinationField]
    kind: Literal["records", "events"] = "records"
    event_id: str | None = None
    required: Mapping[str, str] = field(default_factory=dict)


# `Limits.jobs_from` of an object that is never sent by jobs.
NO_JOBS = 2**62


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one call takes, and how many calls may be under way at once.

    batch_rows      changes per `write`, all of one operation
    delete_rows     deletes per `write`; None: as `batch_rows`. 1 where the vendor takes one delete per call
    erase_rows      deletes per `write` of a sync that erases for good (`Erases`)
    concurrency     calls under way at once
    lookup_rows     values per `look_up`
    read_rows       ids per `read_back`
    link_rows       links per `link`, `unlink_rows` per `unlink`; `link_read_rows` ids per `links_of`
    atomic          a `write` is applied whole or not at all, and is refused only by raising Rejected
    batch_bytes     bytes of the values of one `write`, as text in UTF-8; a change that is larger goes alone
    job_rows        of a connector that runs jobs: changes per `submit`
    job_bytes       bytes of the values of one `submit`
    jobs_from       plans of at least so many changes go by jobs, smaller ones by `write`; `NO_JOBS`: all of them
    """

    batch_rows: int
    concurrency: int
    lookup_rows: int = 100
    read_rows: int = 100
    link_rows: int = 100
    unlink_rows: int = 100
    link_read_rows: int = 100
    atomic: bool = False
    job_rows: int = 10_000
    jobs_from: int = 1
    delete_rows: int | None = None
    erase_rows: int = 1
    batch_bytes: int = 4 * 2**20
    job_bytes: int = 64 * 2**20

    def write_rows(self, op: Operation) -> int:
        """Changes of this operation per `write`."""
        return self.delete_rows if op is Operation.DELETE and self.delete_rows is not None else self.batch_rows


@dataclass(frozen=True, slots=True)
class Quota:
    """What the account allows, for a forecast. How fast it may be looked up, read and written; None: no limit that is
    known. `daily_limit` and `daily_left` in requests; `daily_left` is the vendor's own word, None where it has not
    said. `notes`: what of this is assumed, for people."""

    lookup: Rate | None = None
    read: Rate | None = None
    write: Rate | None = None
    daily_limit: int | None = None
    daily_left: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordMatch:
    """A record that already stands at the destination; `fields` as asked for. `created_at`: aware, by the vendor's
    clock; None where it does not say. `also`: field → further values by which the record is found as by the field's own
    (a contact's other addresses, the domains of companies that were merged into this one). `former_ids`: those of
    records that were merged into this one, as far as the vendor tells."""

    destination_id: str
    fields: Mapping[str, Scalar]
    created_at: datetime | None = None
    also: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    former_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records to be linked or unlinked, by their ids there. Answered for by `ordinal`. `alone`: nothing tied the
    two before we did, so what our kind of link brought along is ours to remove as well."""

    ordinal: int
    from_id: str
    to_id: str
    alone: bool = False


class Destination(Protocol):
    """One account of one vendor. An async context manager: entering opens the session and asks the vendor nothing,
    leaving closes it."""

    async def __aenter__(self) -> Destination: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def check(self) -> str:
        """A cheap authenticated call; a line for people ("portal 123, 190 requests per 10 s"). Denied if refused."""
        ...

    async def describe(self, object_: str) -> ObjectSchema:
        """ConfigError where the object is unknown. Called before anything else is asked about the object."""
        ...

    def limits(self, object_: str) -> Limits: ...

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        """The form in which the destination compares this field (emails in lower case). Two values of one form are one:
        the second is not sent where the first stands. Null has the form of the empty text where both are one.
        ValueError where the value has none there."""
        ...

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        """Whether a create through `match_on` can be repeated without a second record."""
        ...

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """Applies up to `batch_rows` changes of one operation. Creates without an id go through `match_on` where the
        vendor has an idempotent upsert for it. Rejected: the call was refused as a whole and nothing of it was applied;
        the engine halves it."""
        ...
