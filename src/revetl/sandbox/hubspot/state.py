"""The portal as one JSON document, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from revetl.sandbox.hubspot.account import PortalList, PortalOwner, PropertyGroup, dump_pipelines, restore_pipelines
from revetl.sandbox.hubspot.object_types import CustomObject
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.store import ObjectStore, Record, Write

_FORMAT = 2
_PROPERTY_FIELDS = ("name", "type", "field_type", "label", "group", "description", "unique", "options")


def dump_portal(portal: Portal) -> dict[str, Any]:
    """Records, properties, associations, merges and what an administrator set up; neither tokens nor limits."""
    return {
        "format": _FORMAT,
        "last_id": portal.last_id,
        "blocked_emails": sorted(portal.blocked_emails),
        "owners": [asdict(o) for o in portal.owners.values()],
        "pipelines": dump_pipelines(portal.pipelines),
        "labels": portal.association_types.dump(),
        "lists": [asdict(one) for one in portal.lists.values()],
        "custom": [asdict(c) for c in portal.custom.values()],
        "stores": {name: _store_document(store) for name, store in portal.stores.items()},
        "links": [
            [from_type, from_id, to_type, to_id, types]
            for (from_type, from_id), by_type in portal.links.items()
            for to_type, targets in by_type.items()
            for to_id, types in targets.items()
        ],
    }


def _store_document(store: ObjectStore) -> dict[str, Any]:
    custom = [p for p in store.properties.values() if not p.hubspot_defined]
    return {
        "properties": [_property_document(p) for p in custom],
        "archived_properties": [_property_document(p) for p in store.archived_properties.values()],
        "records": [
            [r.id, r.created_ms, r.updated_ms, r.archived_ms, r.values, r.writes]
            for r in (*store.records.values(), *store.archived.values())
        ],
        "merged": store.merged,
        "groups": [asdict(g) for g in store.groups.values()],
    }


def _property_document(property_: Property) -> dict[str, Any]:
    return {f: getattr(property_, f) for f in _PROPERTY_FIELDS}


def _emptied(portal: Portal, name: str) -> ObjectStore:
    """In the place of the fresh store: with what HubSpot defined there, a copied account's included, and no more."""
    fresh = portal.stores.get(name)
    store = portal.stores[name] = portal.empty_store(name)
    if fresh is not None:
        store.properties = {}
        for property_ in fresh.properties.values():
            if property_.hubspot_defined:
                store.add_property(property_)
    return store


def restore_portal(portal: Portal, document: dict[str, Any]) -> None:
    """Into a portal that is fresh. ValueError for a document of another format."""
    if document.get("format") != _FORMAT:
        raise ValueError("it was written by another version of the sandbox")
    portal.last_id = document["last_id"]
    portal.blocked_emails = set(document["blocked_emails"])
    portal.owners = {o["id"]: PortalOwner(**o) for o in document["owners"]}
    portal.pipelines |= restore_pipelines(document["pipelines"])
    portal.lists = {one["id"]: PortalList(**one) for one in document.get("lists", [])}
    portal.custom = {c["id"]: CustomObject(**c) for c in document.get("custom", [])}
    portal.association_types.restore(document["labels"])
    for name, stored in document["stores"].items():
        store = _emptied(portal, name)
        for fields in stored["properties"]:
            store.add_property(Property(**fields, hubspot_defined=False))
        for fields in stored["archived_properties"]:
            store.archived_properties[fields["name"]] = Property(**fields, hubspot_defined=False)
        store.merged = stored["merged"]
        store.groups = {g["name"]: PropertyGroup(**g) for g in stored["groups"]}
        for record_id, created_ms, updated_ms, archived_ms, values, writes in stored["records"]:
            record = Record(record_id, values, created_ms, "")
            record.updated_ms, record.archived_ms = updated_ms, archived_ms
            record.writes = [Write(*w) for w in writes]
            if archived_ms is not None:
                store.archived[record_id] = record
                continue
            store.records[record_id] = record
            store.reindex(record)
        store.order = sorted(map(int, store.records))
    for from_type, from_id, to_type, to_id, types in document["links"]:
        portal.links.setdefault((from_type, from_id), {}).setdefault(to_type, {})[to_id] = types
    portal.set_up()
