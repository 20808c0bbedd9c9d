"""A vendor's published API descriptions (OpenAPI 3.0) as a judge of what went over the wire.

The validator is `openapi-schema-validator`'s, which reads schemas as OpenAPI means them. Two things it leaves to its
users are here: which operation a request is, and names that no schema describes, which a schema allows and a vendor
would ignore or refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, oas30_format_checker

Schema = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_REFERENCES_MAX = 50


class Exchange(NamedTuple):
    """One request and its answer. `sent` and `answered` are bodies as text, empty where there was none."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    sent: str
    status: int
    answered: str


class Difference(NamedTuple):
    """`where`: the operation as the vendor writes it. `side`: request or answer. `what`: one line, with a path into
    the body in which every index is `*`, so that a batch of a hundred says it once."""

    where: str
    side: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} {self.side}: {self.what}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one file. `components` resolve its references. `literals`: segments of the path that are no
    parameter; `file` is the stem of the file's name."""

    method: str
    path: str
    pattern: re.Pattern[str]
    parameters: tuple[Schema, ...]
    request_body: Schema | None
    responses: Schema
    components: Schema
    literals: int
    file: str


class PublishedApi:
    """All descriptions below a folder. FileNotFoundError where there are none."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.rglob("*.json"))
        if not files:
            raise FileNotFoundError(f"no API descriptions in {folder}")
        self._operations = [operation for file in files for operation in _operations(file)]
        self._seen: dict[str, frozenset[Difference]] = {}

    def differences(self, exchange: Exchange) -> frozenset[Difference]:
        """What the descriptions say otherwise; empty where they agree. Exchanges of one shape are judged once."""
        shape = _shape_of(exchange)
        if shape not in self._seen:
            self._seen[shape] = frozenset(self._judge(exchange))
        return self._seen[shape]

    def _judge(self, exchange: Exchange) -> Iterator[Difference]:
        operation = self._operation(exchange.method, exchange.path)
        if operation is None:
            yield Difference(f"{exchange.method} {exchange.path}", "request", "is not described")
            return
        where = f"{operation.method} {operation.path}"
        for what in (*_of_query(operation, exchange.query), *_of_request_body(operation, exchange.sent)):
            yield Difference(where, "request", what)
        for what in _of_answer(operation, exchange.status, exchange.answered):
            yield Difference(where, "answer", what)

    def _operation(self, method: str, path: str) -> Operation | None:
        """Several files may describe one path: the one named for the object in it knows best, then the most literal."""
        segments = set(path.split("/"))
        fitting = [o for o in self._operations if o.method == method and o.pattern.fullmatch(path)]
        return max(fitting, key=lambda o: (o.file in segments, o.literals, -len(o.file)), default=None)


def _operations(file: Path) -> Iterator[Operation]:
    document = json.loads(file.read_text("utf-8"))
    components = document.get("components", {})
    for path, item in document["paths"].items():
        segments = path.split("/")
        pattern = "/".join("[^/]+" if s.startswith("{") else re.escape(s) for s in segments)
        for method in _METHODS:
            if method not in item:
                continue
            described = item[method]
            yield Operation(
                method.upper(),
                path,
                re.compile(pattern),
                tuple(
                    _resolved(p, components) for p in (*item.get("parameters", ()), *described.get("parameters", ()))
                ),
                _resolved(described["requestBody"], components) if "requestBody" in described else None,
                described["responses"],
                components,
                sum(not s.startswith("{") for s in segments),
                file.stem,
            )


def _resolved(schema: Schema, components: Schema) -> Schema:
    """`schema`, or what its reference leads to."""
    for _ in range(_REFERENCES_MAX):
        reference = schema.get("$ref")
        if reference is None:
            return schema
        found: Any = {"components": components}
        for name in reference.removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        schema = found
    raise ValueError("references lead in a circle")


def _of_query(operation: Operation, query: Iterable[tuple[str, str]]) -> Iterator[str]:
    described = {p["name"]: p for p in operation.parameters if p["in"] == "query"}
    given: dict[str, list[str]] = {}
    for name, value in query:
        given.setdefault(name, []).append(value)
    for name in sorted(given.keys() - described.keys()):
        yield f"query parameter {name!r} is not described"
    for name, parameter in described.items():
        if name not in given:
            if parameter.get("required"):
                yield f"query parameter {name!r} is missing"
            continue
        schema = parameter["schema"]
        value = _from_text(given[name], _resolved(schema, operation.components))
        yield from _of_value(f"query parameter {name!r}", schema, value, operation, reading=False)


def _from_text(texts: list[str], schema: Schema) -> Any:
    if schema.get("type") == "array":
        return [part for text in texts for part in text.split(",")]
    text = texts[-1]
    if schema.get("type") in ("integer", "number", "boolean"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _of_request_body(operation: Operation, sent: str) -> Iterator[str]:
    if operation.request_body is None:
        if sent:
            yield "a body is not described"
        return
    if not sent:
        if operation.request_body.get("required"):
            yield "the body is missing"
        return
    yield from _of_body(operation.request_body, sent, operation, reading=False)


def _of_answer(operation: Operation, status: int, answered: str) -> Iterator[str]:
    response = operation.responses.get(str(status))
    if response is None:
        if status < 400:
            yield f"{status} is not described"
        response = operation.responses.get("default")
        if response is None or status < 400:
            return
    response = _resolved(response, operation.components)
    if not response.get("content"):
        if answered:
            yield f"{status} has a body that is not described"
        return
    if not answered:
        yield f"{status} has no body"
        return
    kind = status if status < 400 else "an error"
    for what in _of_body(response, answered, operation, reading=True):
        yield f"{kind}: {what}"


def _of_body(described: Schema, text: str, operation: Operation, *, reading: bool) -> Iterator[str]:
    content = described["content"]
    schema = next((c["schema"] for kind, c in content.items() if "json" in kind or kind == "*/*"), None)
    if schema is None:
        yield f"JSON is not described, {', '.join(content)} is"
        return
    yield from _of_value("the body", schema, json.loads(text), operation, reading=reading)


def _of_value(base: str, schema: Schema, value: Any, operation: Operation, *, reading: bool) -> Iterator[str]:
    kind = OAS30ReadValidator if reading else OAS30WriteValidator
    validator = kind({**schema, "components": operation.components}, format_checker=oas30_format_checker)
    found = set()
    for error in validator.iter_errors(value):
        found.add(f"{base}{_pointer(error.absolute_path)} {_told(error)}")
    found |= {f"{base}{_pointer(path)} is not described" for path in _undescribed(schema, value, operation.components)}
    yield from sorted(found)


def _told(error: Any) -> str:
    match error.validator:
        case "required":
            missing = error.message.split("'")[1]
            return f"lacks {missing!r}"
        case "type":
            return f"is {_type_of(error.instance)}, not {error.validator_value}"
        case "enum":
            return f"is {error.instance!r}, not one of the described"
        case _:
            return f"breaks {error.validator} {error.validator_value!r}"


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names[type(value)]


def _pointer(path: Iterable[Any]) -> str:
    """Names below `properties` are those of a portal's fields, whichever they are."""
    parts = list(path)
    named = [i > 0 and parts[i - 1] in ("properties", "propertiesWithHistory") for i in range(len(parts))]
    return "".join(f"/{'*' if named[i] or isinstance(part, int) else part}" for i, part in enumerate(parts))


