"""An account's own association labels: `…/associations/{from}/{to}/labels`."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import PortalCall, Reply


def list_all(call: PortalCall) -> Reply:
    """The types of link between two objects, from one to the other (docs)."""
    types = sorted(call.portal.association_types.between(*_pair(call)), key=lambda t: (t.category, -t.id))
    return 200, {"results": [t.as_json() for t in types]}


def create(call: PortalCall) -> Reply:
    """Two types where the other side has a label of its own, else one (docs). A name has no hyphen and begins with no
    digit (docs)."""
    name, label = _text(call, "name"), _text(call, "label")
    if "-" in name or name[0].isdigit():
        raise errors.invalid_input("The name of an association label has no hyphen and begins with no digit")
    made = call.portal.association_types.create(_pair(call), name, label, call.fields.get("inverseLabel"))
    call.portal.version += 1
    return 200, {"results": [t.as_json() for t in made]}


def update(call: PortalCall) -> Reply:
    """By `associationTypeId`, which stands in the body (spec). Repeating is safe."""
    type_id, label = call.fields.get("associationTypeId"), _text(call, "label")
    call.portal.association_types.rename(_pair(call), type_id, label, call.fields.get("inverseLabel"))
    call.portal.version += 1
    return 204, None


def delete(call: PortalCall) -> Reply:
    """Links that had the label stay, without it (docs)."""
    gone = call.portal.association_types.delete(_pair(call), call.match["type_id"])
    call.portal.drop_type(*gone)
    return 204, None


def _pair(call: PortalCall) -> tuple[str, str]:
    return call.portal.canonical(call.match["from"]), call.portal.canonical(call.match["to"])


def _text(call: PortalCall, name: str) -> str:
    value: Any = call.fields.get(name)
    if not isinstance(value, str) or not value:
        raise errors.invalid_json(f"some required fields were not set: [{name}]")
    return value
