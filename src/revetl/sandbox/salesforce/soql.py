"""SOQL as far as clients of records use it: fields, parents' fields, conditions, order, limit. What is not understood
is MALFORMED_QUERY, as the vendor answers what it does not understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from revetl.sandbox.salesforce.errors import SalesforceRefusal
from revetl.sandbox.salesforce.org import SalesforceOrg, SalesforceRecord
from revetl.sandbox.salesforce.schema import SalesforceField, SalesforceObject
from revetl.sandbox.salesforce.values import compared, whole_id

_TOKEN = re.compile(r"\s*(?:('(?:[^'\\]|\\.)*')|(<=|>=|!=|<>|[=<>(),])|([^\s,()=<>!']+))")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a is not None and a < b,
    ">": lambda a, b: a is not None and a > b,
    "<=": lambda a, b: a is not None and a <= b,
    ">=": lambda a, b: a is not None and a >= b,
}
_MOST_CHARS = 100_000  # docs
_COUNT = "count_of_all"

Condition = Callable[[SalesforceRecord], bool]


def query(org: SalesforceOrg, text: str, *, deleted: bool = False) -> list[dict[str, Any]]:
    """The records, with what was asked for. `deleted`: queryAll, which shows deleted ones too (docs)."""
    if len(text) > _MOST_CHARS:
        raise SalesforceRefusal(400, "QUERY_TOO_COMPLICATED", "the query has over 100,000 characters")
    return _Query(org, text).run(deleted=deleted)


@dataclass(frozen=True, slots=True)
class _Path:
    """A field, or one of a parent."""

    reference: SalesforceField | None
    parent: str | None
    field: SalesforceField


class _Query:
    def __init__(self, org: SalesforceOrg, text: str) -> None:
        self._org = org
        self._tokens = _tokens(text)
        self._at = 0

    def run(self, *, deleted: bool) -> list[dict[str, Any]]:
        self._expect("SELECT")
        names = [self._next()]
        while self._skip(","):
            names.append(self._next())
        self._expect("FROM")
        object_ = self._object(self._next())
        fits: Condition = self._either(object_) if self._skip("WHERE") else lambda _: True
        rows = [r for r in self._org.records.values() if r.object == object_.name and (deleted or not r.deleted)]
        rows = [r for r in rows if fits(r)]
        if self._skip("ORDER"):
            self._expect("BY")
            rows = self._ordered(object_, rows)
        if self._skip("LIMIT"):
            rows = rows[: int(self._next())]
        if self._at < len(self._tokens):
            raise _malformed(f"unexpected token: '{self._tokens[self._at]}'")
        if names == [_COUNT]:
            return [{}] * len(rows)
        paths = [(name, self._path(object_, name)) for name in names]
        return [self._shown(object_, row, paths) for row in rows]

    def _ordered(self, object_: SalesforceObject, rows: list[SalesforceRecord]) -> list[SalesforceRecord]:
        orders: list[tuple[_Path, bool]] = []
        while True:
            path = self._path(object_, self._next())
            descending = self._skip("DESC")
            if not descending:
                self._skip("ASC")
            orders.append((path, descending))
            if not self._skip(","):
                break
        for path, descending in reversed(orders):
            rows = sorted(rows, key=lambda r, p=path: ((v := self._value(r, p)) is not None, v), reverse=descending)  # type: ignore[misc]
        return rows

    def _either(self, object_: SalesforceObject) -> Condition:
        options = [self._every(object_)]
        while self._skip("OR"):
            options.append(self._every(object_))
        return lambda r: any(o(r) for o in options)

    def _every(self, object_: SalesforceObject) -> Condition:
        parts = [self._one(object_)]
        while self._skip("AND"):
            parts.append(self._one(object_))
        return lambda r: all(p(r) for p in parts)

    def _one(self, object_: SalesforceObject) -> Condition:
        if self._skip("("):
            inner = self._either(object_)
            self._expect(")")
            return inner
        if self._skip("NOT"):
            negated = self._one(object_)
            return lambda r: not negated(r)
        path = self._path(object_, self._next())
        if path.field.type == "textarea" and path.field.length > 255:
            # A long text area can't be filtered by (docs).
            message = f"field '{path.field.name}' can not be filtered in a query call"
            raise SalesforceRefusal(400, "INVALID_FIELD", message)
        word = self._next().upper()
        if word in ("IN", "NOT"):
            if word == "NOT":
                self._expect("IN")
            wanted = self._list(path)
            return lambda r: (compared(path.field, self._value(r, path)) in wanted) is (word == "IN")
        if word not in _COMPARE:
            raise _malformed(f"unexpected token: '{word}'")
        literal, compare = self._literal(path, self._next()), _COMPARE[word]
        return lambda r: compare(compared(path.field, self._value(r, path)), literal)

    def _list(self, path: _Path) -> set[Any]:
        self._expect("(")
        found = {self._literal(path, self._next())}
        while self._skip(","):
            found.add(self._literal(path, self._next()))
        self._expect(")")
        return found

    def _literal(self, path: _Path, token: str) -> Any:
        """Text is in quotes, and only text (docs): a wrong kind is INVALID_FIELD."""
        kind = path.field.type
        if token.lower() == "null":
            return None
        number, boolean = kind in ("int", "double", "currency", "percent"), kind == "boolean"
        quoted = token.startswith("'")
        if quoted == (number or boolean or kind in ("date", "datetime")):
            message = f"value of filter criterion for field '{path.field.name}' must be of type {kind}"
            raise SalesforceRefusal(400, "INVALID_FIELD", message)
        if quoted:
            text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token[1:-1], flags=re.DOTALL)
            if kind in ("id", "reference"):
                whole = whole_id(text)
                if whole is None:
                    raise SalesforceRefusal(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
                return compared(path.field, whole)
            return compared(path.field, text)
        if boolean:
            return token.lower() == "true"
        try:
            return float(token) if number else token
        except ValueError:
            raise _malformed(f"unexpected token: '{token}'") from None

    def _shown(
        self, object_: SalesforceObject, row: SalesforceRecord, paths: list[tuple[str, _Path]]
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {"attributes": attributes(object_.name, row.id)}
        for _, path in paths:
            if path.reference is None:
                shown[path.field.name] = self._value(row, path)
                continue
            parent = self._org.records.get(row.values.get(path.reference.name) or "")
            name = str(path.reference.relationship)
            if parent is None:
                shown[name] = None
            else:
                held = shown.setdefault(name, {"attributes": attributes(parent.object, parent.id)})
                held[path.field.name] = self._org.shown(parent, path.field.name)
        return shown

    def _value(self, row: SalesforceRecord, path: _Path) -> Any:
        if path.reference is None:
            return self._org.shown(row, path.field.name)
        parent = self._org.records.get(row.values.get(path.reference.name) or "")
        return self._org.shown(parent, path.field.name) if parent is not None else None

    def _path(self, object_: SalesforceObject, name: str) -> _Path:
        first, _, rest = name.partition(".")
        if not rest:
            found = object_.field(first)
            if found is None:
                message = f"No such column '{first}' on entity '{object_.name}'"
                raise SalesforceRefusal(400, "INVALID_FIELD", message)
            return _Path(None, None, found)
        reference = object_.parent(first)
        parent = self._object(reference.reference_to) if reference is not None and reference.reference_to else None
        found = parent.field(rest) if parent is not None else None
        if found is None:
            message = f"Didn't understand relationship '{first}' in field path"
            raise SalesforceRefusal(400, "INVALID_FIELD", message)
        return _Path(reference, first, found)

    def _object(self, name: str) -> SalesforceObject:
        try:
            return self._org.object(name)
        except SalesforceRefusal:
            raise SalesforceRefusal(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.") from None

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise _malformed("unexpected token: '<EOF>'")
        self._at += 1
        return self._tokens[self._at - 1]

    def _skip(self, word: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at].upper() == word
        self._at += found
        return found

    def _expect(self, word: str) -> None:
        if not self._skip(word):
            raise _malformed(f"expecting '{word}'")


def attributes(object_: str, id_: str) -> dict[str, str]:
    return {"type": object_, "url": f"/services/data/v59.0/sobjects/{object_}/{id_}"}


def _tokens(text: str) -> list[str]:
    found, at, text = [], 0, re.sub(r"(?i)^(\s*select\s+)count\(\)", rf"\1{_COUNT}", text).strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _malformed(f"unexpected token: '{text[at : at + 10]}'")
        found.append(match[1] or match[2] or match[3])
        at = match.end()
    return found


def _malformed(message: str) -> SalesforceRefusal:
    return SalesforceRefusal(400, "MALFORMED_QUERY", message)