def _undescribed(
    schema: Schema, value: Any, components: Schema, path: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Where a value has a name that its schema does not describe."""
    schema = _resolved(schema, components)
    if any(key in schema for key in ("oneOf", "anyOf", "allOf")):
        return
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from _undescribed(schema["items"], item, components, (*path, i))
    if not isinstance(value, dict):
        return
    described = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name, item in value.items():
        if name in described:
            yield from _undescribed(described[name], item, components, (*path, name))
        elif isinstance(others, dict):
            yield from _undescribed(others, item, components, (*path, name))
        elif described:
            yield (*path, name)


_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.*Z")


def _shape_of(exchange: Exchange) -> str:
    """Equal for exchanges that a description can't tell apart."""
    bodies = [_shape(json.loads(text)) if text else None for text in (exchange.sent, exchange.answered)]
    return repr((exchange.method, exchange.path, exchange.query, exchange.status, *bodies))


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((name, _shape(item)) for name, item in sorted(value.items()))
    if isinstance(value, list):
        return ("list", *sorted({repr(_shape(item)) for item in value}))
    if isinstance(value, str):
        return value if _CONSTANT.fullmatch(value) else "a moment" if _MOMENT.fullmatch(value) else "a text"
    return _type_of(value)


@lru_cache(maxsize=4)
def published(folder: Path) -> PublishedApi:
    """Read once per process."""
    return PublishedApi(folder)
