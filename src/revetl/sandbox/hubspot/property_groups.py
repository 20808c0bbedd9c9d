"""Groups of properties, under which the user interface shows them."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import PropertyGroup
from revetl.sandbox.hubspot.portal import PortalCall, Reply


def list_all(call: PortalCall) -> Reply:
    return 200, {"results": [_json(g) for g in call.store.groups.values()]}


def read(call: PortalCall) -> Reply:
    return 200, _json(_found(call))


def create(call: PortalCall) -> Reply:
    """409 for a name that is there (as for properties; unconfirmed)."""
    name, label = (str(call.fields.get(f) or "") for f in ("name", "label"))
    if not name or not label:
        raise errors.invalid_json("some required fields were not set: [name, label]")
    if name in call.store.groups:
        raise errors.group_exists(name)
    group = call.store.groups[name] = PropertyGroup(name, label, call.fields.get("displayOrder", -1))
    call.portal.version += 1
    return 201, _json(group)


def update(call: PortalCall) -> Reply:
    group = _found(call)
    group.label = str(call.fields.get("label", group.label))
    group.order = call.fields.get("displayOrder", group.order)
    call.portal.version += 1
    return 200, _json(group)


def archive(call: PortalCall) -> Reply:
    """400 while properties are in it (unconfirmed)."""
    group = _found(call)
    if any(p.group == group.name for p in call.store.properties.values()):
        raise errors.invalid_input(f"Property group {group.name} has properties and can't be archived")
    del call.store.groups[group.name]
    call.portal.version += 1
    return 204, None


def _found(call: PortalCall) -> PropertyGroup:
    group = call.store.groups.get(call.match["name"])
    if group is None:
        raise errors.not_found(f"Property group {call.match['name']} does not exist")
    return group


def _json(group: PropertyGroup) -> dict[str, Any]:
    return {"name": group.name, "label": group.label, "displayOrder": group.order, "archived": False}
