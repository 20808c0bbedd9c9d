"""From a spec to one request, and from one response to its meaning. Pure: no network, no clock, no state.

Batches are `records.py`'s, which uses the same parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from revetl.providers.base import ProvidedValue, Verification
from revetl.providers.spec import (
    Confidence,
    HttpRow,
    Output,
    Place,
    ProviderSpec,
    Row,
    Verdict,
    VerificationRule,
)
from revetl.providers.spec.parts import fill

HttpRowT = TypeVar("HttpRowT", bound=HttpRow)
_ABSENT = object()
# A shorter key is none of a vendor's, and stands inside of ordinary words.
SHORTEST_SECRET = 8
MAX_VALUE_CHARS = 4_000  # of one provided value; more than this is not a field but a document


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request without its credentials."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Any = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one response, or one record of it, means. `row` is the row of the table that matched; None: no row did."""

    verdict: Verdict
    row: Row | None
    values: tuple[ProvidedValue, ...]
    charged_usd: Decimal
    error_code: str | None
    credits: Mapping[str, Decimal]


def render(spec: ProviderSpec, inputs: Mapping[str, str]) -> Outgoing:
    """The request for these inputs. Parameters whose inputs are absent are left out."""
    request = spec.request
    query: dict[str, str] = {}
    for name, alternatives in request.query.items():
        for template in alternatives:
            if (text := fill(template, inputs)) is not None:
                query[name] = text
                break
    body = None if request.json_body is None else fill_tree(request.json_body, inputs)
    return Outgoing(request.method, request.path, query, body)


def read(spec: ProviderSpec, status: int, headers: Mapping[str, str], body: Any) -> Reading:
    """What this response means. `headers` by lower-case name; `body` is JSON data, None where it was none."""
    row = matching(spec.status, status, body)
    return settle(spec, "ambiguous" if row is None else row.verdict, row, headers, body)


def settle(spec: ProviderSpec, verdict: Verdict, row: Row | None, headers: Mapping[str, str], body: Any) -> Reading:
    """The reading of this response under a verdict that is already known (`then`, after the last attempt).

    The values of a batch stand in its records, so it has none here.
    """
    values = tuple(values_of(spec, body)) if verdict == "hit" and spec.batch is None else ()
    credits = credits_of(spec, headers, body)
    usd = Decimal(0) if _said_free(spec, body) else _charge(spec, verdict, values, credits)
    return Reading(verdict, row, values, usd, error_code(spec, body), credits)


def matching(rows: Sequence[HttpRowT], status: int, body: Any) -> HttpRowT | None:
    """The first row that matches. None as well where "found" or "not found" was said under 2xx without a JSON body: a
    page of some proxy, or half an answer, says neither."""
    row = next((r for r in rows if r.matches_status(status) and looks(r, body)), None)
    said = row is not None and row.verdict in ("hit", "miss")
    return None if said and body is None and 200 <= status < 300 and status != 204 else row


def parsed(text: str, api_key: str) -> Any:
    """JSON data or None. A vendor that echoes the key must not get it into the ledger; NaN is no JSON."""
    if len(api_key) >= SHORTEST_SECRET:
        text = text.replace(api_key, "***")
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return None


def error_code(spec: ProviderSpec, body: Any) -> str | None:
    """The vendor's own word for what went wrong. Its message is left alone: it may repeat what was asked."""
    return next((str(c) for p in spec.error_code if isinstance(c := at(body, p), str | int)), None)


def at(data: Any, pointer: str) -> Any:
    """The value at an RFC 6901 pointer, None where nothing stands."""
    found = _at(data, pointer)
    return None if found is _ABSENT else found


def _at(data: Any, pointer: str) -> Any:
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _ABSENT
    return data


def fill_tree(node: Any, inputs: Mapping[str, str]) -> Any:
    """A JSON body with its templates filled; what lacks an input is left out, and so is what is empty without it."""
    if isinstance(node, str):
        return fill(node, inputs)
    if isinstance(node, Mapping):
        filled = {key: fill_tree(value, inputs) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value is not None} or None
    if isinstance(node, list):
        return [value for item in node if (value := fill_tree(item, inputs)) is not None] or None
    return node


def looks(row: Row, body: Any) -> bool:
    """Whether the body is as the row wants it."""
    if row.at is None:
        return True
    return is_one_of(at(body, row.at), row.equals)


