"""v4 associations. Type ids: docs; both directions of a link are kept, each under its own id."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import Portal, PortalCall, Reply, canonical_type
from revetl.sandbox.hubspot.schema import iso

CREATE_MAX = 2000
READ_MAX = 1000
ARCHIVE_MAX = 100
# The unlabelled link of a pair of object types.
DEFAULT_TYPES = {
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
    ("contacts", "deals"): 4,
    ("deals", "contacts"): 3,
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
}
# A labelled type → the type of the same link seen from the other side.
_REVERSE = {279: 280, 280: 279, 1: 2, 2: 1, 4: 3, 3: 4, 341: 342, 342: 341, 5: 6, 6: 5}
_LABELS = {1: "Primary", 2: "Primary", 5: "Primary", 6: "Primary"}
# A primary link is unlabelled too.
_IMPLIES = {1: 279, 2: 280, 5: 341, 6: 342}
_VALID = {
    ("contacts", "companies"): {279, 1},
    ("companies", "contacts"): {280, 2},
    ("contacts", "deals"): {4},
    ("deals", "contacts"): {3},
    ("deals", "companies"): {341, 5},
    ("companies", "deals"): {342, 6},
}


def create(call: PortalCall) -> Reply:
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, CREATE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        types = [_type_id(t, from_type, to_type) for t in item.get("types") or []]
        if not types:
            raise errors.invalid_input("types must not be empty")
        missing = _missing(call.portal, (from_type, from_id), (to_type, to_id))
        if missing:
            failed.append(missing.in_batch(None))
            continue
        _link(call.portal, from_type, from_id, to_type, to_id, types)
        results.append(
            {
                "fromObjectTypeId": errors.TYPE_IDS[from_type],
                "fromObjectId": int(from_id),
                "toObjectTypeId": errors.TYPE_IDS[to_type],
                "toObjectId": int(to_id),
                "labels": [_LABELS[t] for t in types if t in _LABELS],
            }
        )
    return _answer(call, results, failed, 201)


def associate_default(call: PortalCall) -> Reply:
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, CREATE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        missing = _missing(call.portal, (from_type, from_id), (to_type, to_id))
        if missing:
            failed.append(missing.in_batch(None))
            continue
        type_id = DEFAULT_TYPES[from_type, to_type]
        _link(call.portal, from_type, from_id, to_type, to_id, [type_id])
        for one, two, direction in ((from_id, to_id, type_id), (to_id, from_id, _REVERSE[type_id])):
            spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": direction}
            results.append({"from": {"id": one}, "to": {"id": two}, "associationSpec": spec})
    return _answer(call, results, failed, 200)


def read(call: PortalCall) -> Reply:
    """Ids come as integers, not as the strings the specification says (live)."""
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, READ_MAX):
        from_id = str(item.get("id", ""))
        linked = call.portal.linked(from_type, from_id, to_type)
        if linked:
            to = [{"toObjectId": int(i), "associationTypes": _types_json(types)} for i, types in linked.items()]
            results.append({"from": {"id": from_id}, "to": to})
        else:
            message = f"No {errors.TITLES[to_type].lower()} is associated with {errors.TITLES[from_type]} {from_id}."
            failed.append(
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": message,
                    "context": {"fromObjectId": [from_id]},
                }
            )
    return _answer(call, results, failed, 200)


def archive(call: PortalCall) -> Reply:
    """Removes all types of the links; unknown ones are ignored: repeating is safe."""
    from_type, to_type = _pair(call)
    for item in _inputs(call, ARCHIVE_MAX):
        ends = item.get("to")
        for end in ends if isinstance(ends, list) else [ends]:
            to_id = str((end or {}).get("id", ""))
            call.portal.unlink(from_type, _end(item, "from"), to_type, to_id)
    return 204, None


def archive_labels(call: PortalCall) -> Reply:
    """Removes only the named types of the links, in both directions."""
    from_type, to_type = _pair(call)
    for item in _inputs(call, ARCHIVE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        for type_ in item.get("types") or []:
            type_id = _type_id(type_, from_type, to_type)
            for linked, gone in (
                (call.portal.linked(from_type, from_id, to_type).get(to_id), type_id),
                (call.portal.linked(to_type, to_id, from_type).get(from_id), _REVERSE[type_id]),
            ):
                if linked is not None and gone in linked:
                    linked.remove(gone)
                    call.portal.version += 1
        if not call.portal.linked(from_type, from_id, to_type).get(to_id):
            call.portal.unlink(from_type, from_id, to_type, to_id)
    return 204, None


def labels(call: PortalCall) -> Reply:
    """The types of link between two objects, from one to the other (docs)."""
    ids = sorted(_VALID[_pair(call)], reverse=True)
    return 200, {"results": [{"category": "HUBSPOT_DEFINED", "typeId": t, "label": _LABELS.get(t)} for t in ids]}


def list_of(call: PortalCall) -> Reply:
    """`GET /crm/v4/objects/{type}/{id}/associations/{to}`."""
    to_type = canonical_type(call.match["to"])
    linked = call.portal.linked(call.type, call.match["id"], to_type)
    return 200, {
        "results": [{"toObjectId": int(i), "associationTypes": _types_json(types)} for i, types in linked.items()]
    }


def check_links(portal: Portal, from_type: str, associations: Any) -> list[tuple[str, str, int]]:
    """The `associations` of a create, `[{to: {id}, types: [{associationCategory, associationTypeId}]}]`, as to type,
    to id, type id. Nothing is linked yet, so that a bad one refuses the record before it is written."""
    if not associations:
        return []
    if not isinstance(associations, list):
        raise errors.invalid_json("associations must be an array")
    links = []
    for association in associations:
        to_id = _end(association, "to")
        for type_ in association.get("types") or []:
            type_id = type_.get("associationTypeId")
            to_type = next((pair[1] for pair, ids in _VALID.items() if pair[0] == from_type and type_id in ids), None)
            if to_type is None:
                raise errors.invalid_input(f"invalid association type id {type_id}")
            missing = _missing(portal, (to_type, to_id))
            if missing:
                raise missing
            links.append((to_type, to_id, type_id))
    return links


def make_links(portal: Portal, from_type: str, from_id: str, links: list[tuple[str, str, int]]) -> None:
    for to_type, to_id, type_id in links:
        _link(portal, from_type, from_id, to_type, to_id, [type_id])


def _link(portal: Portal, from_type: str, from_id: str, to_type: str, to_id: str, types: list[int]) -> None:
    whole = list(dict.fromkeys(types + [_IMPLIES[t] for t in types if t in _IMPLIES]))
    if 1 in whole:
        # A contact has one primary company: the earlier one steps back.
        for other, linked in portal.linked(from_type, from_id, to_type).items():
            if other != to_id and 1 in linked:
                linked.remove(1)
                portal.linked(to_type, other, from_type)[from_id].remove(2)
    portal.link(from_type, from_id, to_type, to_id, whole, [_REVERSE[t] for t in whole])
    portal.counts["associations.created"] += 1


def _pair(call: PortalCall) -> tuple[str, str]:
    from_type, to_type = canonical_type(call.match["from"]), canonical_type(call.match["to"])
    if (from_type, to_type) not in DEFAULT_TYPES:
        raise errors.not_found(call.path)
    return from_type, to_type


def _inputs(call: PortalCall, most: int) -> list[dict[str, Any]]:
    inputs = call.fields.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) for i in inputs):
        raise errors.invalid_json("inputs must be an array of objects")
    if len(inputs) > most:
        raise errors.invalid_input(f"Batch size must be at most {most}, was {len(inputs)}")
    return inputs


def _end(item: dict[str, Any], side: str) -> str:
    end = item.get(side) or item.get(f"_{side}")
    if not isinstance(end, dict) or not str(end.get("id", "")):
        raise errors.invalid_json(f"every input needs {side}.id")
    return str(end["id"])


def _type_id(type_: dict[str, Any], from_type: str, to_type: str) -> int:
    type_id = type_.get("associationTypeId")
    if type_id not in _VALID[from_type, to_type]:
        raise errors.invalid_input(f"{type_id} is not a valid association type between {from_type} and {to_type}")
    return int(type_id)


def _missing(portal: Portal, *ends: tuple[str, str]) -> errors.ApiError | None:
    for object_type, record_id in ends:
        if portal.stores[object_type].get(record_id) is None:
            return errors.objects_not_found(object_type, [record_id])
    return None


def _types_json(types: list[int]) -> list[dict[str, Any]]:
    return [{"category": "HUBSPOT_DEFINED", "typeId": t, "label": _LABELS.get(t)} for t in types]


def _answer(call: PortalCall, results: list[dict[str, Any]], failed: list[dict[str, Any]], success: int) -> Reply:
    now = iso(call.portal.clock.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if failed:
        body.update(errors=failed, numErrors=len(failed))
    return (207 if failed else success), body
