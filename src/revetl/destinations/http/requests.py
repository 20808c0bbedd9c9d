"""A change as the request that makes it: address, body, and a name of its own by which a repeat is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import orjson

from revetl.destinations.base import FieldType
from revetl.destinations.http.grammar import ApiObject, ApiRequest
from revetl.destinations.http.syntax import fill, parameters
from revetl.destinations.http.values import as_json, as_text, nested, placed
from revetl.http import SessionRequest
from revetl.model import Change, Scalar

_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Of one object and one of its operations. `about` tells the object from others; `token_headers` are those that
    hold what a repeat is known by."""

    object: ApiObject
    request: ApiRequest
    match_on: str | None
    about: str = ""
    token_headers: tuple[str, ...] = ()

    def values(self, change: Change) -> dict[str, Scalar]:
        """Every column that is known of this record; what is sent last wins."""
        known = {self.match_on: change.match_value} if self.match_on else {}
        return {**known, **(change.record or {}), **change.fields}

    def record(self, change: Change) -> dict[str, Any]:
        """The change as JSON. ValueError, with the field's name and without its value, where it has none."""
        request = self.request
        if request.body == "none":
            columns: Mapping[str, Scalar] = {}
        elif request.body == "whole":
            columns = {**(change.record or {}), **change.fields}
        else:
            columns = change.fields
        in_path = parameters(request.path)
        sent = {name: self._json(name, value) for name, value in columns.items() if name not in in_path}
        if request.shape == "change":
            return {"key": change.key, "op": change.op, "fields": sent}
        if request.body != "none":
            sent |= self.object.constants
        if request.inside and request.body != "none":
            sent = {request.inside: nested(sent)}
        if request.id_as and change.destination_id is not None:
            sent[request.id_as] = change.destination_id
        if request.key_as:
            sent[request.key_as] = change.key
        return nested(sent)

    def outgoing(self, changes: Sequence[Change], records: Sequence[dict[str, Any]]) -> SessionRequest:
        """One call with these records; one that is no batch has one. ValueError where the path can't be filled, or a
        value has no form in JSON."""
        request = self.request
        path = self._path(changes[0])
        content: bytes | None = None
        if request.rows is not None:
            content = _encoded(placed(request.at, list(records), request.beside), records)
        elif request.body != "none" or records[0]:
            content = _encoded(placed(request.at, records[0], request.beside), records)
        headers = {"content-type": "application/json"} if content is not None else {}
        headers |= {name.lower(): value for name, value in request.headers.items()}
        if self.token_headers:
            token = self._token(changes, path, content)
            headers |= {name.lower(): token for name in self.token_headers}
        return SessionRequest(request.method, path, content, request.query, headers, shown_as=request.path)

    def _json(self, name: str, value: Scalar) -> Any:
        if type(value) in _AS_THEY_ARE and name not in self.object.fields:
            return value
        type_: FieldType = self.object.fields.get(name, "any")
        try:
            return as_json(value, type_)
        except (ValueError, TypeError) as e:
            raise ValueError(f"{name}: {e.__cause__ or e}") from None

    def _path(self, change: Change) -> str:
        """Each value stays in its segment: what would mean another one is refused."""
        known = {**self.values(change), "key": change.key, "id": change.destination_id}
        filled: dict[str, str] = {}
        for name in parameters(self.request.path):
            value = as_text(known.get(name))
            if not value:
                raise ValueError(f"{name}: has no value, and stands in the path")
            filled[name] = quote(value, safe="")
        path = fill(self.request.path, filled)
        if any(segment in (".", "..") for segment in path.split("/")):
            raise ValueError("a segment of the path would be . or .., which names another place")
        return path

    def _token(self, changes: Sequence[Change], path: str, content: bytes | None) -> str:
        """The same for the same changes, now or after a crash; another as soon as anything is another, or as the vendor
        has answered about the record since."""
        who = [[c.key, c.op, c.destination_id, c.after] for c in changes]
        seed = orjson.dumps([self.about, self.request.method, path, who, (content or b"").hex()])
        return f"revetl_{sha256(seed).hexdigest()[:40]}"


def _encoded(document: Any, records: Sequence[dict[str, Any]]) -> bytes:
    """ValueError, which names the field of the first record that can't be written down, and why."""
    try:
        return orjson.dumps(document)
    except TypeError as whole:
        for record in records:
            for name, value in (record.get("fields") or record).items():
                try:
                    orjson.dumps(value)
                except TypeError as e:
                    raise ValueError(f"{name}: {e}") from None
        raise ValueError(str(whole)) from None
