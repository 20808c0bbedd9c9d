"""Definitions of object types: `/crm-object-schemas/v3/schemas`. The sandbox has no custom objects, so the list, which
holds those alone (docs), is empty; the standard ones are read by name."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import OBJECT_TYPES, PortalCall, Reply
from revetl.sandbox.hubspot.store import ObjectStore, iso_ms

# What the user interface shows a record by (docs).
_DISPLAYED = {"contacts": ("email", "firstname"), "companies": ("name", "domain"), "deals": ("dealname", "amount")}


def list_all(call: PortalCall) -> Reply:
    return 200, {"results": []}


def read(call: PortalCall) -> Reply:
    return 200, _json(call, call.store)


def refuse(call: PortalCall) -> Reply:
    """The sandbox serves no custom objects: an account of a tier without them (unconfirmed in wording)."""
    raise errors.ApiError(403, "FORBIDDEN", "This account's subscription does not include custom objects")


def _json(call: PortalCall, store: ObjectStore) -> dict[str, Any]:
    title, type_id = errors.TITLES[store.type], errors.TYPE_IDS[store.type]
    first, second = _DISPLAYED[store.type]
    others = [name for name in OBJECT_TYPES if name != store.type]
    types = [t for name in others for t in call.portal.association_types.between(store.type, name)]
    return {
        "id": type_id,
        "objectTypeId": type_id,
        "name": title.upper(),
        "fullyQualifiedName": title.upper(),
        "labels": {"singular": title, "plural": store.type.capitalize()},
        "primaryDisplayProperty": first,
        "secondaryDisplayProperties": [second],
        "searchableProperties": [first, second],
        "requiredProperties": [],
        "properties": [p.as_json() for p in store.properties.values()],
        "associations": [
            {
                "id": str(t.id),
                "name": t.name,
                "fromObjectTypeId": errors.TYPE_IDS[t.from_type],
                "toObjectTypeId": errors.TYPE_IDS[t.to_type],
            }
            for t in types
        ],
        "createdAt": iso_ms(0),
        "updatedAt": iso_ms(0),
        "archived": False,
    }
