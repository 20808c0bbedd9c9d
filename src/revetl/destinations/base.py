"""What the sync engine asks of a destination. A connector declares its limits; batching, concurrency, pacing and
retry are the engine's and the HTTP session's.

Duties of a connector:
- `write` MUST give exactly one outcome per change, attributed by `ordinal`. What the vendor did not answer for is
  `unknown`, never `ok`.
- A record that the vendor refuses MUST NOT cost another: isolate it by trace id or by bisection.
- `Denied`, `Throttled` and `Unavailable` leave as exceptions (nothing was applied); a lost answer is `Ambiguous`
  from an endpoint that is not idempotent, and is repeated by the session where the endpoint is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from revetl.http import Rate
from revetl.model import Change, Outcome, Scalar

FieldType = Literal["string", "number", "bool", "date", "datetime", "enum", "multi_enum"]


@dataclass(frozen=True, slots=True)
class DestinationField:
    """A field of a destination's object. `options` are the internal values of an enumeration, in the order in which the
    destination shows them."""

    name: str
    type: FieldType
    read_only: bool = False
    unique: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch_rows` changes per write call, `concurrency` write calls at once; `link_rows` and `unlink_rows` links per
    request, for forecasts: `link` and `unlink` batch themselves."""

    batch_rows: int
    concurrency: int
    link_rows: int = 100
    unlink_rows: int = 100


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
class Match:
    """A record that already stands at the destination; `fields` as asked for. `created_at`: aware, by the vendor's
    clock; None where it does not say."""

    destination_id: str
    fields: Mapping[str, Scalar]
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records to be linked or untied, by their ids there. Answered for by `ordinal`."""

    ordinal: int
    from_id: str
    to_id: str


class Destination(Protocol):
    """One account of one vendor. An async context manager: entering opens the session, leaving closes it."""

    name: str

    async def __aenter__(self) -> Destination: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def check(self) -> str:
        """A cheap authenticated call; a line for people ("portal 123, 190 requests per 10 s"). Denied if refused."""
        ...

    async def describe(self, object_: str) -> dict[str, DestinationField]:
        """The fields of the object by name; ConfigError where the object is unknown."""
        ...

    def limits(self, object_: str) -> Limits: ...

    def quota(self, object_: str, match_on: str | None) -> Quota:
        """What is known of it so far: asks nothing. Better once `describe` was called."""
        ...

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        """Whether a create through `match_on` can be repeated without a second record."""
        ...

    async def match(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str] = ()
    ) -> dict[str, Match]:
        """Which of these values exist, by the value as text in the destination's normal form (`normalise`)."""
        ...

    def readable(self, object_: str) -> bool:
        """Whether records can be read back by their id: what policies, rollback and drift need."""
        ...

    async def read(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Match]:
        """What stands there now, by the id that was asked for; ids that are gone (or archived) are absent. An id whose
        record was merged into another gives that other, with its own `destination_id`. Any number of ids: the connector
        batches. ConfigError where the object is not `readable`."""
        ...

    async def link_types(self, object_: str, to_object: str) -> frozenset[int]:
        """The kinds of link from one object to another, by the vendor's ids; empty where records can't be linked."""
        ...

    async def link(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        """Makes any number of links: the connector batches. One outcome per pair; repeating changes nothing. What is
        said of `write`'s exceptions holds, but some pairs may have been linked by then."""
        ...

    async def unlink(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        """Removes links, as `link` makes them. A link that is not there counts as removed."""
        ...

    async def links_of(
        self, object_: str, to_object: str, type_: int, ids: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        """The records that those of `ids` are linked to by this kind of link, whoever made it; an id without one may be
        absent. Any number of ids: the connector batches. ConfigError where links can't be read."""
        ...

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        """The form in which the destination compares this field (emails in lower case)."""
        ...

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """Applies up to `batch_rows` changes of one operation. Creates without an id go through `match_on` where the
        vendor has an idempotent upsert for it."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        ...

    @property
    def retries(self) -> int: ...
