"""Records of people who were erased: they are not sent, whatever the model says.

Whoever is in the snapshot was looked at before, and erasing removes them from there. So only records that are new to it
are looked at, and those whose texts changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.privacy.mentions import MARKS
from revetl.privacy.suppressions import Suppressions, anybody_erased
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.sql import ident, literal

_AT_ONCE = 500


def records(tables: SyncTables) -> list[str]:
    """Keys of the model that must not be sent: their own, or an email or profile in any of their texts, was erased.
    Nothing leaves the warehouse where nobody was. ConfigError where the key of the list of suppressed people is not at
    hand: then nobody who was erased could be recognised."""
    warehouse = tables.warehouse
    if not anybody_erased(warehouse):
        return []
    listed = Suppressions.load(warehouse)
    texts = [f for f in tables.fields if f.type == "VARCHAR"]
    identities = [f"CASE WHEN {may_name_somebody(v)} THEN {v} END" for v in (tables.value(f, "m") for f in texts)]
    changed = "".join(f" OR {tables.value(f, 'm')} IS DISTINCT FROM n.{ident(f.stored)}" for f in texts)
    key, line = tables.source_key("m"), literal("\n")
    every = f"concat_ws({line}, {', '.join(identities)})" if identities else line
    rows = warehouse.stream(
        f"""
        SELECT {key} AS key, {every} AS identities
        FROM {tables.source} m
        LEFT JOIN {tables.snapshot} n ON n.key = {key}
        WHERE n.key IS NULL{changed}
        """
    )
    return [
        str(key)
        for batch in rows
        for key, values in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if key is not None and listed.is_erased(str(key), filter(None, str(values or "").split("\n")))
    ]


def may_name_somebody(text: str) -> str:
    """Condition: it is worth looking at for emails and profiles."""
    return " OR ".join(f"contains(lower({text}), {literal(mark)})" for mark in MARKS)


def leave_out(tables: SyncTables, purpose: str, barred: Sequence[str]) -> None:
    """Removes these records from a scratch table of the model's columns."""
    for first in range(0, len(barred), _AT_ONCE):
        keys = barred[first : first + _AT_ONCE]
        marks = ", ".join("?" for _ in keys)
        tables.warehouse.execute(
            f"""
            DELETE FROM {tables.scratch(purpose)}
            WHERE CAST({ident(tables.spec.key)} AS VARCHAR) IN ({marks})
            """,
            keys,
        )
