"""The fields of an object, as `describe` tells them, and those of its parents that a parent may be named by."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from revetl.destinations.base import DestinationField, FieldType
from revetl.destinations.salesforce import api
from revetl.errors import ConfigError, Unavailable
from revetl.http import Session

_OBJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TYPES: dict[str, FieldType] = {
    **dict.fromkeys(("int", "long", "double", "currency", "percent"), "number"),
    "boolean": "bool",
    "date": "date",
    "datetime": "datetime",
    "picklist": "enum",
    "multipicklist": "multi_enum",
}


@dataclass(frozen=True, slots=True)
class DescribedField:
    """`kind`: the vendor's own type. `finds`: it is an external id, by which records are upserted. `reference`: of a
    field of a parent (`Account.ExternalId__c`), the field of this object that holds the parent's id."""

    field: DestinationField
    kind: str
    length: int
    createable: bool
    updateable: bool
    finds: bool
    case_sensitive: bool
    reference: str | None = None


class OrgSchema:
    """Each object is asked for once per session."""

    def __init__(self, session: Session, path: str) -> None:
        self._session, self._path = session, path
        self._raw: dict[str, list[Mapping[str, Any]]] = {}
        self._refused: dict[str, tuple[str, ...]] = {}
        self._fields: dict[str, dict[str, DescribedField]] = {}
        self._lock = asyncio.Lock()

    def known(self, object_: str) -> Mapping[str, DescribedField]:
        """Without asking; empty before the first `fields`."""
        return self._fields.get(object_, {})

    async def fields(self, object_: str) -> Mapping[str, DescribedField]:
        """ConfigError where the org has no such object, or does not show it to this user."""
        async with self._lock:
            if object_ not in self._fields:
                described = await self._describe(object_)
                found = {str(f["name"]): _described(f) for f in described}
                for reference in described:
                    found |= await self._of_parent(reference)
                self._fields[object_] = found
        return self._fields[object_]

    async def refused(self, object_: str) -> tuple[str, ...]:
        """What this user may not do with records of the object: `read`, `create`, `edit`, `delete`."""
        await self.fields(object_)
        return self._refused[object_]

    async def _of_parent(self, reference: Mapping[str, Any]) -> dict[str, DescribedField]:
        to, name = reference.get("referenceTo") or [], reference.get("relationshipName")
        if len(to) != 1 or not name or not (reference.get("createable") or reference.get("updateable")):
            return {}
        found = {}
        for field in await self._describe(str(to[0])):
            if field.get("externalId"):
                path = f"{name}.{field['name']}"
                found[path] = _described({**field, **{k: reference.get(k) for k in _MAY}}, path, str(reference["name"]))
        return found

    async def _describe(self, object_: str) -> list[Mapping[str, Any]]:
        if object_ not in self._raw:
            if not _OBJECT.fullmatch(object_):  # as a part of a path it would lead elsewhere
                raise ConfigError(f"{object_!r} is not the name of a Salesforce object")
            path = f"{self._path}/sobjects/{object_}/describe"
            response = await self._session.request("GET", path, idempotent=True)
            body = api.document(response)
            fields = body.get("fields") if isinstance(body, dict) else None
            if response.is_success and not isinstance(fields, list):
                raise Unavailable(f"{self._session.name} did not answer with the fields of {object_}", code="NO_JSON")
            if not isinstance(fields, list):
                raise ConfigError(f"{self._session.name} has no object {object_!r} ({api.error_code(response)})")
            self._refused[object_] = tuple(right for flag, right in _RIGHTS.items() if body.get(flag) is False)
            self._raw[object_] = [f for f in fields if isinstance(f, dict) and f.get("name") and f.get("type")]
        return self._raw[object_]


_MAY = ("createable", "updateable")
# What `describe` says of the object, for this user → the right as Setup names it (docs).
_RIGHTS = {"queryable": "read", "createable": "create", "updateable": "edit", "deletable": "delete"}


def _described(raw: Mapping[str, Any], path: str | None = None, reference: str | None = None) -> DescribedField:
    """The options of a picklist that takes others too are not named: no value is refused for them."""
    kind = str(raw["type"])
    values = [v for v in raw.get("picklistValues") or [] if isinstance(v, dict) and v.get("active", True)]
    field = DestinationField(
        path or str(raw["name"]),
        _TYPES.get(kind, "string"),
        read_only=not (raw.get("createable") or raw.get("updateable")),
        unique=bool(raw.get("unique")) and reference is None,
        options=tuple(str(v.get("value")) for v in values) if raw.get("restrictedPicklist") else (),
    )
    return DescribedField(
        field,
        kind,
        int(raw.get("length") or 0),
        bool(raw.get("createable")),
        bool(raw.get("updateable")),
        bool(raw.get("externalId")),
        bool(raw.get("caseSensitive")),
        reference,
    )
