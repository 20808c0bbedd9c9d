"""Definitions of object types: `/crm-object-schemas/v3/schemas`. The list holds those that the account defined (docs);
the standard ones are read by name."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors, properties
from revetl.sandbox.hubspot.object_types import CustomObject, title, type_id
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.store import ObjectStore, iso_ms

# What the user interface shows a record by (docs).
_DISPLAYED = {
    "contacts": ("email", "firstname"),
    "companies": ("name", "domain"),
    "deals": ("dealname", "amount"),
    "tickets": ("subject", "content"),
}
_REQUIRED = ("name", "labels", "properties", "requiredProperties", "associatedObjects")
_FIRST_ID = 1_000


def list_all(call: PortalCall) -> Reply:
    return 200, {"results": [_json(call, call.portal.store(id_)) for id_ in call.portal.custom]}


def read(call: PortalCall) -> Reply:
    return 200, _json(call, call.store)


def create(call: PortalCall) -> Reply:
    """201, with the whole definition. 400 where a part of it is missing or its name is taken (docs: names are unique in
    the account, begin with a letter, and never change)."""
    portal, fields = call.portal, call.fields
    lacking = [name for name in _REQUIRED if name not in fields]
    if lacking:
        raise errors.invalid_json(f"some required fields were not set: {lacking}")
    name, labels = str(fields["name"]), fields["labels"]
    if not name[:1].isalpha() or not name.replace("_", "").isalnum():
        raise errors.invalid_input("name begins with a letter and holds letters, digits and _")
    if any(name == c.name for c in portal.custom.values()):
        raise errors.invalid_input(f"An object type named {name} exists already")
    type_ = CustomObject(
        f"2-{_FIRST_ID + len(portal.custom) + 1}",
        name,
        f"p{portal.portal_id}_{name}",
        str(labels.get("singular") or name),
        str(labels.get("plural") or name),
        str(fields.get("primaryDisplayProperty") or ""),
        [str(p) for p in fields.get("secondaryDisplayProperties") or []],
        [str(p) for p in fields["requiredProperties"]],
        [str(p) for p in fields.get("searchableProperties") or []],
        portal.now_ms(),
    )
    store = portal.define(type_)
    for property_ in fields["properties"]:
        properties.add(store, {"groupName": "information", **property_})
    for other in fields["associatedObjects"]:
        portal.association_types.open(type_.id, portal.store(portal.canonical(str(other).lower())).type)
    portal.version += 1
    return 201, _json(call, store)


def _json(call: PortalCall, store: ObjectStore) -> dict[str, Any]:
    own = call.portal.custom.get(store.type) or _standard(store.type)
    others = [name for name in call.portal.stores if name != store.type]
    kinds = call.portal.association_types
    types = [t for name in others if kinds.linkable(store.type, name) for t in kinds.between(store.type, name)]
    dated = {} if call.version is None else {"allowsSensitiveProperties": False}
    return dated | {
        "id": own.id,
        "objectTypeId": own.id,
        "name": own.name,
        "fullyQualifiedName": own.full_name,
        "labels": {"singular": own.singular, "plural": own.plural},
        "primaryDisplayProperty": own.primary,
        "secondaryDisplayProperties": own.secondary,
        "searchableProperties": own.searchable,
        "requiredProperties": own.required,
        "properties": [p.as_json() for p in store.properties.values()],
        "associations": [
            {
                "id": str(t.id),
                "name": t.name,
                "fromObjectTypeId": type_id(t.from_type),
                "toObjectTypeId": type_id(t.to_type),
            }
            for t in types
        ],
        "createdAt": iso_ms(own.created_ms),
        "updatedAt": iso_ms(own.created_ms),
        "archived": False,
    }


def _standard(object_type: str) -> CustomObject:
    name, shown = title(object_type), _DISPLAYED[object_type]
    id_, plural = type_id(object_type), object_type.capitalize()
    return CustomObject(id_, name.upper(), name.upper(), name, plural, shown[0], [shown[1]], [], [*shown])
