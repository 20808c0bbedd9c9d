"""Lists and their members. Only those that are MANUAL or SNAPSHOT take members; a DYNAMIC one refuses (docs)."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import PortalList
from revetl.sandbox.hubspot.object_types import type_id
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.store import iso_ms

_FILLED = ("MANUAL", "SNAPSHOT")
_TYPES = (*_FILLED, "DYNAMIC")
SEARCH_MAX = 500


def create(call: PortalCall) -> Reply:
    """200 with the list. 400 where its name is taken (docs: unique in the portal)."""
    fields, portal = call.fields, call.portal
    lacking = [name for name in ("name", "objectTypeId", "processingType") if not fields.get(name)]
    if lacking:
        raise errors.invalid_json(f"some required fields were not set: {lacking}")
    if fields["processingType"] not in _TYPES:
        raise errors.invalid_input(f"processingType must be one of {_TYPES}")
    if any(one.name == fields["name"] for one in portal.lists.values()):
        raise errors.invalid_input(f"A list with the name {fields['name']} exists already")
    object_type = portal.store(portal.canonical(str(fields["objectTypeId"]))).type
    made = portal.add_list(str(fields["name"]), object_type, str(fields["processingType"]))
    return 200, {"list": _json(made)}


def read(call: PortalCall) -> Reply:
    return 200, {"list": _json(_list(call))}


def search(call: PortalCall) -> Reply:
    """By a part of the name, by ids, by kind; `count` at most 500 (docs)."""
    fields = call.fields
    lacking = [name for name in ("offset", "additionalProperties") if name not in fields]
    if lacking:
        raise errors.invalid_json(f"some required fields were not set: {lacking}")
    count, offset = int(fields.get("count") or 20), int(fields["offset"])
    if not 1 <= count <= SEARCH_MAX:
        raise errors.invalid_input(f"count must be between 1 and {SEARCH_MAX}")
    ids, kinds = fields.get("listIds") or (), fields.get("processingTypes") or _TYPES
    query = str(fields.get("query") or "").lower()
    found = [
        one
        for one in call.portal.lists.values()
        if query in one.name.lower() and (not ids or one.id in map(str, ids)) and one.processing_type in kinds
    ]
    page = found[offset : offset + count]
    shown = [{**_json(one), "additionalProperties": {"hs_list_size": str(len(one.members))}} for one in page]
    return 200, {
        "lists": shown,
        "hasMore": offset + count < len(found),
        "offset": offset + len(page),
        "total": len(found),
    }


def members(call: PortalCall) -> Reply:
    results = [{"recordId": id_, "membershipTimestamp": iso_ms(at)} for id_, at in _list(call).members.items()]
    return 200, {"results": results, "total": len(results)}


def add(call: PortalCall) -> Reply:
    """Who is a member already is passed over, and who does not exist is named as missing (docs)."""
    one = _filled(call)
    records = call.portal.store(one.object_type).records
    wanted = _ids(call)
    added = [id_ for id_ in wanted if id_ in records and id_ not in one.members]
    one.members |= dict.fromkeys(added, call.portal.now_ms())
    return _changed(call, added=added, missing=[id_ for id_ in wanted if id_ not in records])


def remove(call: PortalCall) -> Reply:
    one = _filled(call)
    wanted = _ids(call)
    removed = [id_ for id_ in wanted if one.members.pop(id_, None) is not None]
    records = call.portal.store(one.object_type).records
    return _changed(call, removed=removed, missing=[id_ for id_ in wanted if id_ not in records])


def memberships(call: PortalCall) -> Reply:
    """Of records, which lists they are on."""
    now = call.portal.now_iso()
    results: list[dict[str, Any]] = []
    for item in call.fields.get("inputs") or []:
        record_id, given = str(item.get("recordId")), str(item.get("objectTypeId"))
        object_type = call.portal.canonical(given)
        on = [
            {
                "listId": one.id,
                "listVersion": 1,
                "isPublicList": False,
                "firstAddedTimestamp": iso_ms(one.members[record_id]),
                "lastAddedTimestamp": iso_ms(one.members[record_id]),
            }
            for one in call.portal.lists.values()
            if one.object_type == object_type and record_id in one.members
        ]
        results.append({"recordId": record_id, "objectTypeId": given, "recordListMemberships": on})
    return 200, {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}


def delete(call: PortalCall) -> Reply:
    del call.portal.lists[_list(call).id]
    call.portal.version += 1
    return 204, None


def _list(call: PortalCall) -> PortalList:
    found = call.portal.lists.get(call.match["list"])
    if found is None:
        raise errors.not_found(f"List does not exist with ID {call.match['list']}.")
    return found


def _filled(call: PortalCall) -> PortalList:
    found = _list(call)
    if found.processing_type not in _FILLED:
        raise errors.invalid_input(f"List {found.id} is {found.processing_type}: its members can't be changed")
    return found


def _ids(call: PortalCall) -> list[str]:
    if not isinstance(call.body, list) or not all(isinstance(id_, str) for id_ in call.body):
        raise errors.invalid_json("an array of record ids is expected")
    return list(dict.fromkeys(call.body))


def _changed(
    call: PortalCall, *, added: list[str] | None = None, removed: list[str] | None = None, missing: list[str]
) -> Reply:
    """The first name is spelled as the vendor spells it (spec)."""
    call.portal.counts["lists.added"] += len(added or ())
    call.portal.counts["lists.removed"] += len(removed or ())
    call.portal.version += 1
    return 200, {"recordsIdsAdded": added or [], "recordIdsRemoved": removed or [], "recordIdsMissing": missing}


def _json(one: PortalList) -> dict[str, Any]:
    return {
        "listId": one.id,
        "listVersion": 1,
        "name": one.name,
        "objectTypeId": type_id(one.object_type),
        "processingType": one.processing_type,
        "processingStatus": "COMPLETE",
        "createdAt": iso_ms(one.created_ms),
        "updatedAt": iso_ms(one.created_ms),
    }
