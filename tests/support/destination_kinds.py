"""Destinations in memory of every kind that the contract knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from revetl.destinations.base import DestinationField, Limits, ObjectSchema
from revetl.errors import Ambiguous, Rejected
from revetl.model import Change, Outcome, Status
from tests.support.fake_destination import FakeDestination


class WriteOnlyFake(FakeDestination):
    """Nothing that stands there can be seen: a capability is its methods."""

    look_up = None  # type: ignore[assignment]
    read_back = None  # type: ignore[assignment]


class RefusesWholeFake(FakeDestination):
    """Answers per record, and refuses a batch with a bad one as a whole all the same."""

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        if any(self.poison & {c.match_value, *c.fields.values()} for c in changes):
            self.requests += 1
            self.before_write(changes)
            raise Rejected("the batch holds a value that is not valid", code="INVALID")
        return await super().write(object_, match_on, changes)


class AtomicFake(RefusesWholeFake):
    """A batch is applied whole, or refused whole."""

    def limits(self, object_: str) -> Limits:
        return replace(super().limits(object_), atomic=True)


class AcceptingFake(FakeDestination):
    """Takes everything and applies it on another day. It gives no id."""

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await super().write(object_, match_on, changes)
        return [Outcome(o.ordinal, Status.ACCEPTED) if o.status is Status.OK else o for o in outcomes]


@dataclass
class JobFake(FakeDestination):
    """Takes jobs. One runs for `polls` questions, and is applied when it is submitted. `jobs`: id → its changes."""

    polls: int = 2
    jobs_from: int = 1
    job_rows: int = 4
    jobs: dict[str, list[Change]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    results: dict[str, list[Outcome]] = field(default_factory=dict)
    forgets: bool = False

    def limits(self, object_: str) -> Limits:
        return replace(super().limits(object_), job_rows=self.job_rows, jobs_from=self.jobs_from)

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        assert len({c.op for c in changes}) == 1
        assert len(changes) <= self.job_rows
        self.before_write(changes)
        job_id = f"job-{len(self.jobs) + 1}"
        self.jobs[job_id] = list(changes)
        self.results[job_id] = [self._apply(match_on, change) for change in changes]
        self.after_write(changes)
        return job_id

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        if self.forgets:
            raise Ambiguous(f"no job {job_id}")
        assert [c.ordinal for c in changes] == [c.ordinal for c in self.jobs[job_id]]
        assert list(changes) == self.jobs[job_id], "who takes over hands over the same changes"
        self.asked[job_id] = self.asked.get(job_id, 0) + 1
        return None if self.asked[job_id] <= self.polls else self.results[job_id]


@dataclass
class EventFake(FakeDestination):
    """Only takes events. `event_id` None: it would take one twice. `events`: what was added, in order."""

    event_id: str | None = "event_id"
    events: list[Mapping[str, object]] = field(default_factory=list)

    async def describe(self, object_: str) -> ObjectSchema:
        fields = {name: DestinationField(name, "string") for name in self.fields}
        return ObjectSchema(fields, kind="events", event_id=self.event_id)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return self.event_id is not None

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        assert {c.op.value for c in changes} == {"create"}, "events are only added"
        self.requests += 1
        self.before_write(changes)
        outcomes = []
        for change in changes:
            self.written.append(change)
            known = [e[self.event_id] for e in self.events] if self.event_id else []
            if self.event_id is None or change.fields[self.event_id] not in known:
                self.events.append(dict(change.fields))
            outcomes.append(Outcome(change.ordinal, Status.ACCEPTED))
        self.after_write(changes)
        return self.answer(outcomes)


class BlindEventFake(EventFake):
    look_up = None  # type: ignore[assignment]
    read_back = None  # type: ignore[assignment]
