"""Associations: links of records made, read and removed.

What v4 and the dated versions tell differently (spec): record ids are integers in v4 and texts in the dated ones;
what is archived is answered with 204 in v4 and with 200 and a body in the dated ones; 2026-09 answers a create with
200.
"""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.association_types import HELD_ONCE, HUBSPOT_DEFINED, AssociationType
from revetl.sandbox.hubspot.object_types import title, type_id
from revetl.sandbox.hubspot.portal import Portal, PortalCall, Reply
from revetl.sandbox.hubspot.query import int_of, next_page, page_size
from revetl.sandbox.hubspot.values import iso

CREATE_MAX = 2000
READ_MAX = 1000
ARCHIVE_MAX = 100
PAGE_MAX = 500


def create(call: PortalCall) -> Reply:
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, CREATE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        types = _types(call, item, to_type)
        if not types:
            raise errors.invalid_input("types must not be empty")
        missing = _missing(call.portal, (from_type, from_id), (to_type, to_id))
        if missing:
            failed.append(missing.in_batch(None))
            continue
        _link(call.portal, from_type, from_id, to_type, to_id, [t.id for t in types])
        results.append(_linked_json(call, from_id, to_id, types))
    return _answer(call, results, failed, 200 if call.version == "2026-09" else 201)


def associate_default(call: PortalCall) -> Reply:
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, CREATE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        missing = _missing(call.portal, (from_type, from_id), (to_type, to_id))
        if missing:
            failed.append(missing.in_batch(None))
            continue
        results += _link_by_default(call.portal, (from_type, from_id), (to_type, to_id))
    return _answer(call, results, failed, 200)


def read(call: PortalCall) -> Reply:
    from_type, to_type = _pair(call)
    results, failed = [], []
    for item in _inputs(call, READ_MAX):
        from_id = str(item.get("id", ""))
        linked = call.portal.linked(from_type, from_id, to_type)
        if linked:
            to = [
                {"toObjectId": _id(call, i), "associationTypes": _types_json(call, types)}
                for i, types in linked.items()
            ]
            results.append({"from": {"id": from_id}, "to": to})
        else:
            message = f"No {title(to_type).lower()} is associated with {title(from_type)} {from_id}."
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
    return _archived(call)


def archive_labels(call: PortalCall) -> Reply:
    """Removes only the named types of the links, in both directions."""
    from_type, to_type = _pair(call)
    for item in _inputs(call, ARCHIVE_MAX):
        from_id, to_id = _end(item, "from"), _end(item, "to")
        for type_ in _types(call, item, to_type):
            for linked, gone in (
                (call.portal.linked(from_type, from_id, to_type).get(to_id), type_.id),
                (call.portal.linked(to_type, to_id, from_type).get(from_id), type_.inverse),
            ):
                if linked is not None and gone in linked:
                    linked.remove(gone)
                    call.portal.version += 1
        if not call.portal.linked(from_type, from_id, to_type).get(to_id):
            call.portal.unlink(from_type, from_id, to_type, to_id)
    return _archived(call)


# One record's: below `/crm/v4/objects/{type}/{id}/associations`


def list_of(call: PortalCall) -> Reply:
    """All that one record is linked to, 500 a page (spec)."""
    to_type = call.portal.canonical(call.match["to"])
    linked = call.portal.linked(call.type, call.match["id"], to_type)
    after = int_of(call.query.get("after"), "after", 0)
    limit = page_size(call, default=PAGE_MAX, most=PAGE_MAX)
    ids = [i for i in sorted(map(int, linked)) if i > after]
    shown = [
        {"toObjectId": _id(call, str(i)), "associationTypes": _types_json(call, linked[str(i)])} for i in ids[:limit]
    ]
    body: dict[str, Any] = {"results": shown}
    if len(ids) > limit:
        body["paging"] = next_page(call, str(ids[limit - 1]))
    return 200, body


def put_one(call: PortalCall) -> Reply:
    """The body is the list of types."""
    to_type, (from_id, to_id) = call.portal.canonical(call.match["to"]), _both(call)
    types = _types(call, {"types": call.body}, to_type)
    if not types:
        raise errors.invalid_input("types must not be empty")
    _link(call.portal, call.type, from_id, to_type, to_id, [t.id for t in types])
    return 201, _linked_json(call, from_id, to_id, types)


def put_default(call: PortalCall) -> Reply:
    to_type, (from_id, to_id) = call.portal.canonical(call.match["to"]), _both(call)
    return _answer(call, _link_by_default(call.portal, (call.type, from_id), (to_type, to_id)), [], 200)


def delete_one(call: PortalCall) -> Reply:
    """All types of the link. Repeating is safe."""
    call.portal.unlink(call.type, call.match["id"], call.portal.canonical(call.match["to"]), call.match["to_id"])
    return 204, None


