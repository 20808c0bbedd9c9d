"""A portal as `revetl sandbox clone` copied it from an account: what an administrator set up there, and no record.

A part that the copy lacks (the token could not read it) is as in any fresh portal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from revetl.sandbox.hubspot.account import Pipeline, PipelineStage, PortalList, PortalOwner, PropertyGroup
from revetl.sandbox.hubspot.association_types import USER_DEFINED, AssociationType
from revetl.sandbox.hubspot.object_types import CustomObject
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.store import ObjectStore

FORMAT = "hubspot portal 1"
_TYPES = ("string", "number", "date", "datetime", "bool", "enumeration")


def read_portal_file(path: Path) -> dict[str, Any]:
    """ValueError where it is no copy of a portal, or one of another version."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as e:
        raise ValueError(f"{path} can't be read: {e.strerror}") from None
    except ValueError:
        raise ValueError(f"{path} is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is no portal that `revetl sandbox clone` wrote")
    return document


def set_up_from(portal: Portal, document: Mapping[str, Any]) -> None:
    """Into a portal that is fresh."""
    for object_ in document["objects"]:
        if (definition := object_.get("definition")) is not None:
            portal.define(_custom(object_["address"], definition))
        store = portal.store(object_["address"])
        _fill(store, object_["properties"], object_["groups"])
        if object_["pipelines"]:
            pipelines = [_pipeline(p) for p in object_["pipelines"]]
            portal.pipelines[store.type] = {p.id: p for p in pipelines}
    between = {(kinds["from"], kinds["to"]): kinds["results"] for kinds in document["labels"]}
    for (one, other), kinds in between.items():
        if one < other:
            _open(portal, (one, other), kinds, between.get((other, one), []))
    if document["owners"]:
        portal.owners = {o.id: o for o in map(_owner, document["owners"])}
    for given in document.get("lists") or []:  # a copy of an earlier version has none
        object_type = portal.canonical(str(given["objectTypeId"]))
        if object_type in portal.stores:
            made = PortalList(str(given["listId"]), given["name"], object_type, given["processingType"])
            portal.lists[made.id] = made
    portal.set_up()


def _custom(id_: str, given: Mapping[str, Any]) -> CustomObject:
    labels = given.get("labels") or {}
    return CustomObject(
        id_,
        str(given.get("name")),
        str(given.get("fullyQualifiedName") or given.get("name")),
        str(labels.get("singular") or given.get("name")),
        str(labels.get("plural") or given.get("name")),
        str(given.get("primaryDisplayProperty") or ""),
        list(given.get("secondaryDisplayProperties") or []),
        list(given.get("requiredProperties") or []),
        list(given.get("searchableProperties") or []),
    )


def _fill(store: ObjectStore, properties: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """What the account does not have is gone. A type of property that the sandbox does not check is a text."""
    store.properties = {}
    store.unique = {"email": {}} if store.type == "contacts" else {}
    for given in properties:
        store.add_property(_property(given))
    if groups:
        found = [PropertyGroup(g["name"], g.get("label") or g["name"], g.get("displayOrder", -1)) for g in groups]
        store.groups = {g.name: g for g in found}


def _property(given: Mapping[str, Any]) -> Property:
    type_ = given.get("type") if given.get("type") in _TYPES else "string"
    options = sorted(given.get("options") or [], key=lambda option: option.get("displayOrder") or 0)
    return Property(
        given["name"],
        str(type_),
        given.get("fieldType") or "",
        given.get("label") or "",
        given.get("groupName") or "",
        given.get("description") or "",
        read_only=bool((given.get("modificationMetadata") or {}).get("readOnlyValue")),
        unique=bool(given.get("hasUniqueValue")),
        hubspot_defined=bool(given.get("hubspotDefined")),
        options={str(option["value"]): str(option.get("label") or option["value"]) for option in options},
        calculated=bool(given.get("calculated")),
        external=bool(given.get("externalOptions")),
    )


def _pipeline(given: Mapping[str, Any]) -> Pipeline:
    stages = [
        PipelineStage(s["id"], s.get("label") or s["id"], s.get("displayOrder") or 0, dict(s.get("metadata") or {}))
        for s in given.get("stages") or []
        if not s.get("archived")
    ]
    return Pipeline(
        given["id"], given.get("label") or given["id"], given.get("displayOrder") or 0, {s.id: s for s in stages}
    )


def _open(
    portal: Portal, pair: tuple[str, str], there: Sequence[Mapping[str, Any]], back: Sequence[Mapping[str, Any]]
) -> None:
    """The API does not say which type is the inverse of which: those of one category are paired in order of their ids,
    those without a label first (assumed; a label's two ids are given out together)."""

    def in_order(kinds: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return sorted(kinds, key=lambda k: (k.get("category") or "", k.get("label") is not None, k["typeId"]))

    for one, other in zip(in_order(there), in_order(back), strict=False):
        portal.association_types.add(_association(pair, one, other), _association(pair[::-1], other, one))


def _association(pair: tuple[str, str], one: Mapping[str, Any], other: Mapping[str, Any]) -> AssociationType:
    name = f"{pair[0]}_to_{pair[1]}"
    category = one.get("category") or USER_DEFINED
    return AssociationType(one["typeId"], *pair, other["typeId"], name, one.get("label"), category)


def _owner(given: Mapping[str, Any]) -> PortalOwner:
    archived = bool(given.get("archived"))
    user_id = given.get("userIdIncludingInactive") or given.get("userId") or 0
    first, last = given.get("firstName") or "", given.get("lastName") or ""
    return PortalOwner(str(given["id"]), given.get("email") or "", first, last, user_id, archived)
