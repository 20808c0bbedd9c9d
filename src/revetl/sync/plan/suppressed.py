"""Records of people who were erased: they are not sent, whatever the model says.

Whoever is in the snapshot was looked at before, and erasing removes them from there. So only records that are new to it
are looked at, and those whose texts changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.model import Relation
from revetl.privacy.suppressions import Suppressions, anybody_erased
from revetl.state.sync_tables import Layout
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

_AT_ONCE = 500


def records(warehouse: Warehouse, layout: Layout) -> list[str]:
    """Keys of the model that must not be sent: their own, or an email or profile in any of their texts, was erased.
    Nothing leaves the warehouse where nobody was. ConfigError where the key of the list of suppressed people is not at
    hand: then nobody could be told from anybody."""
    if not anybody_erased(warehouse):
        return []
    listed = Suppressions.load(warehouse)
    texts = [f for f in layout.fields if f.type == "VARCHAR"]
    said = [
        f"CASE WHEN contains({v}, '@') OR contains(lower({v}), 'linkedin.com/') THEN {v} END"
        for v in (layout.value(f, "m") for f in texts)
    ]
    changed = "".join(f" OR {layout.value(f, 'm')} IS DISTINCT FROM n.{layout.q(f.stored)}" for f in texts)
    key = layout.source_key("m")
    line = literal("\n")
    every = f"concat_ws({line}, {', '.join(said)})" if said else line
    rows = warehouse.stream(
        f"SELECT {key} AS key, {every} AS said"
        f" FROM {layout.t(layout.spec.relation)} m LEFT JOIN {layout.t(layout.snapshot)} n ON n.key = {key}"
        f" WHERE n.key IS NULL{changed}"
    )
    return [
        str(key)
        for batch in rows
        for key, values in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if key is not None and listed.is_erased(str(key), filter(None, str(values or "").split("\n")))
    ]


def leave_out(warehouse: Warehouse, layout: Layout, source: Relation, barred: Sequence[str]) -> None:
    """Removes these records from a scratch table."""
    key = f"CAST({layout.q(layout.spec.key)} AS VARCHAR)"
    for first in range(0, len(barred), _AT_ONCE):
        keys = barred[first : first + _AT_ONCE]
        marks = ", ".join("?" for _ in keys)
        warehouse.execute(f"DELETE FROM {layout.t(source)} WHERE {key} IN ({marks})", keys)