def is_one_of(found: Any, wanted: Any) -> bool:
    """Whether a value of the body is this, or one of a list."""
    # `is` for the type: 1 == True in Python, not in JSON.
    each = wanted if isinstance(wanted, list) else [wanted]
    return any(found == w and isinstance(found, bool) is isinstance(w, bool) for w in each)


def values_of(spec: ProviderSpec, body: Any) -> list[ProvidedValue]:
    values = []
    for field, output in spec.outputs.items():
        text = next((t for p in output.at if (t := _transformed(at(body, p), output)) is not None), None)
        if text is None:
            continue
        confidence = _confidence(output.confidence or spec.confidence, body)
        verification = _verification(output.verification or spec.verification, body)
        values.append(ProvidedValue(field, text, confidence, verification))
    return values


def _transformed(value: Any, output: Output) -> str | None:
    for name in output.transform:
        value = _TRANSFORMS[name](value)
    text = _text(value)
    if text is None or output.map is None:
        return text
    return output.map.get(text)


def _text(value: Any) -> str | None:
    """A scalar as text. A boolean stands for "there is one, but not for this account", so it is no value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text if 0 < len(text) <= MAX_VALUE_CHARS else None


def _confidence(rule: Confidence | None, body: Any) -> float | None:
    if rule is None:
        return None
    value = at(body, rule.at)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(1.0, max(0.0, value / rule.scale)))


def _verification(rule: VerificationRule | None, body: Any) -> Verification | None:
    if rule is None:
        return None
    word = at(body, rule.at)
    # Nothing there means that nobody verified; a word that the spec does not know means that we can't tell.
    return None if word is None or word == "" else rule.map.get(str(word), "unknown")


def credits_of(spec: ProviderSpec, headers: Mapping[str, str], body: Any) -> Mapping[str, Decimal]:
    """What the vendor says of its credits: `charged` for this call, `remaining` in the account."""
    rule = spec.price.credits
    if rule is None:
        return {}
    said = {"charged": rule.charged, "remaining": rule.remaining}
    counts = {name: _count(place, headers, body) for name, place in said.items() if place is not None}
    return {name: count for name, count in counts.items() if count is not None}


def _count(place: Place, headers: Mapping[str, str], body: Any) -> Decimal | None:
    said = headers.get(place.header.lower()) if place.header else at(body, place.at or "")
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        count = Decimal(str(said))
    except InvalidOperation:
        return None
    return count if count.is_finite() and count >= 0 else None


def _charge(
    spec: ProviderSpec, verdict: Verdict, values: Sequence[ProvidedValue], credits: Mapping[str, Decimal]
) -> Decimal:
    """The vendor's own count where it gives one, else the declared price. Only an answer costs anything."""
    price = spec.price
    if price.credits is not None and price.credits.usd is not None and "charged" in credits:
        return credits["charged"] * price.credits.usd
    return declared_charge(spec, verdict, values)


def _said_free(spec: ProviderSpec, body: Any) -> bool:
    free = spec.price.free_when
    return free is not None and is_one_of(at(body, free.at), free.equals)


def declared_charge(spec: ProviderSpec, verdict: Verdict, values: Sequence[ProvidedValue]) -> Decimal:
    """What an answer costs by the declared price."""
    price = spec.price
    if verdict not in ("hit", "miss"):
        return Decimal(0)
    if verdict == "miss":
        return price.per_call_usd
    filled = {v.field for v in values}
    groups = sum((g.usd for g in price.groups if filled.intersection(g.fields)), Decimal(0))
    return price.per_call_usd + price.per_hit_usd + groups


def _on_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value


def _element(index: int) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        return (value[index] if value else None) if isinstance(value, list) else value

    return take


def _https(url: str) -> str:
    bare = re.sub(r"^https?://", "", url.strip())
    return f"https://{bare}" if bare else ""


def _year(date: str) -> str:
    """Of a date as ISO 8601 writes it."""
    found = re.match(r"\s*(\d{4})(?:-|\s*$)", date)
    return found[1] if found else ""


_TRANSFORMS: Mapping[str, Callable[[Any], Any]] = {
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "strip": _on_text(str.strip),
    "title": _on_text(str.title),
    "first": _element(0),
    "last": _element(-1),
    "https": _on_text(_https),
    "digits": _on_text(lambda text: "".join(c for c in text if c.isdigit())),
    "year": _on_text(_year),
}
