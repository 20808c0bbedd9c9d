"""The properties of an object: read once, and the one that we need made."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from revetl.destinations.base import DestinationField, FieldType
from revetl.destinations.hubspot import api
from revetl.errors import ConfigError, Unavailable
from revetl.http import Session

CONTACTS = ("contacts", "contact", "0-1")
# Takes a step back and does not apply it, unless it is cleared first (docs).
_ONLY_FORWARD = frozenset({"lifecyclestage"})
_TYPES: dict[str, FieldType] = {"number": "number", "bool": "bool", "date": "date", "datetime": "datetime"}


class Schema:
    """What each object's properties are. Requests are made once per object and session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fields: dict[str, dict[str, DestinationField]] = {}
        self._groups: dict[str, str] = {}
        self._lock = asyncio.Lock()

    def known(self, object_: str) -> dict[str, DestinationField]:
        """Without asking; empty before the first `fields`."""
        return self._fields.get(object_, {})

    async def fields(self, object_: str) -> dict[str, DestinationField]:
        """ConfigError where the portal has no such object."""
        if object_ not in self._fields:
            async with self._lock:
                if object_ not in self._fields:
                    await self._read(object_)
        return self._fields[object_]

    async def ensure_key(self, object_: str, name: str) -> None:
        """This unique property stands, afterwards. Repeating is safe. ConfigError where its name is taken by a property
        that is not unique, or the portal refuses another unique one (10 per object, docs)."""
        fields = await self.fields(object_)
        if name not in fields:
            async with self._lock:
                if name not in self._fields[object_]:
                    await self._create(object_, name)
                    await self._read(object_)
            fields = self._fields[object_]
        if name not in fields or not fields[name].unique:
            raise ConfigError(
                f"{self._session.name}: the property {name!r} of {object_} exists but is not unique",
                hint="set key_property to a name that is free",
            )

    async def _read(self, object_: str) -> None:
        response = await self._session.request("GET", api.properties_path(object_), idempotent=True)
        body = api.body_of(response)
        results = body.get("results")
        if response.is_success and not isinstance(results, list):
            # A proxy's page with status 200: says nothing about the object.
            raise Unavailable(f"{self._session.name} did not answer with the properties of {object_}", code="NO_JSON")
        if not isinstance(results, list):
            code = api.refusal(body).code if body else str(response.status_code)
            raise ConfigError(f"{self._session.name} has no object {object_!r} ({code})")
        found = [p for p in results if isinstance(p, dict) and p.get("name") and not p.get("archived")]
        self._fields[object_] = {str(p["name"]): _field(p, object_) for p in found}
        self._groups[object_] = next((str(p["groupName"]) for p in found if p.get("groupName")), "")

    async def _create(self, object_: str, name: str) -> None:
        body = {
            "name": name,
            "label": "revetl key",
            "description": "The record's identity in the warehouse. Written by revetl; do not edit.",
            "groupName": self._groups[object_],
            "type": "string",
            "fieldType": "text",
            "hasUniqueValue": True,
            "formField": False,
        }
        response = await self._session.request("POST", api.properties_path(object_), json=body, idempotent=True)
        # 409: another run was quicker, or a repeat of ours.
        if not response.is_success and response.status_code != 409:
            refusal = api.refusal(api.body_of(response))
            raise ConfigError(
                f"{self._session.name}: the property {name!r} of {object_} can't be created: {refusal.code}",
                hint=refusal.message,
            )


def _field(p: dict[str, Any], object_: str) -> DestinationField:
    metadata = p.get("modificationMetadata")
    read_only = bool(metadata.get("readOnlyValue")) if isinstance(metadata, dict) else False
    options = [o for o in p.get("options") or [] if isinstance(o, dict) and "value" in o]
    # The vendor's definition of a contact's email says that it is not unique, and every write that it is (live).
    unique = bool(p.get("hasUniqueValue")) or (object_ in CONTACTS and p["name"] == "email")
    return DestinationField(
        name=str(p["name"]),
        type=_type(str(p.get("type", "")), str(p.get("fieldType", ""))),
        read_only=read_only or bool(p.get("calculated")),
        unique=unique,
        options=tuple(str(o["value"]) for o in sorted(options, key=_display_order)),
        vacatable=unique,  # "" clears any property (docs), and a contact may have no address
        only_forward=str(p["name"]) in _ONLY_FORWARD,
    )


def _display_order(option: dict[str, Any]) -> float:
    """Lowest first; -1 and nothing come after all others, in the order given (docs)."""
    order = option.get("displayOrder")
    return order if isinstance(order, int) and order >= 0 else inf


def _type(type_: str, field_type: str) -> FieldType:
    if type_ == "enumeration":
        return "multi_enum" if field_type == "checkbox" else "enum"
    return _TYPES.get(type_, "string")
