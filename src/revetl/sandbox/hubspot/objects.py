"""One record at a time: create, read, update, archive, list; merge and erasure."""

from __future__ import annotations

from itertools import islice
from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.associations import check_links, make_links
from revetl.sandbox.hubspot.batch import history_json
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.query import int_of, is_asked, names_of, next_page, page_size
from revetl.sandbox.hubspot.standard_objects import OTHER_STANDARD_OBJECTS
from revetl.sandbox.hubspot.store import INTEGRATION, Record

LIST_MAX = 100
HISTORY_LIST_MAX = 50
# Where a merge keeps the values that the main property has no room for.
_FURTHER = {"contacts": {"email": "hs_additional_emails"}, "companies": {"domain": "hs_additional_domains"}}


def create(call: PortalCall) -> Reply:
    store = call.store
    values = store.prepare(call.fields.get("properties", {}), None)
    store.check_unique(values, None, {})
    links = check_links(call.portal, store.type, call.fields.get("associations"))
    record = call.portal.create(store, values, call.portal.now_ms(), INTEGRATION)
    make_links(call.portal, store.type, record.id, links)
    return 201, store.show_written(record, values)


def read(call: PortalCall) -> Reply:
    """`archived=true` reads an archived record, and only such a one (docs)."""
    if is_asked(call, "archived"):
        record = call.store.archived.get(call.match["id"])
        if record is None:
            raise errors.object_not_found(call.match["id"])
    else:
        record = _found(call)
    return 200, _shown(call, record)


def update(call: PortalCall) -> Reply:
    store = call.store
    record = _found(call)
    values = store.prepare(call.fields.get("properties", {}), record)
    store.check_unique(values, record, {})
    call.portal.update(store, record, values, call.portal.now_ms(), INTEGRATION)
    return 200, store.show_written(record, call.fields.get("properties", {}))


def archive(call: PortalCall) -> Reply:
    """204 for an unknown id too (live): repeating is safe."""
    record = call.store.get(call.match["id"])
    if record is not None:
        call.portal.archive(call.store, record)
    return 204, None


def list_all(call: PortalCall) -> Reply:
    """In order of id; each record with the properties, histories and associations that are asked for, as when it is
    read alone. At most 100 a page (docs), with histories 50 (captured: more is refused). `paging` is there only while
    there is more."""
    store = call.store
    most = HISTORY_LIST_MAX if names_of(call, "propertiesWithHistory") else LIST_MAX
    limit = page_size(call, default=10, most=most)
    after = int_of(call.query.get("after"), "after", 0)
    if is_asked(call, "archived"):
        records = iter(sorted((r for r in store.archived.values() if int(r.id) > after), key=lambda r: int(r.id)))
    else:
        records = store.after(after)
    page = list(islice(records, limit + 1))
    body: dict[str, Any] = {"results": [_shown(call, r) for r in page[:limit]]}
    if len(page) > limit:
        body["paging"] = next_page(call, page[limit - 1].id)
    return 200, body


def merge(call: PortalCall) -> Reply:
    """One record with a **new** id takes the place of both (the vendor's changelog for contacts and companies; third
    parties report it for the others too), and both old ids lead to it: on read and update (reported, unconfirmed), and
    on search by id (assumed). The primary's values hold, and the other's where it has none; a contact's other addresses
    and a company's other domains become additional ones (docs)."""
    store = call.store
    primary = store.get(str(call.fields.get("primaryObjectId", "")))
    other = store.get(str(call.fields.get("objectIdToMerge", "")))
    if primary is None or other is None or primary is other:
        raise errors.invalid_input("primaryObjectId and objectIdToMerge must be two existing objects")
    values = {**other.values, **primary.values}
    for name, further in _FURTHER.get(store.type, {}).items():
        own = [r.values.get(name, "") for r in (primary, other)]
        also = [v for r in (primary, other) for v in r.values.get(further, "").split(";")]
        values[further] = ";".join(v for v in dict.fromkeys([*also, *own]) if v and v != values.get(name))
    ids = [i for r in (primary, other) for i in (*r.values.get("hs_merged_object_ids", "").split(";"), r.id) if i]
    values["hs_merged_object_ids"] = ";".join(dict.fromkeys(ids))
    merged = call.portal.merge(store, primary, other, {n: v for n, v in values.items() if v})
    store.merged.update(dict.fromkeys(ids, merged.id))
    return 200, store.show(merged)


def gdpr_delete(call: PortalCall) -> Reply:
    """Erases for good; an unknown email is blocklisted (docs). Of contacts alone (spec); 204 for an unknown id, and 404
    for another object, are unconfirmed."""
    store = call.store
    if store.type != "contacts":
        raise errors.not_found(f"{store.type} can't be erased")
    identifier = call.fields.get("objectId")
    if not isinstance(identifier, str) or not identifier:
        raise errors.invalid_json("some required fields were not set: [objectId]")
    id_property = call.fields.get("idProperty")
    if id_property is not None and id_property not in store.unique:
        raise errors.non_unique_id_property(store.type, id_property)
    record = store.find(identifier, id_property)
    if record is not None:
        if record.values.get("email"):
            call.portal.blocked_emails.add(record.values["email"])
        call.portal.erase(store, record)
    elif id_property == "email":
        call.portal.blocked_emails.add(identifier.lower())
    return 204, None


def _found(call: PortalCall) -> Record:
    store = call.store
    id_property = call.query.get("idProperty")
    if id_property is not None and id_property not in store.unique:
        raise errors.non_unique_id_property(store.type, id_property)
    record = store.find(call.match["id"], id_property)
    if record is None:
        raise errors.object_not_found(call.match["id"])
    return record


def _shown(call: PortalCall, record: Record) -> dict[str, Any]:
    """With what the query asks for."""
    shown = call.store.show(record, names_of(call, "properties"))
    with_history = names_of(call, "propertiesWithHistory")
    if with_history:
        shown["propertiesWithHistory"] = {n: history_json(record, n) for n in with_history}
    wanted = names_of(call, "associations")
    if wanted:
        shown["associations"] = _associations(call, record, wanted)
        if not shown["associations"]:
            del shown["associations"]
    return shown


def _associations(call: PortalCall, record: Record, wanted: list[str]) -> dict[str, Any]:
    """One entry for each kind of link to each record (captured). 400 for an object that there is not (captured)."""
    shown: dict[str, Any] = {}
    types = call.portal.association_types
    for to_type in map(call.portal.canonical, wanted):
        if to_type in OTHER_STANDARD_OBJECTS:
            continue
        call.portal.store(to_type)
        linked = call.portal.linked(call.type, record.id, to_type)
        if linked:
            results = [{"id": to_id, "type": types.get(t).name} for to_id, held in linked.items() for t in held]
            shown[to_type] = {"results": results}
    return shown
