"""Property definitions: read, create, change, archive, one or many. There is no batch update (spec)."""

from __future__ import annotations

import re
from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.errors import ApiError
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.query import is_asked
from revetl.sandbox.hubspot.schema import MAX_UNIQUE_PROPERTIES, Property
from revetl.sandbox.hubspot.store import ObjectStore

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FIELD_TYPES = {
    "string": {"text", "textarea", "phonenumber", "html", "file"},
    "number": {"number"},
    "date": {"date"},
    "datetime": {"date"},
    "bool": {"booleancheckbox"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
}
BATCH_MAX = 100


def list_all(call: PortalCall) -> Reply:
    """`archived=true`: those that were archived, and no others (docs)."""
    archived = is_asked(call, "archived")
    found = call.store.archived_properties if archived else call.store.properties
    return 200, {"results": [{**p.as_json(), "archived": archived} for p in found.values()]}


def read(call: PortalCall) -> Reply:
    return 200, _known(call.store, call.match["name"]).as_json()


def create(call: PortalCall) -> Reply:
    property_ = add(call.store, call.fields)
    call.portal.version += 1
    return 201, property_.as_json()


def add(store: ObjectStore, fields: dict[str, Any]) -> Property:
    """Makes it. 400 where the definition lacks something, 409 where there is one of this name."""
    property_ = _new(store, fields)
    store.add_property(property_)
    return property_


def update(call: PortalCall) -> Reply:
    property_ = _known(call.store, call.match["name"])
    if property_.hubspot_defined:
        raise errors.invalid_input(f"Property {property_.name} is defined by HubSpot and can't be changed")
    property_.label = str(call.fields.get("label", property_.label))
    property_.description = str(call.fields.get("description", property_.description))
    property_.group = str(call.fields.get("groupName", property_.group))
    if "options" in call.fields:
        property_.options = _options(call.fields)
    call.portal.version += 1
    return 200, property_.as_json()


def archive(call: PortalCall) -> Reply:
    property_ = _known(call.store, call.match["name"])
    if property_.hubspot_defined:
        raise errors.invalid_input(f"Property {property_.name} is defined by HubSpot and can't be archived")
    call.store.drop_property(property_.name)
    call.portal.version += 1
    return 204, None


def batch_create(call: PortalCall) -> Reply:
    results, failed = [], []
    for item in _inputs(call):
        try:
            property_ = add(call.store, item)
        except ApiError as e:
            failed.append(e.in_batch(None))
            continue
        call.portal.version += 1
        results.append(property_.as_json())
    return _answer(call, results, failed, 201)


def batch_read(call: PortalCall) -> Reply:
    results, failed = [], []
    for item in _inputs(call):
        try:
            results.append(_known(call.store, str(item.get("name", ""))).as_json())
        except ApiError as e:
            failed.append(e.in_batch(None))
    return _answer(call, results, failed, 200)


def batch_archive(call: PortalCall) -> Reply:
    for item in _inputs(call):
        property_ = call.store.properties.get(str(item.get("name", "")))
        if property_ is not None and not property_.hubspot_defined:
            call.store.drop_property(property_.name)
            call.portal.version += 1
    return 204, None


def _known(store: ObjectStore, name: str) -> Property:
    property_ = store.properties.get(name)
    if property_ is None:
        raise errors.property_missing(name)
    return property_


def _new(store: ObjectStore, fields: dict[str, Any]) -> Property:
    name = str(fields.get("name", ""))
    type_, field_type = str(fields.get("type", "")), str(fields.get("fieldType", ""))
    if name in store.properties:
        raise errors.property_exists(name)
    if not _NAME.fullmatch(name):
        raise errors.invalid_input("Property name must start with a letter and hold only lower case, digits and _")
    for required in ("label", "groupName", "type", "fieldType"):
        if not fields.get(required):
            raise errors.invalid_json(f"some required fields were not set: [{required}]")
    for flag in ("hasUniqueValue", "formField", "hidden"):
        if not isinstance(fields.get(flag, False), bool):
            raise errors.invalid_json(f"{flag} is not a boolean")
    for option in fields.get("options") or []:
        lacking = [n for n in ("label", "value") if not isinstance(option, dict) or not option.get(n)]
        if lacking:
            raise errors.invalid_json(f"some required fields of an option were not set: {lacking}")
    if fields["groupName"] not in store.groups:
        raise errors.invalid_input(f"Property group {fields['groupName']} does not exist")
    if field_type not in _FIELD_TYPES.get(type_, ()):
        raise errors.invalid_input(f"type {type_} does not go with fieldType {field_type}")
    unique = fields.get("hasUniqueValue") is True
    if unique and sum(p.unique for p in store.properties.values()) >= MAX_UNIQUE_PROPERTIES:
        raise errors.invalid_input(f"At most {MAX_UNIQUE_PROPERTIES} properties with unique values are allowed")
    return Property(
        name,
        type_,
        field_type=field_type,
        label=str(fields["label"]),
        group=str(fields["groupName"]),
        description=str(fields.get("description") or ""),
        unique=unique,
        hubspot_defined=False,
        options=_options(fields),
    )


def _options(fields: dict[str, Any]) -> dict[str, str]:
    if fields.get("type") == "bool":
        return {"true": "True", "false": "False"}
    return {str(o["value"]): str(o.get("label", o["value"])) for o in fields.get("options") or []}


def _inputs(call: PortalCall) -> list[dict[str, Any]]:
    inputs = call.fields.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) for i in inputs):
        raise errors.invalid_json("inputs must be an array of objects")
    if len(inputs) > BATCH_MAX:
        raise errors.invalid_input(f"Batch size must be at most {BATCH_MAX}, was {len(inputs)}")
    return inputs


def _answer(call: PortalCall, results: list[dict[str, Any]], failed: list[dict[str, Any]], success: int) -> Reply:
    now = call.portal.now_iso()
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if failed:
        body.update(errors=failed, numErrors=len(failed))
    return (207 if failed else success), body
