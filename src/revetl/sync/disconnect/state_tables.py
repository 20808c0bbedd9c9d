"""The tables of a sync as its state has them: no model is read, since the one that declared it may be gone.

The plan of a disconnect is made against a model that names nothing, `disconnect__<sync>`: an empty table with the
columns of the snapshot. So links of ours are no longer wanted, and nothing is read from a table that dbt may drop.
"""

from __future__ import annotations

from revetl.model import Association, Relation, SyncSpec
from revetl.state.schema import create_table
from revetl.state.sync_tables import SyncField, SyncTables, field_of, relation_of
from revetl.state.syncs import RememberedSync
from revetl.warehouse.base import Warehouse

KIND = "disconnect"


def open_tables(warehouse: Warehouse, known: RememberedSync, *, by_id: bool) -> SyncTables:
    """Without fields where the sync has no snapshot: then nothing of it stands anywhere. Sends nothing; safe to repeat.
    `by_id`: its records are named by the id that the destination gave."""
    nothing = relation_of(warehouse, KIND, known.sync)
    stored = [(c.name, c.type.upper()) for c in warehouse.columns(relation_of(warehouse, "snapshot", known.sync))]
    fields = tuple(
        SyncField(name, type_, keep_null=False, column=column, source_type="JSON" if name in known.nested else type_)
        for column, type_ in stored
        if (name := field_of(column)) is not None
    )
    if fields:
        create_table(warehouse, nothing, [("key", "VARCHAR"), *((f.source, f.type) for f in fields)])
    return SyncTables(warehouse, _spec(known, nothing, fields), fields, by_id=by_id)


def as_spec(known: RememberedSync) -> SyncSpec:
    """As much of a declaration as is remembered, of no model."""
    nowhere = Relation("", "")
    return SyncSpec(known.sync, nowhere, known.destination, known.object, "key", known.match_on)


def _spec(known: RememberedSync, nothing: Relation, fields: tuple[SyncField, ...]) -> SyncSpec:
    """`mirror` and `clear`: what a model names no more is taken away, links too."""
    names = {f.name for f in fields}
    return SyncSpec(
        name=known.sync,
        relation=nothing,
        destination=known.destination,
        object=known.object,
        key="key",
        match_on=known.match_on if known.match_on in names else None,
        mode="mirror",
        on_leave="clear",
        columns=tuple(f.source for f in fields),
        associate=tuple(
            Association(to, "key", type_, object_, match_on=to.partition(".")[2] or None)
            for to, type_, object_ in known.links
        ),
        key_property=known.key_property if known.key_property in names else None,
    )
