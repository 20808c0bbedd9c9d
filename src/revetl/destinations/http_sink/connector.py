"""The HTTP sink: each batch is one POST of a JSON array of `{key, op, fields}`.

An answer of 2xx means that every record of the batch was taken, a refusal that none was: the endpoint has no way to say
which record it means, so the engine halves a refused batch. The receiver keys by `key`, so a repeat overwrites: that
is what makes a push to it repeatable. Dates travel as ISO 8601, decimals as numbers' text, bytes not at all.
Nothing can be looked up or read back: it is write-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField, Limits, ObjectSchema, Quota
from revetl.destinations.http_sink.options import Options
from revetl.errors import Ambiguous, Rejected
from revetl.http import Response, ResponseRules, ResponseVerdict, Session, SessionOptions, Transport
from revetl.model import Change, Outcome, Scalar, Status

_MOST_BYTES = 1024 * 1024  # only its beginning is ever shown


class AnyField(dict[str, DestinationField]):
    """The fields of an endpoint that takes whatever it is sent."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> DestinationField:
        return DestinationField(name, "string")


class HttpSink:
    def __init__(self, name: str, options: Options, clock: Clock, transport: Transport | None = None) -> None:
        self.name = name
        url = urlsplit(options.url)
        self._path = url.path
        self._params = dict(parse_qsl(url.query)) or None
        self._limits = Limits(options.batch_rows, options.concurrency, atomic=True)
        headers = {name: value.get_secret_value() for name, value in options.headers.items()}
        self._session = Session(
            name,
            options.url.partition("?")[0].removesuffix(url.path),
            SessionOptions(
                headers=headers | {"content-type": "application/json"},
                secrets=[*headers.values(), *(self._params or {}).values()],
                allow_insecure=options.allow_insecure,
            ),
            # Of these every record would be refused: the address or the method is wrong, not a record.
            ResponseRules(
                verdicts=dict.fromkeys((404, 405, 410, 415), ResponseVerdict.DENIED),
                show_body=True,
                most_bytes=_MOST_BYTES,
                status_suffices=True,
            ),
            transport=transport,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"HttpSink({self.name!r})"

    async def __aenter__(self) -> HttpSink:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    async def check(self) -> str:
        """An empty batch, which the receiver must take like any other."""
        response = await self._post([])
        return f"answered {response.status_code}"

    async def describe(self, object_: str) -> ObjectSchema:
        return ObjectSchema(AnyField())

    def limits(self, object_: str) -> Limits:
        return self._limits

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return Quota(notes=("the endpoint declares no rate limit",))

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return True

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        """As it stands in the JSON that is sent, without its quotes."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, date):  # a datetime is one too
            return str(orjson.loads(orjson.dumps(value)))
        return "null" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """Rejected where the endpoint refuses the batch: nothing of it was taken."""
        rows = [{"key": c.key, "op": c.op, "fields": c.fields} for c in changes]
        try:
            response = await self._post(rows)
        except TypeError as e:  # not even written down as JSON
            raise Rejected(_without_form(changes) or str(e), code="INVALID_VALUE", in_row=True) from None
        except Ambiguous as e:
            return [Outcome(c.ordinal, Status.UNKNOWN, c.destination_id, "Ambiguous", e.code, str(e)) for c in changes]
        if not response.is_success:
            code = str(response.status_code)
            said = self._session.excerpt(response)
            raise Rejected(
                f"the endpoint answered {code}" + (f": {said}" if said else ""), code=code, status=response.status_code
            )
        attempts: int = response.extensions["attempts"]
        return [Outcome(c.ordinal, Status.OK, c.destination_id or c.key, attempts=attempts) for c in changes]

    async def _post(self, rows: list[dict[str, Any]]) -> Response:
        body = _encode(rows)
        return await self._session.request("POST", self._path, content=body, params=self._params, idempotent=True)

    @property
    def requests(self) -> int:
        return self._session.requests

    @property
    def retries(self) -> int:
        return self._session.retries


def _encode(rows: list[dict[str, Any]]) -> bytes:
    return orjson.dumps(rows, default=_plain)


def _without_form(changes: Sequence[Change]) -> str | None:
    """Which field can't be written down, and why; of the first record that has one."""
    for change in changes:
        for name, value in change.fields.items():
            try:
                _encode([{name: value}])
            except TypeError as e:
                return f"{name}: {e.__cause__ or e}"
    return None


def _plain(value: Any) -> Any:
    """What JSON has no form for; dates and times are orjson's own."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"a value of type {type(value).__name__} can't be sent as JSON")


def connect(name: str, options: Options, clock: Clock) -> Destination:
    return HttpSink(name, options, clock)
