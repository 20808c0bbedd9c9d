"""HubSpot's ways of answering and of saying no. Every part of an error body is optional (live): nothing is assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from revetl.destinations.hubspot import shapes
from revetl.http import Response, ResponseVerdict, one_word
from revetl.json_documents import parse_json

# 477: the account is being moved between data centres, Retry-After in seconds (docs); 524: Cloudflare gave up waiting.
VERDICTS = {477: ResponseVerdict.UNAVAILABLE, 524: ResponseVerdict.AMBIGUOUS}

# Refusals because of a value that no account takes: the vendor's words, and ours for what is not even sent. An option
# or an owner that is not there can be made there, so their words are not among them.
IN_ROW = frozenset(
    {
        *("INVALID_BOOLEAN", "INVALID_DATE", "INVALID_EMAIL", "INVALID_INTEGER", "INVALID_LONG", "INVALID_NUMBER"),
        *("INVALID_STRING", "INVALID_TYPE", "INVALID_URL", "STRING_TOO_LONG", "VALUE_TOO_LONG"),
        *("INVALID_VALUE", "MISSING_ID"),
    }
)

_LISTS = re.compile(r"/crm/(v3/)?lists/")
_MESSAGE_CHARS = 500
_BODY = "revetl.body"  # where an answer that was read once is kept
_EMBEDDED = "Property values were not valid: "


def batch_read(ids: Iterable[str], properties: Sequence[str], id_property: str | None = None) -> dict[str, Any]:
    """The body of a batch read. `id_property` None: `ids` are record ids. The empty histories are required (spec)."""
    body = {"inputs": [{"id": id_} for id_ in ids], "properties": [*properties], "propertiesWithHistory": []}
    return body if id_property is None else {**body, "idProperty": id_property}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error, of a batch or of one input of it. `trace_ids` and `ids` say whom it means, empty where it doesn't."""

    code: str
    message: str
    trace_ids: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    existing_ids: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()


def body_of(response: Response) -> dict[str, Any]:
    """The JSON object in the answer; empty where there is none."""
    return _object(response) or {}


def readable(response: Response) -> bool:
    """Every success is a JSON object, but for a 204, which has no body (docs). What is read is as it is documented too:
    a record that can't be read must not be taken for one that is not there."""
    path = response.request.url.path
    looks_up = path.endswith(("/batch/read", "/search"))
    reads = looks_up or response.request.method == "GET"
    if response.status_code == 204:
        return not reads
    body = _object(response)
    if body is None or not reads:
        return body is not None
    if _LISTS.match(path):
        return not looks_up or shapes.names_lists_or_members(body)
    if path.endswith("/schemas"):
        return shapes.lists_types(body)
    return shapes.is_as_documented(body) and (not looks_up or shapes.names_its_results(body))


def _object(response: Response) -> dict[str, Any] | None:
    read = response.extensions
    if _BODY not in read:
        try:
            body = parse_json(response.content)
        except ValueError:
            body = None
        read[_BODY] = body if isinstance(body, dict) else None
    found: dict[str, Any] | None = read[_BODY]
    return found


def refusals(body: dict[str, Any]) -> list[Refusal]:
    """The errors of a 207."""
    return [refusal(e) for e in listed(body.get("errors")) if isinstance(e, dict)]


def refusal(body: dict[str, Any]) -> Refusal:
    """An error body, or one item of a 207. The most exact code wins: that of the errors inside, where they agree."""
    message = _text(body.get("message"))
    inner = [e for e in [*listed(body.get("errors")), *_embedded(message)] if isinstance(e, dict)]
    codes = {_text(e.get("code") or e.get("error")) for e in inner} - {""}
    category = _text(body.get("category") or body.get("policyName") or body.get("errorType"))
    context = body.get("context") if isinstance(body.get("context"), dict) else {}
    said = list(dict.fromkeys(_text(e.get("message")) for e in inner if e.get("message")))
    return Refusal(
        code=one_word(codes.pop() if len(codes) == 1 else category) or "UNKNOWN_ERROR",
        message=("; ".join(said) or message)[:_MESSAGE_CHARS],
        trace_ids=_strings(context, "objectWriteTraceId"),
        ids=_strings(context, "ids"),
        existing_ids=_strings(context, "existingId"),
        properties=tuple(dict.fromkeys(_property_names(inner, context))),
    )


def error_code(response: Response) -> str | None:
    body = body_of(response)
    return refusal(body).code if body and not response.is_success else None


def missing_scopes(response: Response) -> str | None:
    """The scopes that a 403 asks for (captured: `errors[].context.requiredGranularScopes`)."""
    errors = (e for e in listed(body_of(response).get("errors")) if isinstance(e, dict))
    scopes = dict.fromkeys(scope for e in errors for scope in _strings(e.get("context"), "requiredGranularScopes"))
    return f"the token lacks {', '.join(scopes)}" if scopes else None


def wait_s(response: Response) -> float | None:
    """How long a 429 asks to wait. The daily limit ends at midnight of the account: not worth holding a run for. No
    header is documented for the others, so the gate's own steps find the end of the window."""
    if body_of(response).get("policyName") == "DAILY":
        return inf
    after = response.headers.get("retry-after", "")
    return float(after) if after.isascii() and after.isdigit() and len(after) < 10 else None


def _property_names(inner: Iterable[dict[str, Any]], context: Any) -> Iterable[str]:
    yield from _strings(context, "propertyName")
    for e in inner:
        yield from _strings(e.get("context"), "propertyName")
        if e.get("name"):
            yield _text(e["name"])


def _embedded(message: str) -> list[Any]:
    """Validation errors are a JSON array inside the message (captured)."""
    array = message.partition(_EMBEDDED)[2]
    try:
        return listed(parse_json(array[: array.rfind("]") + 1]))
    except ValueError:
        return []


def _strings(context: Any, key: str) -> tuple[str, ...]:
    value = context.get(key) if isinstance(context, dict) else None
    return tuple(_text(v) for v in listed(value)) if isinstance(value, list) else (_text(value),) if value else ()


def listed(value: Any) -> list[Any]:
    """The list, or an empty one where it is none."""
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None else str(value)
