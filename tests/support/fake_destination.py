"""A destination in memory with scripted faults: the engine's tests say what it does, and read what stands in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from revetl.destinations.base import DestinationField, Limits, ObjectSchema, Pair, Quota, RecordMatch
from revetl.model import NOT_APPLIED, Change, Operation, Outcome, Scalar, Status

Record = dict[str, Scalar]


@dataclass
class FakeDestination:
    """`records`: id → fields. `poison`: values of the match field that are always refused. `refuses`: the error code by
    which a change is refused now, None where it is taken. `in_row`: the codes of which it says that the cause lies in
    the row. `before_write` and `after_write` run around the write of each
    batch and may raise: before, nothing is applied; after, all of it is. `unique`: fields in which a value that another
    record has when the batch arrives is refused; `vacatable`: whether they may be empty for a while."""

    fields: Sequence[str] = ("email", "firstname", "city")
    name: str = "fake"
    batch_rows: int = 3
    concurrency: int = 2
    delete_rows: int | None = None
    idempotent_creates: bool = True
    records: dict[str, Record] = field(default_factory=dict)
    poison: set[Scalar] = field(default_factory=set)
    refuses: Callable[[Change], str | None] = lambda _: None
    in_row: frozenset[str] = frozenset({"INVALID_VALUE", "INVALID_EMAIL"})
    read_only: set[str] = field(default_factory=set)
    unique: set[str] = field(default_factory=set)
    vacatable: bool = True
    described: dict[str, DestinationField] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    types: frozenset[int] = frozenset({1, 279})
    links: set[tuple[str, str, int]] = field(default_factory=set)
    implied: int | None = None  # the kind that stands wherever another does
    exclusive: frozenset[int] = frozenset()  # kinds that a record has at most once
    link_reads: int = 0
    linked: list[tuple[str, str, str]] = field(default_factory=list)
    bad_links: set[str] = field(default_factory=set)
    before_link: Callable[[Sequence[Pair]], None] = lambda _: None
    after_link: Callable[[Sequence[Pair]], None] = lambda _: None
    before_write: Callable[[Sequence[Change]], None] = lambda _: None
    after_write: Callable[[Sequence[Change]], None] = lambda _: None
    answer: Callable[[list[Outcome]], list[Outcome]] = lambda outcomes: outcomes
    written: list[Change] = field(default_factory=list)
    requests: int = 0
    retries: int = 0
    latency_s: float = 0.0
    allowance: Quota = field(default_factory=Quota)
    merged: dict[str, str] = field(default_factory=dict)  # id → the id that it leads to
    tells_former: bool = True  # whether a record says which were merged into it
    further: dict[str, list[Scalar]] = field(default_factory=dict)  # id → addresses beside the main one
    silent: dict[str, Scalar] = field(default_factory=dict)  # fields that are taken and stay at this value
    _next_id: int = 100

    async def __aenter__(self) -> FakeDestination:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def check(self) -> str:
        return "fake"

    async def describe(self, object_: str) -> ObjectSchema:
        text = {
            f: DestinationField(
                f,
                "string",
                read_only=f in self.read_only,
                unique=f in self.unique,
                vacatable=f in self.unique and self.vacatable,
            )
            for f in self.fields
        }
        return ObjectSchema(text | self.described)

    def limits(self, object_: str) -> Limits:
        return Limits(
            self.batch_rows,
            self.concurrency,
            lookup_rows=self.batch_rows,
            read_rows=self.batch_rows,
            delete_rows=self.delete_rows,
        )

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return self.allowance

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return self.idempotent_creates

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return str(value).lower() if field == "email" else str(value)

    def id_field(self, object_: str) -> str:
        return "record_id"

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        await asyncio.sleep(self.latency_s)
        wanted = {self.normalise(object_, match_on, v) for v in values}
        found = {}
        for id_, record in self.records.items():
            stands = id_ if match_on == "record_id" else record.get(match_on)
            form = self.normalise(object_, match_on, stands)
            if form in wanted:
                found[form] = self._match(id_, fields)
            for value in self.further.get(id_, ()) if match_on == "email" else ():
                form = self.normalise(object_, match_on, value)
                if form in wanted:
                    found.setdefault(form, self._match(id_, fields))
        return found

    def _match(self, id_: str, fields: Sequence[str]) -> RecordMatch:
        also = {"email": self.further[id_]} if id_ in self.further else {}
        former = tuple(old for old, new in self.merged.items() if new == id_ and self.tells_former)
        return RecordMatch(id_, {f: self.records[id_].get(f) for f in fields}, also=also, former_ids=former)

    def led(self, id_: str | None) -> str:
        """Where an id leads today."""
        return self.merged.get(str(id_), str(id_))

    # what people do there

    def merge(self, primary: str, other: str) -> str:
        """A new record in the place of both, with the primary's values; returns its id. All old ids lead to it."""
        primary, other = self.led(primary), self.led(other)
        one, two = self.records.pop(primary), self.records.pop(other)
        self._next_id += 1
        id_ = str(self._next_id)
        self.records[id_] = {**two, **{k: v for k, v in one.items() if v is not None}}
        emails = [one.get("email"), *self.further.pop(primary, []), two.get("email"), *self.further.pop(other, [])]
        self.further[id_] = [e for e in dict.fromkeys(emails) if e is not None and e != self.records[id_].get("email")]
        self.merged = {old: id_ if new in (primary, other) else new for old, new in self.merged.items()}
        self.merged |= {primary: id_, other: id_}
        return id_

    def make(self, **fields: Scalar) -> str:
        """A person or a form makes a record."""
        self._next_id += 1
        self.records[str(self._next_id)] = dict(fields)
        return str(self._next_id)

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        self.requests += 1
        self.reads += ids
        await asyncio.sleep(self.latency_s)
        return {i: self._match(self.led(i), fields) for i in ids if self.led(i) in self.records}

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        assert len({c.op for c in changes}) == 1
        assert len(changes) <= self.limits(object_).write_rows(changes[0].op)
        self.requests += 1
        await asyncio.sleep(self.latency_s)
        self.before_write(changes)
        taken = self._taken(match_on, changes)
        outcomes = [taken.get(change.ordinal) or self._apply(match_on, change) for change in changes]
        self.after_write(changes)
        await asyncio.sleep(self.latency_s)
        return self.answer(outcomes)

    async def link_types(self, object_: str, to_object: str) -> frozenset[int]:
        return self.types

    async def link(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        kinds = {type_, self.implied or type_}

        def make(p: Pair) -> None:
            if type_ in self.exclusive:
                self.links = {(a, b, k) for a, b, k in self.links if (a, k) != (p.from_id, type_)}
            self.links.update((p.from_id, p.to_id, k) for k in kinds)

        return await self._answer_links("link", pairs, make)

    async def unlink(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        def remove(p: Pair) -> None:
            kinds = {t for a, b, t in self.links if (a, b) == (p.from_id, p.to_id)}
            gone = {type_} if type_ != self.implied or not kinds - {type_} else set()
            if p.alone and not kinds - {type_, self.implied}:
                gone.add(self.implied or type_)
            self.links -= {(p.from_id, p.to_id, kind) for kind in gone}

        return await self._answer_links("unlink", pairs, remove)

    async def implied_type(self, object_: str, to_object: str) -> int | None:
        return self.implied

    async def exclusive_types(self, object_: str, to_object: str) -> frozenset[int]:
        return self.exclusive

    async def links_of(self, object_: str, to_object: str, ids: Sequence[str]) -> dict[str, dict[str, frozenset[int]]]:
        self.requests += 1
        self.link_reads += 1
        await asyncio.sleep(self.latency_s)
        return {id_: self._links_of(id_) for id_ in ids}

    def _links_of(self, id_: str) -> dict[str, frozenset[int]]:
        found: dict[str, frozenset[int]] = {}
        for _, other, kind in (link for link in self.links if link[0] == id_):
            found[other] = found.get(other, frozenset()) | {kind}
        return found

    async def _answer_links(self, op: str, pairs: Sequence[Pair], apply: Callable[[Pair], None]) -> list[Outcome]:
        self.requests += 1
        await asyncio.sleep(self.latency_s)
        self.before_link(pairs)
        outcomes = []
        for pair in pairs:
            self.linked.append((op, pair.from_id, pair.to_id))
            if self.bad_links & {pair.from_id, pair.to_id}:
                message = "no such record"
                outcomes.append(Outcome(pair.ordinal, Status.REJECTED, None, "Rejected", "OBJECT_NOT_FOUND", message))
            else:
                apply(pair)
                outcomes.append(Outcome(pair.ordinal, Status.OK, pair.from_id))
        self.after_link(pairs)
        await asyncio.sleep(self.latency_s)
        return self.answer(outcomes)

    def _taken(self, match_on: str | None, changes: Sequence[Change]) -> dict[int, Outcome]:
        """Who is refused for a unique value, as HubSpot does: all inputs are looked at before any is written."""
        held = {
            (f, self.normalise("", f, r[f])): id_ for id_, r in self.records.items() for f in self.unique if r.get(f)
        }
        refused: dict[int, Outcome] = {}
        for change in changes:
            own = change.destination_id
            if change.op is Operation.CREATE and self.idempotent_creates:
                own = self._existing(match_on, change.match_value)
            claims = [(f, self.normalise("", f, v)) for f, v in change.fields.items() if f in self.unique and v]
            if change.op is not Operation.DELETE and any(held.get(c) not in (None, own) for c in claims):
                refused[change.ordinal] = Outcome(
                    change.ordinal, Status.REJECTED, None, "Rejected", "CONFLICT", "another record has that value"
                )
            else:
                held |= dict.fromkeys(claims, own or f"new {change.ordinal}")
        self.written += [change for change in changes if change.ordinal in refused]
        return refused

    def _apply(self, match_on: str | None, change: Change) -> Outcome:
        self.written.append(change)
        if self.poison & {change.match_value, *change.fields.values()}:
            said, in_row = "the value is not valid", "INVALID_VALUE" in self.in_row
            return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "INVALID_VALUE", said, in_row=in_row)
        if (code := self.refuses(change)) is not None:
            in_row = code in self.in_row
            return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", code, "refused", in_row=in_row)
        if change.op is Operation.DELETE:
            self.records.pop(self.led(change.destination_id), None)
            self.links = {link for link in self.links if change.destination_id not in link[:2]}
            return Outcome(change.ordinal, Status.OK, change.destination_id)
        id_ = None if change.destination_id is None else self.led(change.destination_id)
        if change.op is Operation.CREATE:
            id_ = self._existing(match_on, change.match_value) if self.idempotent_creates else None
            if id_ is None:
                self._next_id += 1
                id_ = str(self._next_id)
                self.records[id_] = {}
        if id_ not in self.records:
            return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "OBJECT_NOT_FOUND", "no such record")
        self.records[id_] |= {name: value for name, value in change.fields.items() if name not in self.silent}
        stands = {n: self.silent[n] for n in self.silent if n in change.fields and change.fields[n] != self.silent[n]}
        if stands:
            said = f"taken and not applied: {', '.join(stands)}"
            return Outcome(change.ordinal, Status.ACCEPTED, id_, None, NOT_APPLIED, said, stands=stands)
        return Outcome(change.ordinal, Status.OK, id_)

    def _existing(self, match_on: str | None, value: Scalar) -> str | None:
        if match_on is None or value is None:
            return None
        form = self.normalise("", match_on, value)
        return next(
            (
                i
                for i, r in self.records.items()
                if (r.get(match_on) and self.normalise("", match_on, r[match_on]) == form)
                or form in [self.normalise("", match_on, v) for v in self.further.get(i, ())]
            ),
            None,
        )

    def by(self, name: str) -> dict[Scalar, Mapping[str, Scalar]]:
        """The records by the value of a field; fails where two share it."""
        out = {r.get(name): {k: v for k, v in r.items() if v is not None} for r in self.records.values()}
        assert len(out) == len(self.records), f"two records share {name}"
        return out


class UnreadableFake(FakeDestination):
    """Has no way to read records back: the capability is the method."""

    read_back = None  # type: ignore[assignment]
