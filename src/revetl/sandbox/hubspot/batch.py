"""Batch endpoints: what is refused as a whole, what is refused per record, and in what shape it comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.associations import check_links, make_links
from revetl.sandbox.hubspot.errors import ApiError
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.store import INTEGRATION, ObjectStore, Record, iso_ms

MAX_INPUTS = 100


@dataclass(slots=True)
class _Item:
    """One input on its way: `values` are checked, `record` is None for one that is to be created. `sent`: the names of
    all that the input held."""

    trace_id: str | None
    record: Record | None
    values: dict[str, str]
    links: list[tuple[str, str, int]]
    sent: dict[str, None]


def create(call: PortalCall) -> Reply:
    inputs = _inputs(call)

    def resolve(_: dict[str, Any]) -> tuple[Record | None, dict[str, str]]:
        return None, {}

    return _write(call, inputs, resolve, success=201)


def update(call: PortalCall) -> Reply:
    """An unknown id costs only itself, trace id or not, and its error names the id and no trace id (captured)."""
    inputs = _inputs(call)
    store = call.store
    id_property = _id_property(call, inputs, upsert=False)
    _refuse_duplicates(store, inputs, id_property)
    missing: list[str] = []
    known = []
    for item in inputs:
        if store.find(_identifier(item), id_property) is None:
            missing.append(_identifier(item))
        else:
            known.append(item)

    def resolve(item: dict[str, Any]) -> tuple[Record | None, dict[str, str]]:
        return store.find(_identifier(item), id_property), {}

    unknown = [errors.objects_not_found(store.type, [i]).in_batch(None) for i in missing]
    return _write(call, known, resolve, success=200, failed=unknown)


def upsert(call: PortalCall) -> Reply:
    inputs = _inputs(call)
    store = call.store
    id_property = _id_property(call, inputs, upsert=True)
    _refuse_duplicates(store, inputs, id_property)

    def resolve(item: dict[str, Any]) -> tuple[Record | None, dict[str, str]]:
        record = store.find(_identifier(item), id_property)
        # A record found by an additional email keeps its main one.
        own = {} if record is not None or id_property is None else {id_property: _identifier(item)}
        return record, own

    return _write(call, inputs, resolve, success=200, say_new=True)


def read(call: PortalCall) -> Reply:
    inputs = _inputs(call)
    store = call.store
    id_property = call.fields.get("idProperty") or None
    if id_property is not None:
        _require_unique(store, id_property)
    names = call.fields.get("properties") or None
    with_history = call.fields.get("propertiesWithHistory") or []
    found: dict[str, Record] = {}
    missing: list[str] = []
    for item in inputs:
        record = store.find(_identifier(item), id_property)
        if record is None:
            missing.append(_identifier(item))
        else:
            found[record.id] = record  # two emails of one contact give one result
    results = []
    for record in found.values():
        shown = store.show(record, names)
        if with_history:
            shown["propertiesWithHistory"] = {n: history_json(record, n) for n in with_history}
        results.append(shown)
    failed = [errors.objects_not_found(store.type, missing).in_batch(None)] if missing else []
    return _answer(call, results, failed, 200)


def archive(call: PortalCall) -> Reply:
    """Unknown ids are ignored (docs): repeating is safe."""
    for item in _inputs(call):
        record = call.store.get(_identifier(item))
        if record is not None:
            call.portal.archive(call.store, record)
    return 204, None


def history_json(record: Record, name: str) -> list[dict[str, Any]]:
    return [
        {"value": w.values[name], "timestamp": iso_ms(w.at_ms), "sourceType": w.source} for w in record.history(name)
    ]


Resolve = Callable[[dict[str, Any]], tuple[Record | None, dict[str, str]]]


def _write(
    call: PortalCall,
    inputs: list[dict[str, Any]],
    resolve: Resolve,
    *,
    success: int,
    failed: list[dict[str, Any]] | None = None,
    say_new: bool = False,
) -> Reply:
    """Checks all inputs, then writes the good ones. With a unique trace id on every input a bad one costs only
    itself; otherwise the first bad one refuses the batch and nothing is written (live)."""
    store, portal = call.store, call.portal
    isolated = _all_traced(inputs)
    failed = failed or []
    ready: list[_Item] = []
    pending: dict[tuple[str, str], str] = {}
    for item in inputs:
        trace_id = item.get("objectWriteTraceId")
        try:
            record, own = resolve(item)
            values = store.prepare(item.get("properties", {}), record)
            values = {**store.prepare(own, record), **values} if own else values
            links = check_links(portal, store.type, item.get("associations"))
            store.check_unique(values, record, pending)
        except ApiError as e:
            if not isolated:
                raise
            failed.append(e.in_batch(trace_id))
            continue
        sent = dict.fromkeys((*own, *item.get("properties", {})))
        ready.append(_Item(trace_id, record, values, links, sent))
    at_ms = portal.now_ms()
    results = []
    for one in ready:
        new = one.record is None
        if one.record is None:
            one.record = portal.create(store, one.values, at_ms, INTEGRATION)
        else:
            portal.update(store, one.record, one.values, at_ms, INTEGRATION)
        make_links(portal, store.type, one.record.id, one.links)
        # What stands in the properties that were sent, also where it was not taken (a stage that can't go back).
        shown = store.show_written(one.record, one.sent)
        if say_new:
            shown["new"] = new
        # Success rows often, not always, omit it (live): nobody may lean on either.
        if one.trace_id is not None and one.record.id[-1] in "05":
            shown["objectWriteTraceId"] = one.trace_id
        results.append(shown)
    return _answer(call, results[1::2] + results[::2], failed, success)


def _answer(call: PortalCall, results: list[dict[str, Any]], failed: list[dict[str, Any]], success: int) -> Reply:
    now = call.portal.now_iso()
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not failed:
        return success, body
    body["errors"] = failed
    body["numErrors"] = len(failed)
    return 207, body


def _inputs(call: PortalCall) -> list[dict[str, Any]]:
    inputs = call.fields.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) for i in inputs):
        raise errors.invalid_json("inputs must be an array of objects")
    if not inputs:
        raise errors.invalid_input("inputs must not be empty")
    if len(inputs) > MAX_INPUTS:
        raise errors.invalid_input(f"Batch size must be at most {MAX_INPUTS}, was {len(inputs)}")
    return inputs


def _identifier(item: dict[str, Any]) -> str:
    identifier = item.get("id")
    if not isinstance(identifier, str | int) or identifier == "":
        raise errors.invalid_json("every input needs an id")
    return str(identifier)


def _all_traced(inputs: list[dict[str, Any]]) -> bool:
    traces = {i.get("objectWriteTraceId") for i in inputs}
    return None not in traces and len(traces) == len(inputs)


def _id_property(call: PortalCall, inputs: list[dict[str, Any]], *, upsert: bool) -> str | None:
    """The one property that all inputs are identified by; None for the record id."""
    names = {i.get("idProperty") for i in inputs}
    if len(names) > 1:
        raise errors.invalid_input("All inputs must have the same idProperty")
    name = names.pop()
    if name is None or name == "hs_object_id":
        if upsert and name is None:
            raise errors.invalid_input("idProperty is required for upsert")
        return None
    _require_unique(call.store, name)
    if not upsert and call.type == "contacts" and name == "email":
        # Only upsert takes a contact's email; update refuses it as non-unique (2024 report).
        raise errors.non_unique_id_property(call.type, name)
    return str(name)


def _require_unique(store: ObjectStore, name: str) -> None:
    if name not in store.unique:
        raise errors.non_unique_id_property(store.type, name)


def _refuse_duplicates(store: ObjectStore, inputs: list[dict[str, Any]], id_property: str | None) -> None:
    """A repeated id refuses the whole batch, trace ids or not (live)."""
    seen: set[str] = set()
    repeated: list[str] = []
    for item in inputs:
        identifier = _identifier(item)
        if id_property is not None:
            identifier = store.normal_form(id_property, identifier)
        if identifier in seen and identifier not in repeated:
            repeated.append(identifier)
        seen.add(identifier)
    if repeated:
        raise errors.duplicate_ids(repeated)
