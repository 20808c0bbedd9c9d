"""One example, played: the vendor answers from the file, nothing leaves the machine, and no wait takes any time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from revetl.errors import CallError
from revetl.http import Response, Transport
from revetl.providers.base import Answer, Lookup, Reply
from revetl.providers.examples.files import Example, ExpectedAnswer, ExpectedRequest
from revetl.providers.grammar import ProviderSpec
from revetl.providers.registry import create_provider

SECRET = "key-for-examples"  # noqa: S105 - of no account
_TOKEN = "token-for-examples"  # noqa: S105 - of no account


class ReplayClock:
    """Time that passes only by waiting, and at once."""

    def __init__(self) -> None:
        self._passed_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return self._passed_s

    async def sleep(self, seconds: float) -> None:
        self._passed_s += max(0.0, seconds)
        await asyncio.sleep(0)


@dataclass(slots=True)
class Played:
    """What came of an example: replies by ref (of one question under ""), or what was raised for all of them."""

    replies: dict[str, Reply] = field(default_factory=dict)
    raised: CallError | None = None
    jobs: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    seconds: float = 0.0


def play(spec: ProviderSpec, example: Example) -> Played:
    """Asks the provider of `spec` what the example asks."""
    return asyncio.run(_play(spec, example))


def differences(spec: ProviderSpec, example: Example) -> list[str]:
    """What comes out otherwise than the example says, a sentence each; none where it holds."""
    played, content = play(spec, example), example.content
    found: list[str] = []
    expected_error = content.error.type if content.error is not None else None
    # What is certainly not processed may be repeated; nothing else may.
    if expected_error != "Unavailable" and len(played.requests) != len(content.exchanges):
        found.append(f"{len(played.requests)} requests were sent, not {len(content.exchanges)}")
    for number, (exchange, request) in enumerate(zip(content.exchanges, played.requests, strict=False), 1):
        found += [f"request {number}: {said}" for said in _request_differences(exchange.request, request)]
    found += _outcome_differences(example, played)
    if list(content.jobs) != played.jobs:
        found.append(f"jobs told of: {played.jobs}, not {list(content.jobs)}")
    if played.seconds < content.waited_s:
        found.append(f"it waited {played.seconds:g} s, not {content.waited_s:g} s")
    if SECRET in f"{played.raised!s}{played.replies!r}":
        found.append("the account's key stands in what came of it")
    return found


class _Vendor(Transport):
    """Answers the exchanges of one example in order, and the last one again where it is asked more often."""

    def __init__(self, example: Example, token_path: str | None) -> None:
        self._exchanges = example.content.exchanges
        self._token_path = token_path
        self.asked: list[Any] = []

    async def handle_async_request(self, request: Any) -> Response:
        if self._token_path is not None and request.url.path.endswith(self._token_path):
            return Response(200, json={"access_token": _TOKEN, "expires_in": 3600})
        self.asked.append(request)
        answer = self._exchanges[min(len(self.asked), len(self._exchanges)) - 1].response
        if answer.is_json:
            return Response(answer.status, headers=answer.headers, json=answer.body)
        return Response(answer.status, headers=answer.headers, text=answer.text)


async def _play(spec: ProviderSpec, example: Example) -> Played:
    token_url = spec.auth.token_url
    vendor = _Vendor(example, None if token_url is None else urlsplit(token_url).path)
    clock, played, content = ReplayClock(), Played(), example.content
    options = dict.fromkeys(spec.auth.needs, SECRET)

    async def note(request_id: str, _: Sequence[Lookup]) -> None:
        played.jobs.append(request_id)

    asked: Mapping[str, Mapping[str, str]] = (
        {"": content.inputs} if content.inputs is not None else content.lookups or {}
    )
    lookups = [Lookup(inputs, ref) for ref, inputs in asked.items()]
    async with create_provider(spec, options, clock, transport=vendor) as provider:
        try:
            replies = await provider.ask_many(lookups, note)
            played.replies = {lookup.ref: reply for lookup, reply in zip(lookups, replies, strict=True)}
            if content.inputs is not None and isinstance(reply := played.replies[""], CallError):
                played.raised = reply
        except CallError as e:
            played.raised = e
        except ValueError as e:  # the inputs are not enough for the provider
            raise ExampleCantBePlayed(str(e)) from None
    played.requests, played.seconds = vendor.asked, clock.monotonic()
    return played


class ExampleCantBePlayed(Exception):
    """The example asks what the provider can't be asked."""


