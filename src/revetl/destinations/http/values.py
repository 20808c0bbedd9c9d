"""JSON pointers and values: how a row becomes the JSON of a record, and what of an answer stands where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from revetl.destinations.base import FieldType
from revetl.json_documents import parse_json
from revetl.model import JsonText, Scalar

_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")  # a number that a vendor gives as text, without an exponent


def steps(pointer: str) -> tuple[str, ...]:
    """RFC 6901. "" is the whole document."""
    return tuple(s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:])


def at(document: Any, pointer: str | None) -> Any:
    """What stands there; None where nothing does, or no pointer is given."""
    if pointer is None:
        return None
    for step in steps(pointer):
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and len(step) < 7:
            document = document[int(step)] if int(step) < len(document) else None
        else:
            return None
    return document


def stands(document: Any, pointer: str) -> bool:
    """Whether anything stands there, null too."""
    folder, _, _ = pointer.rpartition("/")
    inner = at(document, folder)
    return at(document, pointer) is not None or (isinstance(inner, Mapping) and steps(pointer)[-1] in inner)


def placed(pointer: str, content: Any, beside: Mapping[str, Any]) -> Any:
    """A document with `content` at the pointer, and what stands beside it."""
    if not pointer:
        return content
    document: dict[str, Any] = nested(beside)
    inner = document
    *folders, last = steps(pointer)
    for step in folders:
        inner = inner.setdefault(step, {})
    inner[last] = content
    return document


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`address.city` becomes `city` in `address`. ValueError where one name is both a value and a folder."""
    if not any("." in name for name in flat):
        return dict(flat)
    document: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        inner: Any = document
        for step in folders:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{name}: {step} holds a value, and so can't hold {last!r}")
        if last in inner:
            raise ValueError(f"{name}: {last} stands there already")
        inner[last] = value
    return document


def as_json(value: Scalar, type_: FieldType) -> Any:
    """The value as JSON data. ValueError, which does not hold it, where it has none."""
    if isinstance(value, JsonText) or (type_ == "json" and isinstance(value, str)):
        try:
            return parse_json(value)
        except ValueError:
            raise ValueError("is no JSON") from None
    if isinstance(value, Decimal):
        if type_ != "number":
            return format(value, "f")
        if not value.is_finite():
            raise ValueError("is no number that JSON has")
        return orjson.Fragment(format(value, "f"))  # its digits: a float would round them
    if isinstance(value, bytes):
        raise ValueError("a value of type bytes can't be sent as JSON")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _moment(value)
    return orjson.loads(orjson.dumps(value)) if isinstance(value, date) else value


def _moment(value: datetime) -> str:
    """ISO 8601. An offset with seconds, as of old local times, has no form there: such a moment is said in UTC. One
    that no other zone could say is refused."""
    try:
        in_utc = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a moment outside of the years 1 to 9999 in UTC can't be sent") from None
    offset = value.utcoffset()
    return (in_utc if offset is not None and offset % timedelta(minutes=1) else value).isoformat()


def from_json(data: Any) -> Scalar:
    """A value of an answer, as a connector gives it."""
    if isinstance(data, dict | list):
        return JsonText(_canonical(data))
    return data if data is None or isinstance(data, str | int | float | bool) else str(data)


def form(value: Scalar, type_: FieldType) -> str:
    """In which two values are one: nested ones by their content, numbers by what they are, all else by its text."""
    if isinstance(value, JsonText) or (type_ == "json" and isinstance(value, str)):
        try:
            data = parse_json(value)
        except ValueError:
            return str(value)  # the vendor has text there
        if isinstance(data, dict | list):
            return _canonical(data)
        value = from_json(data)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if type_ == "number" and (number := _number(value)) is not None:
        return number
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(orjson.loads(orjson.dumps(value))) if isinstance(value, date) else str(value)


def _number(value: Scalar) -> str | None:
    """Without zeros that say nothing: what was sent as 200.20 comes back as 200.2. None for what is no number."""
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return None
    if not isinstance(value, str | float | Decimal):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number.is_finite():
        return None
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def as_text(value: Scalar) -> str:
    """As it stands in an address or a query."""
    return "" if value is None else form(value, "any")


def listed(document: Any, pointer: str) -> list[Any] | None:
    """The list there; an object counts as the only one of a list, and None is said where neither stands there."""
    found = at(document, pointer)
    if isinstance(found, dict):
        return [found]
    return found if isinstance(found, list) else None


def leaves(record: Mapping[str, Any], names: Iterator[str]) -> dict[str, Scalar]:
    """The values of a record by the names of columns, dotted ones from within."""
    return {name: from_json(at(record, pointer_of(name))) for name in names}


def pointer_of(name: str) -> str:
    """Where the column stands in a record."""
    return "/" + name.replace("~", "~0").replace("/", "~1").replace(".", "/")


def _canonical(data: Any) -> str:
    return orjson.dumps(_plain(data), option=orjson.OPT_SORT_KEYS).decode()


def _plain(data: Any) -> Any:
    """1.0 and 1 are one number, and what is larger than JSON's readers take is its text."""
    if isinstance(data, dict):
        return {name: _plain(inner) for name, inner in data.items()}
    if isinstance(data, list):
        return [_plain(inner) for inner in data]
    if isinstance(data, float) and data.is_integer():
        data = int(data)
    return str(data) if isinstance(data, int) and not -(2**63) <= data < 2**64 else data
