"""Outcomes by the record that they are of, whatever its key was then: those of its id; and those of its key under ids
that no key has today, since it was merged or made anew."""

from __future__ import annotations

from revetl.privacy.suppressions import is_alias
from revetl.state.sync_tables import SyncTables


def by_record(tables: SyncTables, among: str = "TRUE") -> str:
    """A SELECT of outcomes with `now_key`, the key that has the record today. The sync's name and the time after which
    its outcomes count are to be bound. `among`: a condition on the outcome `o`."""
    return f"""
        WITH present AS (
            SELECT o.*
            FROM {tables.shared("outcomes")} o
            WHERE o.sync = ? AND o.op IN ('create', 'update', 'delete') AND o.status IN ('ok', 'accepted', 'unknown')
                AND NOT {is_alias("o.key")}
                AND o."at" > ?
                AND {among}
        )
        SELECT n.key AS now_key, o.*
        FROM present o
        JOIN {tables.snapshot} n ON n.destination_id = o.destination_id
        UNION ALL
        SELECT o.key AS now_key, o.*
        FROM present o
        LEFT JOIN ({keys_of_ids(tables)}) y ON y.destination_id = o.destination_id
        WHERE y.destination_id IS NULL
        """


def keys_of_ids(tables: SyncTables) -> str:
    """A SELECT of (destination_id, low, high): the keys that have a record today, of which there should be one."""
    return f"""
            SELECT destination_id, min(key) AS low, max(key) AS high
            FROM {tables.snapshot}
            WHERE destination_id IS NOT NULL
            GROUP BY destination_id
        """


def another_key(alias: str) -> str:
    """The key that has the record of this row today, where it is another one; over `keys_of_ids` as `x`."""
    return f"CASE WHEN x.low <> {alias}.key THEN x.low WHEN x.high <> {alias}.key THEN x.high END"
