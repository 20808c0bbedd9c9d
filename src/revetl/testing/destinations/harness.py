"""What a suite is told of a connector and its vendor, and one test's bench: the vendor, the wire to it, the time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField
from revetl.errors import Ambiguous
from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.testing.clocks import ScaledClock, VirtualClock
from revetl.testing.destinations.wire import VendorWire, lost, shuffled, unanswered
from revetl.testing.virtual_time import run_virtual

P = ParamSpec("P")
S = TypeVar("S", bound="DestinationHarness")

TAKEN = (Status.OK, Status.ACCEPTED)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it stands at the vendor, read without the connector. `fields` by the names in which they are sent."""

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LinkCase:
    """What a record of the suite's object can be linked to: another object, the kind of link, and the fields of the
    n-th record of that object."""

    to_object: str
    type: int
    match_on: str | None
    fields: Callable[[int], Mapping[str, Scalar]]


class DestinationHarness:
    """What a subclass says of its connector. The first four and the three methods after them have to be said."""

    object: ClassVar[str]
    """The object that is written to."""
    identity: ClassVar[str]
    """A field whose value tells a record from all others, in what is sent and in what `standing` gives."""
    text: ClassVar[str]
    """A field of text that is written and changed."""
    match_on: ClassVar[str | None] = None
    """As in a sync: by which a record that is new to us is looked for."""

    token: ClassVar[str] = "suite-token-7f3a91"  # noqa: S105 - made up
    """What `connect` is to use as the secret: it must show nowhere."""
    virtual_time: ClassVar[bool] = True
    """False: the vendor is behind real sockets or files; time then runs a hundred times as fast, and not virtually."""
    unknown_object: ClassVar[str] = "no_such_object"
    links: ClassVar[LinkCase | None] = None
    waivers: ClassVar[Mapping[str, str]] = {}
    """Test → why this connector can't pass it. The test must then fail: a waiver that is not needed fails itself."""

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Any]:
        """A fresh vendor with no records, on this clock. What it gives is handed to the other methods."""
        raise NotImplementedError

    def connect(self, vendor: Any, wire: VendorWire, clock: Clock) -> Destination:
        """A connector of its own to this vendor, not yet open, as a new process would make it. One that speaks HTTP
        uses `wire` as its transport."""
        raise NotImplementedError

    async def standing(self, vendor: Any) -> list[StoredRecord]:
        """Every record of `object` that stands at the vendor, read without the connector."""
        raise NotImplementedError

    def transport(self, vendor: Any) -> httpx.AsyncBaseTransport:
        """What the wire passes requests on to. Only for a connector that speaks HTTP."""
        return _NoTransport()

    def fields(self, n: int) -> dict[str, Scalar]:
        """The n-th record. With `identity`, `match_on` and `text`."""
        return {self.identity: f"person-{n}@example.com", self.text: f"Text {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The same record in a form that the vendor refuses, its `identity` kept."""
        raise NotImplementedError("poison: say how this vendor is made to refuse a record, or waive the test")

    def is_write(self, request: httpx.Request) -> bool:
        """Whether a request changes something at the vendor."""
        return request.method != "GET"

    def success_with_errors(self) -> httpx.Response:
        """An answer of 2xx by which this vendor says that it took nothing of the request."""
        raise NotImplementedError("success_with_errors: say how it looks, or waive the test where there is none")

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        """Field → values whose form is compared. Of every type that the object has, best. Not of `identity`, by whose
        value each record is found again."""
        return {self.text: ["plain", "  spaces around  ", "Zoë Ångström", "ПРИВЕТ", "a,b;c", "0012", '"quoted"']}

    async def merge(self, vendor: Any, survivor: str, merged: str) -> bool:
        """The vendor merges one record into another. False: it has no such thing."""
        return False

    async def apply_accepted(self, vendor: Any) -> None:
        """Lets the vendor apply what it has accepted, where it does that later."""

    async def fail(self, bench: SuiteBench, kind: str) -> None:
        """From now on writes meet this failure: on the wire by default, a connector that does not speak HTTP says how.

        denied, throttled, unavailable   nothing is applied
        lost, lost_once                  applied, and the answer never comes
        shuffled, unanswered             applied; the answer's lists are in another order, or empty
        errors_inside                    `success_with_errors`
        """
        spoils = {"lost": lost, "lost_once": lost, "shuffled": shuffled, "unanswered": unanswered}
        if kind in spoils:
            bench.wire.spoil(spoils[kind], 1 if kind == "lost_once" else None)
        elif kind == "errors_inside":
            bench.wire.answer_instead(self.success_with_errors())
        else:
            status = {"denied": 401, "throttled": 429, "unavailable": 503}[kind]
            # Vendors quote what they were sent; none of that may be repeated.
            said = {"status": "error", "message": f"the credential {self.token} is refused"}
            bench.wire.answer_instead(httpx.Response(status, json=said))


@dataclass
class SuiteBench:
    """One test's vendor with what leads to it. `described`: the object's fields, once a connector was opened."""

    suite: DestinationHarness
    vendor: Any
    wire: VendorWire
    clock: Clock
    described: Mapping[str, DestinationField] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Destination]:
        """A connector as a new process makes it: open, and its object described."""
        async with self.suite.connect(self.vendor, self.wire, self.clock) as destination:
            self.described = (await destination.describe(self.suite.object)).fields
            yield destination

    def create(self, n: int, ordinal: int | None = None, fields: Mapping[str, Scalar] | None = None) -> Change:
        """The n-th record as a line of a plan."""
        sent = dict(fields or self.suite.fields(n))
        match = sent.get(self.suite.match_on) if self.suite.match_on else None
        return Change(n if ordinal is None else ordinal, f"key-{n}", Operation.CREATE, None, sent, match)

    def poisoned(self, n: int) -> dict[str, Scalar]:
        """The n-th record as the vendor refuses it."""
        fields, identity = self.suite.fields(n), self.suite.identity
        poisoned = self.suite.poison(fields)
        assert poisoned.get(identity) == fields[identity], (
            f"`poison` changes {identity!r}, which is the identity: by that the suite sees that the record is absent"
        )
        return poisoned

    def creates(self, count: int, start: int = 0) -> list[Change]:
        return [self.create(start + i, i) for i in range(count)]

    async def write(self, destination: Destination, changes: Sequence[Change]) -> dict[int, Outcome]:
        """The outcomes by ordinal: exactly one for each change, or the test fails. Errors leave as they are."""
        outcomes = await destination.write(self.suite.object, self.suite.match_on, changes)
        given, wanted = sorted(o.ordinal for o in outcomes), sorted(c.ordinal for c in changes)
        assert given == wanted, "exactly one outcome per change, by its ordinal"
        return {outcome.ordinal: outcome for outcome in outcomes}

    async def write_or_lose(self, destination: Destination, changes: Sequence[Change]) -> dict[int, Outcome]:
        """As `write`; an Ambiguous that leaves says of every change that it is unknown."""
        try:
            return await self.write(destination, changes)
        except Ambiguous as e:
            return {c.ordinal: Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", e.code, str(e)) for c in changes}

    async def standing(self) -> dict[str, StoredRecord]:
        """What stands at the vendor, by identity as text in lower case. Fails where two records are the same one."""
        await self.suite.apply_accepted(self.vendor)
        records = await self.suite.standing(self.vendor)
        found = {self._form(r.fields.get(self.suite.identity)): r for r in records}
        assert len(found) == len(records), "no record stands there twice"
        return found

    def stands(self, found: Mapping[str, StoredRecord], n: int) -> StoredRecord:
        """The n-th record among them; fails where it is not there."""
        identity = self._form(self.suite.fields(n)[self.suite.identity])
        assert identity in found, f"record {n} does not stand at the vendor"
        return found[identity]

    def absent(self, found: Mapping[str, StoredRecord], n: int) -> bool:
        return self._form(self.suite.fields(n)[self.suite.identity]) not in found

    @staticmethod
    def _form(value: Any) -> str:
        return str(value).strip().lower()


class _NoTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise NotImplementedError("transport: say what the wire passes requests on to")


def on_bench(
    test: Callable[Concatenate[S, SuiteBench, P], Awaitable[None]],
) -> Callable[Concatenate[S, P], None]:
    """A test of the suite: runs on a bench of its own, on virtual time where the connector allows. Needs no plugin."""

    @functools.wraps(test)
    def run(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            clock: Clock = VirtualClock() if self.virtual_time else ScaledClock()
            async with self.vendor(clock) as vendor:
                wire = VendorWire(self.transport(vendor), self.is_write)
                try:
                    await test(self, SuiteBench(self, vendor, wire, clock), *args, **kwargs)
                finally:
                    await wire.shut()

        if self.virtual_time:
            run_virtual(main())
        else:
            asyncio.run(main())

    del run.__dict__["__wrapped__"]  # pytest would take the bench for a fixture
    return cast("Callable[Concatenate[S, P], None]", run)
