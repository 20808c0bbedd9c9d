"""The objects of a portal and their properties: read once, and those made that are asked for.

An object that the account defined itself is named by its own name, its full name or its objectTypeId; addresses
take the last (docs).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from math import inf
from typing import Any

from revetl.destinations.base import DestinationField, FieldType
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.new_property import column_definition, key_definition
from revetl.destinations.hubspot.paths import ApiPaths, object_name
from revetl.errors import ConfigError, Denied, Unavailable
from revetl.http import Session

CONTACTS = ("contacts", "contact", "0-1")
# The vendor's own (spec): no account can define one of such a name.
_NAMES = (
    "contact contacts company companies deal deals ticket tickets appointments calls carts communications courses "
    "discounts emails feedback_submissions fees goal_targets invoices leads line_items listings meetings notes orders "
    "partner_clients payments postal_mail products quotes services subscriptions tasks taxes users"
)
VENDORS_OBJECTS = frozenset(_NAMES.split())
_TYPE_ID = re.compile(r"\d+-\d+")
# Takes a step back and does not apply it, unless it is cleared first (docs).
_ONLY_FORWARD = frozenset({"lifecyclestage"})
_TYPES: dict[str, FieldType] = {"number": "number", "bool": "bool", "date": "date", "datetime": "datetime"}


class Schema:
    """What each object's properties are. Requests are made once per object and session."""

    def __init__(self, session: Session, paths: ApiPaths) -> None:
        self._session = session
        self._paths = paths
        self._own_types: dict[str, str] | None = None  # name → objectTypeId
        self._not_listed: str | None = None  # why the account's own types could not be read
        self._fields: dict[str, dict[str, DestinationField]] = {}
        self._groups: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._types_lock = asyncio.Lock()

    def known(self, object_: str) -> dict[str, DestinationField]:
        """Without asking; empty before the first `fields`."""
        return self._fields.get(object_, {})

    async def address(self, object_: str) -> str:
        """What an address calls the object. The account's own types are asked for once, where a name is not one of the
        vendor's; a name that is none of theirs either stays as it is. ConfigError, before any request, where it can be
        no name."""
        object_name(object_)
        if object_ in VENDORS_OBJECTS or _TYPE_ID.fullmatch(object_):
            return object_
        if self._own_types is None:
            async with self._types_lock:
                if self._own_types is None:
                    self._own_types = await self._read_own_types()
        return self._own_types.get(object_, object_)

    async def _read_own_types(self) -> dict[str, str]:
        try:
            response = await self._session.request("GET", self._paths.schemas(), idempotent=True)
        except Denied as e:
            self._not_listed = str(e)
            return {}
        found: dict[str, str] = {}
        for type_ in api.listed(api.body_of(response).get("results")) if response.is_success else ():
            if isinstance(type_, dict) and type_.get("objectTypeId") and not type_.get("archived"):
                names = (type_.get("name"), type_.get("fullyQualifiedName"))
                found |= {str(name): str(type_["objectTypeId"]) for name in names if name}
        return found

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
        fields = await self._with(object_, name, lambda group: key_definition(name, group))
        if name not in fields or not fields[name].unique:
            raise ConfigError(
                f"{self._session.name}: the property {name!r} of {object_} exists but is not unique",
                hint="set key_property to a name that is free",
            )

    async def ensure_column(self, object_: str, name: str, type_: FieldType) -> None:
        """A property of this name and type stands, afterwards. Repeating is safe. ConfigError where it can't be made,
        or somebody made one of another type meanwhile."""
        fields = await self._with(object_, name, lambda group: column_definition(name, type_, group))
        if name not in fields or fields[name].type != type_:
            stands = f"stands as {fields[name].type}" if name in fields else "is archived there"
            raise ConfigError(
                f"{self._session.name}: the property {name!r} of {object_} can't be made as {type_}: it {stands}",
                hint="Rename the column, or mend the property in HubSpot.",
            )

    async def _with(
        self, object_: str, name: str, definition: Callable[[str], dict[str, Any]]
    ) -> dict[str, DestinationField]:
        """The object's properties with this one, made where it is missing. `definition`: its body in a group."""
        fields = await self.fields(object_)
        if name not in fields:
            async with self._lock:
                if name not in self._fields[object_]:
                    await self._create(object_, definition(self._groups[object_]))
                    await self._read(object_)
            fields = self._fields[object_]
        return fields

    async def _read(self, object_: str) -> None:
        path = self._paths.properties(await self.address(object_))
        response = await self._session.request("GET", path, idempotent=True)
        body = api.body_of(response)
        results = body.get("results")
        if response.is_success and not isinstance(results, list):
            # A proxy's page with status 200: says nothing about the object.
            raise Unavailable(f"{self._session.name} did not answer with the properties of {object_}", code="NO_JSON")
        if not isinstance(results, list):
            code = api.refusal(body).code if body else str(response.status_code)
            raise ConfigError(f"{self._session.name} has no object {object_!r} ({code})", hint=self._not_listed)
        found = [p for p in results if isinstance(p, dict) and p.get("name") and not p.get("archived")]
        self._fields[object_] = {str(p["name"]): _field(p, object_) for p in found}
        self._groups[object_] = next((str(p["groupName"]) for p in found if p.get("groupName")), "")

    async def _create(self, object_: str, definition: dict[str, Any]) -> None:
        path = self._paths.properties(await self.address(object_))
        response = await self._session.request("POST", path, json=definition, idempotent=True)
        # 409: another run was quicker, or a repeat of ours.
        if not response.is_success and response.status_code != 409:
            refusal, name = api.refusal(api.body_of(response)), definition["name"]
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