# For those who create records with links


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
        for type_ in _listed(association.get("types")):
            id_, category = type_.get("associationTypeId"), type_.get("associationCategory")
            meant = portal.association_types.find(id_, category, from_type)
            missing = _missing(portal, (meant.to_type, to_id))
            if missing:
                raise missing
            links.append((meant.to_type, to_id, meant.id))
    return links


def make_links(portal: Portal, from_type: str, from_id: str, links: list[tuple[str, str, int]]) -> None:
    for to_type, to_id, kind in links:
        _link(portal, from_type, from_id, to_type, to_id, [kind])


def _link(portal: Portal, from_type: str, from_id: str, to_type: str, to_id: str, types: list[int]) -> None:
    whole = portal.association_types.with_implied(types)
    back = portal.association_types.inverses(whole)
    _step_back(portal, (from_type, from_id), (to_type, to_id), whole)
    _step_back(portal, (to_type, to_id), (from_type, from_id), back)
    portal.link(from_type, from_id, to_type, to_id, whole, back)
    portal.counts["associations.created"] += 1


def _step_back(portal: Portal, one: tuple[str, str], other: tuple[str, str], types: list[int]) -> None:
    """What `one` can have only once, and is about to get on `other`, leaves its earlier place."""
    for type_ in HELD_ONCE.intersection(types):
        inverse = portal.association_types.get(type_).inverse
        for earlier, linked in portal.linked(*one, other[0]).items():
            if earlier != other[1] and type_ in linked:
                linked.remove(type_)
                portal.linked(other[0], earlier, one[0])[one[1]].remove(inverse)


def _link_by_default(portal: Portal, one: tuple[str, str], other: tuple[str, str]) -> list[dict[str, Any]]:
    """Both directions, as they are answered."""
    shown = []
    for (from_type, from_id), (to_type, to_id) in ((one, other), (other, one)):
        type_id = portal.association_types.default(from_type, to_type)
        spec = {"associationCategory": HUBSPOT_DEFINED, "associationTypeId": type_id}
        shown.append({"from": {"id": from_id}, "to": {"id": to_id}, "associationSpec": spec})
    _link(portal, *one, *other, [portal.association_types.default(one[0], other[0])])
    return shown


def _linked_json(call: PortalCall, from_id: str, to_id: str, types: list[AssociationType]) -> dict[str, Any]:
    return {
        "fromObjectTypeId": type_id(types[0].from_type),
        "fromObjectId": _id(call, from_id),
        "toObjectTypeId": type_id(types[0].to_type),
        "toObjectId": _id(call, to_id),
        "labels": [t.label for t in types if t.label is not None],
    }


def _id(call: PortalCall, record_id: str) -> int | str:
    return int(record_id) if call.version is None else record_id


def _archived(call: PortalCall) -> Reply:
    return (204, None) if call.version is None else _answer(call, [], [], 200)


def _pair(call: PortalCall) -> tuple[str, str]:
    """400 where the two can't be linked."""
    pair = call.portal.canonical(call.match["from"]), call.portal.canonical(call.match["to"])
    call.portal.association_types.default(*pair)
    return pair


def _both(call: PortalCall) -> tuple[str, str]:
    """The ids at the two ends of a link. 404 where a record is not there."""
    from_id, to_id = call.match["id"], call.match["to_id"]
    missing = _missing(call.portal, (call.type, from_id), (call.portal.canonical(call.match["to"]), to_id))
    if missing:
        raise missing
    return from_id, to_id


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


def _types(call: PortalCall, item: dict[str, Any], to_type: str) -> list[AssociationType]:
    """`[{associationCategory, associationTypeId}]`, both of which must fit: a label of the account's own is not
    HubSpot's (spec)."""
    from_type = call.type or call.portal.canonical(call.match["from"])
    found = []
    for type_ in _listed(item.get("types")):
        id_, category = type_.get("associationTypeId"), type_.get("associationCategory")
        one = call.portal.association_types.find(id_, category, from_type)
        if one.to_type != to_type:
            raise errors.invalid_input(f"{id_} is not a valid association type between {from_type} and {to_type}")
        found.append(one)
    return found


def _listed(types: Any) -> list[dict[str, Any]]:
    if types is None:
        return []
    if not isinstance(types, list) or not all(isinstance(t, dict) for t in types):
        raise errors.invalid_json("types must be an array of objects")
    return types


def _missing(portal: Portal, *ends: tuple[str, str]) -> errors.ApiError | None:
    for object_type, record_id in ends:
        if portal.stores[object_type].get(record_id) is None:
            return errors.objects_not_found(object_type, [record_id])
    return None


def _types_json(call: PortalCall, types: list[int]) -> list[dict[str, Any]]:
    return [call.portal.association_types.get(t).as_json() for t in types]


def _answer(call: PortalCall, results: list[dict[str, Any]], failed: list[dict[str, Any]], success: int) -> Reply:
    now = iso(call.portal.clock.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if failed:
        body.update(errors=failed, numErrors=len(failed))
    return (207 if failed else success), body
