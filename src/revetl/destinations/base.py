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
from typing import Literal, Protocol

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
    """`batch_rows` changes per write call, `concurrency` write calls at once."""

    batch_rows: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Match:
    """A record that already stands at the destination; `fields` as asked for."""

    destination_id: str
    fields: Mapping[str, Scalar]


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
        """What stands there now, by destination id; ids that are gone (or archived) are absent. Any number of ids: the
        connector batches. ConfigError where the object is not `readable`."""
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