def _outcome_differences(example: Example, played: Played) -> list[str]:
    content = example.content
    if content.error is not None:
        if played.raised is None:
            return [f"no {content.error.type} was raised: {_plain(played.replies)}"]
        said = f"{type(played.raised).__name__}: {played.raised}"
        holds = type(played.raised).__name__ == content.error.type and content.error.says in str(played.raised)
        found = [] if holds else [f"{said!r} was raised, not {content.error.type} that says {content.error.says!r}"]
        inputs = content.inputs or {}
        return found + [
            f"the error repeats the input {n!r}" for n, value in inputs.items() if value in str(played.raised)
        ]
    if played.raised is not None:
        return [f"{type(played.raised).__name__} was raised: {played.raised}"]
    expected: Mapping[str, ExpectedAnswer | str]
    expected = {"": content.answer} if content.answer is not None else content.answers or {}
    found = []
    for ref in dict.fromkeys([*expected, *played.replies]):
        of = f"{ref}: " if ref else ""
        if ref not in played.replies or ref not in expected:
            found.append(f"{of}{'nothing came of it' if ref in expected else 'the example says nothing of it'}")
            continue
        found += [f"{of}{said}" for said in _answer_differences(expected[ref], played.replies[ref])]
    return found


def _answer_differences(expected: ExpectedAnswer | str, reply: Reply) -> list[str]:
    if isinstance(expected, str) or not isinstance(reply, Answer):
        name = reply.status if isinstance(reply, Answer) else type(reply).__name__
        wanted = expected if isinstance(expected, str) else expected.status
        return [] if name == wanted else [f"it came to {name}, not to {wanted}"]
    found = []
    compared: tuple[tuple[str, object, object], ...] = (
        ("status", reply.status, expected.status),
        ("charged_usd", reply.charged_usd, Decimal(str(expected.charged_usd))),
        ("error_code", reply.error_code, expected.error_code),
    )
    for what, actual, listed_ in compared:
        if actual != listed_:
            found.append(f"{what} is {actual}, not {listed_}")
    given = {v.field: (v.value, v.confidence, v.verification) for v in reply.values}
    listed = {name: (v.value, v.confidence, v.verification) for name, v in expected.values.items()}
    for field_ in dict.fromkeys([*listed, *given]):
        if given.get(field_) != listed.get(field_):
            found.append(f"{field_} is {_value(given.get(field_))}, not {_value(listed.get(field_))}")
    return found


def _value(value: tuple[str, float | None, str | None] | None) -> str:
    if value is None:
        return "nothing"
    text, confidence, verification = value
    more = [f"confidence {confidence:g}" if confidence is not None else "", verification or ""]
    return ", ".join([repr(text), *filter(None, more)])


def _plain(replies: Mapping[str, Reply]) -> str:
    return (
        ", ".join(r.status if isinstance(r, Answer) else type(r).__name__ for r in replies.values()) or "nothing came"
    )


def _request_differences(expected: ExpectedRequest, request: Any) -> list[str]:
    found = []
    path = request.url.raw_path.decode("ascii").partition("?")[0]
    sent: list[tuple[str, Any, Any]] = [("method", request.method, expected.method)]
    sent.append(("path", request.url.path if request.url.path == expected.path else path, expected.path))
    if expected.query is not None:
        sent.append(("query", _masked(dict(request.url.params)), dict(expected.query)))
    if expected.json_body is not None:
        sent.append(("json", json.loads(_masked_text(request.content.decode()) or "null"), expected.json_body))
    if expected.form is not None:
        sent.append(("form", _masked(dict(parse_qsl(request.content.decode()))), dict(expected.form)))
    for name, value in expected.headers.items():
        sent.append((f"header {name}", _masked_text(request.headers.get(name, "")), value))
    for what, said, wanted in sent:
        if said != wanted:
            found.append(f"{what} is {said!r}, not {wanted!r}")
    return found


def _masked(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: _masked_text(value) for name, value in parameters.items()}


def _masked_text(text: str) -> str:
    return text.replace(SECRET, "{api_key}").replace(_TOKEN, "{token}")
