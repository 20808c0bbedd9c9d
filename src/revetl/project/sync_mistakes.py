"""Mistakes in what a sync declares that pydantic can't see: names that stand for something elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from revetl.documents import Document, Path_
from revetl.errors import Problem, did_you_mean
from revetl.project.sync_meta import AssociateMeta, ReferenceMeta, SyncMeta


@dataclass(frozen=True, slots=True)
class SyncPlace:
    """Where `meta.revetl` of a model is written."""

    document: Document
    at: Path_

    def problem(self, location: Path_, message: str, hint: str | None = None) -> Problem:
        return self.document.problem((*self.at, *location), message, hint)


def mistakes(
    meta: SyncMeta, node: Mapping[str, Any], place: SyncPlace, destinations: list[str], declared: Mapping[str, Any]
) -> list[Problem]:
    """What pydantic can't see: names that stand for something elsewhere."""
    problems: list[Problem] = []
    columns = list(node["columns"])
    if not (node["config"].get("contract") or {}).get("enforced") or not columns:
        message = f"{node['name']}: a synced model needs `contract: {{enforced: true}}` and its columns"
        return [place.problem((), message, "The contract is what says which columns are sent.")]
    if node["config"].get("materialized") == "ephemeral":
        message = f"{node['name']} is ephemeral: dbt makes no table of it, so there are no rows to send"
        return [place.problem((), message, "Materialize it as a table, a view or incrementally.")]
    if meta.destination not in destinations:
        hint = did_you_mean(meta.destination, destinations) or "connections.yml declares no destination."
        problems.append(place.problem(("destination",), f"no destination {meta.destination!r}", hint))
    named: list[tuple[Path_, str]] = [(("key",), meta.key)]
    if meta.match_on is not None:
        named.append((("match_on",), meta.match_on))
    named += [(("fields", column), column) for column in meta.fields]
    named += [(("associate", i, "by"), a.by) for i, a in enumerate(meta.associate)]
    for at, column in named:
        if column not in columns:
            message = f"{node['name']} has no column {column!r}"
            problems.append(place.problem(at, message, did_you_mean(column, columns)))
    for i, a in enumerate(meta.associate):
        at = ("associate", i, "to")
        problems += _naming_mistakes(a, ("associate", i), place)
        if a.to is None:
            pass
        elif a.to not in declared:
            problems.append(place.problem(at, f"no sync {a.to!r}", did_you_mean(a.to, list(declared))))
        elif (other := declared[a.to].get("destination")) != meta.destination:
            message = f"{a.to} writes to {other}, this sync to {meta.destination}: records of two cannot be linked"
            problems.append(place.problem(at, message))
        if a.by == meta.key or a.by in meta.fields or a.by == meta.match_on:
            message = f"{a.by!r} names the linked record, so it is not a field that is sent"
            problems.append(place.problem(("associate", i, "by"), message, "Select the column twice, under two names."))
    for column, declared_field in meta.fields.items():
        if declared_field.references is not None:
            problems += _reference_mistakes(column, declared_field.references, meta, place, declared)
    if meta.renamed_from in declared:
        message = f"renamed_from: {meta.renamed_from!r} is declared still, so its state is its own"
        problems.append(place.problem(("renamed_from",), message))
    needed = {"ignore": (), "forget": ("upsert", "update")}.get(meta.on_leave, ("mirror",))
    if needed and meta.mode not in needed:
        message = f"on_leave: {meta.on_leave} needs mode: {' or '.join(needed)}"
        problems.append(place.problem(("on_leave",), message))
    if meta.redirects is not None and not meta.deletes:
        message = "redirects say what becomes of records that left: they need mode: mirror that removes or clears"
        problems.append(place.problem(("redirects",), message))
    problems += _key_mistakes(meta, node, place, declared)
    problems += _creating_mistakes(meta, columns, place)
    for field in meta.metadata:
        if field in columns:
            message = f"metadata: {field!r} is a column of {node['name']} too"
            problems.append(place.problem(("metadata", field), message, "Leave the column out of the model."))
    return problems


def _reference_mistakes(
    column: str, reference: ReferenceMeta, meta: SyncMeta, place: SyncPlace, declared: Mapping[str, Any]
) -> list[Problem]:
    at = ("fields", column, "references")
    problems = _naming_mistakes(reference, at, place)
    if reference.to is not None and reference.to not in declared:
        hint = did_you_mean(reference.to, list(declared))
        problems.append(place.problem((*at, "to"), f"no sync {reference.to!r}", hint))
    if column in (meta.key, meta.match_on):
        message = f"{column!r} is what a record of this sync is found by, so it can't name another one"
        problems.append(place.problem(at, message, "Select the column twice, under two names."))
    return problems


def _naming_mistakes(named: ReferenceMeta | AssociateMeta, at: Path_, place: SyncPlace) -> list[Problem]:
    """Of what says which record is named: by the key of a sync, or by a field of an object."""
    looked_up = (named.object, named.match_on)
    if (looked_up == (None, None)) if named.to is not None else all(looked_up):
        return []
    message = "another record is named by `to`, a sync, or by `object` and `match_on`, where it is looked up"
    return [place.problem(at, message, "Write one of the two.")]


def _creating_mistakes(meta: SyncMeta, columns: list[str], place: SyncPlace) -> list[Problem]:
    problems = []
    for i, name in enumerate(meta.create_properties):
        said: tuple[str, str | None] | None = None
        if name not in columns:
            said = f"create_properties: there is no column {name!r}", did_you_mean(name, columns)
        elif name == meta.match_on:
            said = f"create_properties: records are found by {name!r}, so it has to be there", "Make it there, by hand."
        elif name == meta.key or any(name == a.by for a in meta.associate):
            said = f"create_properties: {name!r} is not sent as a field", "Leave it out."
        problems += [place.problem(("create_properties", i), *said)] if said else []
    return problems


def _key_mistakes(
    meta: SyncMeta, node: Mapping[str, Any], place: SyncPlace, declared: Mapping[str, Any]
) -> list[Problem]:
    """Of the field that is given the key. Its values are unique within the object, and keys within the sync: where two
    syncs wrote one field, key 1 of the one would find the record of key 1 of the other."""
    field = meta.key_property
    if field is None:
        return []
    found: list[tuple[str, str]] = []
    if field in node["columns"]:
        found.append((f"{field!r} is a column of {node['name']} too", "Leave the column out of the model."))
    if field in meta.metadata:
        found.append((f"{field!r} stands under metadata too", "Give one of the two another field."))
    if meta.match_on == meta.key:
        hint = "Leave key_property out: whoever changes the value has another key, so there is nothing to find."
        found.append((f"records are found by their key already, in {meta.key!r}", hint))
    for name, other in declared.items():
        ours = (meta.destination, meta.object, field)
        if name != node["name"] and tuple(map(other.get, ("destination", "object", "key_property"))) == ours:
            hint = "Give each sync a field of its own: their keys may be equal and mean different records."
            found.append((f"{name} gives {field!r} of {meta.object} its keys too", hint))
    return [place.problem(("key_property",), f"key_property: {message}", hint) for message, hint in found]
