"""What of a change goes to which batch endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from revetl.destinations.base import DestinationField, FieldType
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.batch_items import BatchRoute, Item
from revetl.destinations.hubspot.domains import bare
from revetl.destinations.hubspot.values import canonical, encode
from revetl.model import Change, Operation


def route_of(base: str, id_property: str, change: Change) -> BatchRoute:
    """`base`: the object's address. `id_property`: what new records are upserted by."""
    if change.op is Operation.DELETE:
        return BatchRoute(f"{base}/batch/archive", archive=True)
    if change.destination_id is not None or change.op is Operation.UPDATE:
        return BatchRoute(f"{base}/batch/update")
    return BatchRoute(f"{base}/batch/upsert", id_property)


@dataclass(frozen=True, slots=True)
class ItemBuilder:
    """Of one object. `key`: the connection's property for keys; `keyed`: what these writes make carries it; `unkeyed`:
    ids of records that do not have it yet, and are given it by their next update."""

    described: Mapping[str, DestinationField]
    key: str
    keyed: bool
    unkeyed: Set[str]

    def build(self, route: BatchRoute, change: Change) -> Item:
        """Already rejected where it can't be sent."""
        problem: api.Refusal | None = None
        properties: dict[str, str] = {}
        for name, value in change.fields.items() if not route.archive else ():
            try:
                text = encode(value, self._type(name))
                properties[name] = bare(text) if name == "domain" else text
            except ValueError as e:
                problem = api.Refusal("INVALID_VALUE", f"{name}: {e}", properties=(name,))
        if route.id_property is None:
            id_ = form = change.destination_id or ""
            if self.keyed and id_ in self.unkeyed and not route.archive:
                properties[self.key] = change.key
        elif route.id_property == self.key:
            id_ = form = properties[self.key] = change.key
        else:
            id_ = form = canonical(route.id_property, change.match_value, self._type(route.id_property))
            # The id sets it. Sent as a property too, it would replace the main address of who is found by another one.
            properties.pop(route.id_property, None)
        if not id_:
            problem = api.Refusal("MISSING_ID", f"there is no value for {route.id_property or 'the record id'}")
        types = {name: self.described[name].type for name in properties if name in self.described}
        item = Item(change, id_, form, properties, types)
        if problem:
            item.rejected(problem)
        return item

    def _type(self, name: str) -> FieldType | None:
        return self.described[name].type if name in self.described else None
