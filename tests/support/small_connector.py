"""A vendor in memory and a connector to it, small enough to be read at once; and the same connector with one fault
each, which the suite must find."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField, Limits, ObjectSchema, RecordMatch
from revetl.errors import Ambiguous, CallError, ConfigError, Rejected
from revetl.http import Session, SessionOptions
from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.testing import DestinationSuite, StoredRecord, VendorWire

FIELDS = ("email", "name", "note")


class SmallVendor:
    """People, unique by email. One call takes many, and answers 200 with results and errors side by side."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.jobs: list[dict[str, Any]] = []
        self.asked: dict[str, int] = {}
        self._next = 100

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fields":
            return httpx.Response(200, json={"fields": list(FIELDS)})
        if request.method == "GET":
            return self._job(request.url.path.rpartition("/")[2])
        body = json.loads(request.content)
        if request.url.path == "/jobs":
            self.jobs.append(self._written(body))
            return httpx.Response(200, json={"job": str(len(self.jobs) - 1)})
        if request.url.path == "/find":
            by, values = body["by"], set(body["values"])
            found = [{"id": i, **p} for i, p in self.people.items() if (i if by == "id" else p["email"]) in values]
            return httpx.Response(200, json={"results": found})
        return httpx.Response(200, json=self._written(body))

    def _job(self, id_: str) -> httpx.Response:
        """Ready at the third question."""
        self.asked[id_] = self.asked.get(id_, 0) + 1
        return httpx.Response(200, json=self.jobs[int(id_)] if self.asked[id_] > 2 else {"running": True})

    def _written(self, body: Mapping[str, Any]) -> dict[str, Any]:
        results, errors = [], []
        for item in body["inputs"]:
            if "@" not in item["fields"].get("email", "@"):
                errors.append({"ref": item["ref"], "code": "BAD_EMAIL", "message": "is no address"})
                continue
            if len(item["fields"].get("name") or "") > 100:
                errors.append({"ref": item["ref"], "code": "NAME_TOO_LONG", "message": "is too long"})
                continue
            if item.get("must_stand") and body["op"] == "delete" and item["id"] not in self.people:
                errors.append({"ref": item["ref"], "code": "NOT_FOUND", "message": "there is nobody of this id"})
                continue
            results.append({"ref": item["ref"], "id": self._apply(body["op"], item)})
        return {"results": results, "errors": errors}

    def _apply(self, op: str, item: Mapping[str, Any]) -> str:
        id_ = item.get("id")
        if op == "delete":
            self.people.pop(str(id_), None)
            return str(id_)
        fields = dict(item["fields"])
        if "email" in fields:
            fields["email"] = str(fields["email"]).lower()
        if id_ is None:
            upserts = body_upserts(item)
            id_ = next((i for i, p in self.people.items() if upserts and p["email"] == fields["email"]), None)
        if id_ is None:
            self._next += 1
            id_ = str(self._next)
        self.people.setdefault(id_, {}).update(fields)
        return str(id_)


def body_upserts(item: Mapping[str, Any]) -> bool:
    return bool(item.get("upsert", True))


