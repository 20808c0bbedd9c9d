"""Outcomes by the record that they are of, whatever its key was then: those of its id; and those of its key under ids
that no key has today, since it was merged or made anew."""

from __future__ import annotations

from revetl.privacy.suppressions import is_alias
from revetl.state.sync_tables import SyncTables
from revetl.sync.rollback.verdicts import keys_of_ids


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
