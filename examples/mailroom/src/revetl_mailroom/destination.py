"""Subscribers of a Mailroom account, kept equal to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import DestinationField, Limits, ObjectSchema, RecordMatch
from revetl.errors import Ambiguous, ConfigError, Rejected
from revetl.http import Rate, Session, SessionOptions
from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl_mailroom import Options

FIELDS = {
    "email": DestinationField("email", "string", unique=True),
    "name": DestinationField("name", "string"),
    "city": DestinationField("city", "string"),
}


class Mailroom:
    def __init__(
        self, name: str, options: Options, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.name = name
        key = options.api_key.get_secret_value()
        self._session = Session(
            name,
            options.base_url,
            SessionOptions(
                headers={"x-api-key": key},
                secrets=[key],
                rates={"default": Rate(options.requests_per_s, 1.0)},
            ),
            transport=transport,
            clock=clock,
        )

    async def __aenter__(self) -> Mailroom:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    @property
    def requests(self) -> int:
        return self._session.requests

    @property
    def retries(self) -> int:
        return self._session.retries

    async def check(self) -> str:
        account = (await self._ask("/v1/ping", {}))["account"]
        return f"account {account}"

    async def describe(self, object_: str) -> ObjectSchema:
        if object_ != "subscribers":
            raise ConfigError(f"{self.name}: Mailroom has subscribers and no {object_!r}")
        return ObjectSchema(FIELDS)

    def limits(self, object_: str) -> Limits:
        return Limits(batch_rows=50, concurrency=4, lookup_rows=50, read_rows=50)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return str(value).strip().lower() if field == "email" else str(value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return match_on == "email"  # Mailroom finds a subscriber by the address, and by nothing else

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        inputs = [{"ref": str(c.ordinal), "id": c.destination_id, "fields": dict(c.fields)} for c in changes]
        verb = "remove" if changes[0].op is Operation.DELETE else "save"
        try:
            answer = await self._ask(f"/v1/subscribers/{verb}", {"subscribers": inputs})
        except Ambiguous as e:
            return [Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", e.code, str(e)) for c in changes]
        done = {str(r["ref"]): str(r["id"]) for r in answer["results"]}
        refused = {str(e["ref"]): e for e in answer["errors"]}
        return [_outcome(c, done, refused) for c in changes]

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        if match_on != "email":
            raise ConfigError(f"{self.name}: subscribers are found by email, not by {match_on}")
        emails = [self.normalise(object_, "email", value) for value in values]
        found = (await self._ask("/v1/subscribers/find", {"emails": emails}))["results"]
        return {self.normalise(object_, "email", s["email"]): _match(s, fields) for s in found}

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        found = (await self._ask("/v1/subscribers/find", {"ids": list(ids)}))["results"]
        return {str(s["id"]): _match(s, fields) for s in found}

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Every call may be repeated: saving is an upsert, and who is removed already stays so."""
        response = await self._session.request("POST", path, json=body, idempotent=True)
        if not response.is_success:
            raise Rejected(f"Mailroom answered {response.status_code}", status=response.status_code)
        answer: dict[str, Any] = response.json()
        return answer


def _outcome(change: Change, done: Mapping[str, str], refused: Mapping[str, Mapping[str, Any]]) -> Outcome:
    """By the reference that we gave, never by the place in the answer. Who is not named is unknown."""
    ref = str(change.ordinal)
    if ref in done:
        return Outcome(change.ordinal, Status.OK, done[ref])
    if ref in refused:
        code, said = str(refused[ref]["code"]), str(refused[ref]["message"])
        return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", code, said)
    return Outcome(change.ordinal, Status.UNKNOWN, None, "Unanswered", None, "not in the answer")


def _match(subscriber: Mapping[str, Any], fields: Sequence[str]) -> RecordMatch:
    return RecordMatch(str(subscriber["id"]), {name: subscriber.get(name) for name in fields})