class SmallConnector:
    """Passes the suite. Each fault below changes one thing of it."""

    upsert = True

    def __init__(self, token: str, clock: Clock, transport: httpx.AsyncBaseTransport) -> None:
        self.token = token
        self.session = Session(
            "small",
            "https://small.example",
            SessionOptions(headers={"authorization": f"Bearer {token}"}, secrets=[token]),
            transport=transport,
            clock=clock,
            rng=random.Random(1),
        )

    def __repr__(self) -> str:
        return "SmallConnector()"

    async def __aenter__(self) -> SmallConnector:
        await self.session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.__aexit__(*exc)

    async def check(self) -> str:
        response = await self.session.request("GET", "/fields", idempotent=True)
        return f"{len(response.json()['fields'])} fields"

    async def describe(self, object_: str) -> ObjectSchema:
        if object_ != "people":
            raise ConfigError(f"there is no object {object_!r}")
        await self.session.request("GET", "/fields", idempotent=True)
        return ObjectSchema({name: DestinationField(name, "string") for name in FIELDS})

    def limits(self, object_: str) -> Limits:
        return Limits(5, 2, lookup_rows=4, read_rows=4)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return str(value).lower() if field == "email" else str(value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return True

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        found = await self._find("email", [self.normalise(object_, match_on, v) for v in values])
        return {p["email"]: RecordMatch(p["id"], {f: p.get(f) for f in fields}) for p in found}

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        return {p["id"]: RecordMatch(p["id"], {f: p.get(f) for f in fields}) for p in await self._find("id", ids)}

    async def _find(self, by: str, values: Sequence[str]) -> list[dict[str, Any]]:
        body = {"by": by, "values": list(values)}
        response = await self.session.request("POST", "/find", json=body, idempotent=True)
        found: list[dict[str, Any]] = response.json()["results"]
        return found

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        try:
            answer = await self.send(changes[0].op, self.inputs(changes))
        except Ambiguous as e:
            return [Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", e.code, str(e)) for c in changes]
        return self.outcomes(changes, answer)

    def inputs(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        return [
            {"ref": c.ordinal, "id": c.destination_id, "fields": dict(c.fields), "upsert": self.upsert} for c in changes
        ]

    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        response = await self.session.request(
            "POST", "/write", json={"op": op.value, "inputs": inputs}, idempotent=True
        )
        if not response.is_success:
            raise Rejected(f"answered {response.status_code}")
        answer: dict[str, Any] = response.json()
        return answer

    def outcomes(self, changes: Sequence[Change], answer: Mapping[str, Any]) -> list[Outcome]:
        done = {r["ref"]: r["id"] for r in answer["results"]}
        refused = {e["ref"]: e for e in answer["errors"]}
        return [self.outcome(c, done, refused) for c in changes]

    def outcome(self, change: Change, done: Mapping[int, str], refused: Mapping[int, Mapping[str, str]]) -> Outcome:
        if change.ordinal in done:
            return Outcome(change.ordinal, Status.OK, done[change.ordinal])
        if change.ordinal in refused:
            error = refused[change.ordinal]
            return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", error["code"], error["message"])
        return Outcome(change.ordinal, Status.UNKNOWN, None, "Unanswered", None, "not named in the answer")


class SmallSuite(DestinationSuite):
    object, identity, text, match_on = "people", "email", "name", "email"
    connector: type[SmallConnector] = SmallConnector

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[SmallVendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[SmallVendor]:
            yield SmallVendor()

        return started()

    def transport(self, vendor: SmallVendor) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(vendor)

    def connect(self, vendor: SmallVendor, wire: VendorWire, clock: Clock) -> Destination:
        return self.connector(self.token, clock, wire)

    def is_write(self, request: httpx.Request) -> bool:
        return request.url.path in ("/write", "/jobs")

    async def standing(self, vendor: SmallVendor) -> list[StoredRecord]:
        return [StoredRecord(i, p) for i, p in vendor.people.items()]

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    def success_with_errors(self) -> httpx.Response:
        error = {"ref": None, "code": "DOWN", "message": "nothing was saved"}
        return httpx.Response(200, json={"results": [], "errors": [error]})


class ByJobs(SmallConnector):
    """Hands batches over as jobs."""

    def limits(self, object_: str) -> Limits:
        return replace(super().limits(object_), job_rows=8)

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        body = {"op": changes[0].op.value, "inputs": self.inputs(changes)}
        response = await self.session.request("POST", "/jobs", json=body)
        return str(response.json()["job"])

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        response = await self.session.request("GET", f"/jobs/{job_id}", idempotent=True)
        answer = response.json()
        return None if answer.get("running") else self.outcomes(changes, answer)


class Events(SmallConnector):
    """The same people as events, known by their email, and seen by nobody."""

    look_up = None  # type: ignore[assignment]
    read_back = None  # type: ignore[assignment]

    async def describe(self, object_: str) -> ObjectSchema:
        return replace(await super().describe(object_), kind="events", event_id="email")


class ForgetsJobs(ByJobs):
    """Knows a job only in the process that submitted it."""

    async def submit(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> str:
        self.job = await super().submit(object_, match_on, changes)
        return "the last one"

    async def follow(self, object_: str, job_id: str, changes: Sequence[Change]) -> list[Outcome] | None:
        return await super().follow(object_, self.job, changes)


class ByOrder(SmallConnector):
    """Takes the n-th result for the n-th change."""

    def outcomes(self, changes: Sequence[Change], answer: Mapping[str, Any]) -> list[Outcome]:
        if answer["errors"] or len(answer["results"]) != len(changes):
            return super().outcomes(changes, answer)
        return [Outcome(c.ordinal, Status.OK, r["id"]) for c, r in zip(changes, answer["results"], strict=True)]


class WholeBatchOk(SmallConnector):
    """A 200 is taken for everybody's success."""

    def outcome(self, change: Change, done: Mapping[int, str], refused: Mapping[int, Mapping[str, str]]) -> Outcome:
        return Outcome(change.ordinal, Status.OK, done.get(change.ordinal, change.destination_id))


class MissingIsOk(SmallConnector):
    """Who is not named was not refused, was he?"""

    def outcome(self, change: Change, done: Mapping[int, str], refused: Mapping[int, Mapping[str, str]]) -> Outcome:
        if change.ordinal not in done and change.ordinal not in refused:
            return Outcome(change.ordinal, Status.OK, change.destination_id)
        return super().outcome(change, done, refused)


class DropsRefused(SmallConnector):
    """Gives no outcome for what was refused."""

    def outcomes(self, changes: Sequence[Change], answer: Mapping[str, Any]) -> list[Outcome]:
        return [o for o in super().outcomes(changes, answer) if o.status is Status.OK]


class OneRefusesAll(SmallConnector):
    """One bad record costs its whole batch an outcome of rejected, though the others stand."""

    def outcomes(self, changes: Sequence[Change], answer: Mapping[str, Any]) -> list[Outcome]:
        given = super().outcomes(changes, answer)
        if answer["errors"]:
            return [Outcome(o.ordinal, Status.REJECTED, None, "Rejected", "BATCH", "refused") for o in given]
        return given


class DeletesTheFirst(SmallConnector):
    """Its vendor takes one delete per call, and it was not declared: the others are answered for all the same."""

    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if op is not Operation.DELETE:
            return await super().send(op, inputs)
        await super().send(op, inputs[:1])
        return {"results": [{"ref": i["ref"], "id": i["id"]} for i in inputs], "errors": []}


class DeletesByOrder(SmallConnector):
    """Takes the n-th answer for the n-th delete."""

    def outcomes(self, changes: Sequence[Change], answer: Mapping[str, Any]) -> list[Outcome]:
        if changes[0].op is not Operation.DELETE or len(answer["results"]) != len(changes):
            return super().outcomes(changes, answer)
        return [Outcome(c.ordinal, Status.OK, r["id"]) for c, r in zip(changes, answer["results"], strict=True)]


class GoneIsRejected(SmallConnector):
    """Its vendor answers that the record is not there, which is taken for a refusal."""

    def inputs(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        return [i | {"must_stand": True} for i in super().inputs(changes)]


class SearchesUnescaped(SmallConnector):
    """A `+` in a query is a space to the vendor."""

    async def _find(self, by: str, values: Sequence[str]) -> list[dict[str, Any]]:
        return await super()._find(by, [v.replace("+", " ") for v in values])


class SearchesWords(SmallConnector):
    """A value with a space is looked for by its first word."""

    async def _find(self, by: str, values: Sequence[str]) -> list[dict[str, Any]]:
        return await super()._find(by, [v.split(" ")[0] for v in values])


class SearchesAscii(SmallConnector):
    async def _find(self, by: str, values: Sequence[str]) -> list[dict[str, Any]]:
        return await super()._find(by, [v.encode("ascii", "replace").decode() for v in values])


class Sleeps(SmallConnector):
    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return await super().send(op, inputs)


class BlocksTheLoop(SmallConnector):
    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        time.sleep(0.001)  # noqa: ASYNC251 - the fault
        return await super().send(op, inputs)


class ReadsTheEnvironment(SmallConnector):
    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        os.environ.get("SMALL_TENANT")
        return await super().send(op, inputs)


class DoublesOnRepeat(SmallConnector):
    """Inserts where it says that it upserts."""

    upsert = False


class Leaks(SmallConnector):
    def __repr__(self) -> str:
        return f"SmallConnector(token={self.token!r})"


class LeaksInErrors(SmallConnector):
    """Hands on what the vendor quoted."""

    async def send(self, op: Operation, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            return await super().send(op, inputs)
        except CallError as e:
            raise type(e)(f"{e} (sent with {self.token})") from e


class LostIsRejected(SmallConnector):
    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        given = await super().write(object_, match_on, changes)
        return [
            Outcome(o.ordinal, Status.REJECTED, None, "Rejected", None, "no answer") if o.status == "unknown" else o
            for o in given
        ]


class LostIsOk(SmallConnector):
    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        given = await super().write(object_, match_on, changes)
        return [Outcome(o.ordinal, Status.OK, "0") if o.error_class == "Ambiguous" else o for o in given]


class SwallowsDenied(SmallConnector):
    """Turns every exception into outcomes, so that the run goes on against a locked door."""

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        try:
            return await super().write(object_, match_on, changes)
        except CallError as e:
            return [Outcome(c.ordinal, Status.REJECTED, None, "Rejected", e.code, str(e)) for c in changes]


class ChokesOnTheLimit(SmallConnector):
    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        if len(changes) >= self.limits(object_).batch_rows:
            raise Rejected("too many")
        return await super().write(object_, match_on, changes)


class ComparesAsSent(SmallConnector):
    """The vendor stores emails in lower case, and this connector does not know."""

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return str(value)


class NormalisesTwice(SmallConnector):
    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return f"<{super().normalise(object_, field, value)}>"


class FindsTheAbsent(SmallConnector):
    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        found = dict(await super().look_up(object_, match_on, values, fields))
        return {str(v): found.get(str(v), RecordMatch("0", dict.fromkeys(fields))) for v in values}


class AsksWhenOpened(SmallConnector):
    async def __aenter__(self) -> SmallConnector:
        await super().__aenter__()
        await self.check()
        return self
