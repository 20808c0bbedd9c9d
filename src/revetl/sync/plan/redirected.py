"""Who left a mirror since two records became one at home: the record there is neither archived nor cleared.

A key that is over leads to the one that took its place, in the model that `redirects` names. While that one is in the
sync's model, what stands under the old key is the same person's, with a history that an archive would take away. So the
line is withheld by name (MERGED_HERE), says which two records are to be merged there, and waits. Once a person has
merged them, both keys mean one record, and `same_record` ends the line.

Runs after `standing` and `same_record`, in the warehouse alone; safe to repeat.
"""

from __future__ import annotations

from revetl.state.sync_tables import SyncTables
from revetl.sync.plan import same_record
from revetl.warehouse.sql import literal, table

MERGED_HERE = "MERGED_HERE"


def withhold(tables: SyncTables) -> None:
    """Nothing where the sync names no redirects. WarehouseError where their model is not built."""
    redirects = tables.spec.redirects
    if redirects is None or not tables.warehouse.rows(
        f"""
        SELECT 1
        FROM {tables.plan} p
        WHERE {same_record.leaves(tables, "p")}
        LIMIT 1
        """
    ):
        return
    merged = f"""
        SELECT
            p.ordinal,
            CAST(r.current_golden_id AS VARCHAR) AS current_key,
            n.destination_id
        FROM {tables.plan} p
        JOIN {table(redirects)} r ON CAST(r.golden_id AS VARCHAR) = p.key
        JOIN {tables.source} m ON {tables.source_key("m")} = CAST(r.current_golden_id AS VARCHAR)
        LEFT JOIN {tables.snapshot} n ON n.key = CAST(r.current_golden_id AS VARCHAR)
        WHERE {same_record.leaves(tables, "p")}
        """
    stands = "coalesce(', which stands there as ' || t.destination_id, ', which is new there')"
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET
            outcome = 'rejected',
            reason = {literal(MERGED_HERE)},
            note = {literal("became one with ")} || t.current_key || {stands} || {literal(": merge the two there")}
        FROM ({merged}) t
        WHERE t.ordinal = {tables.plan}.ordinal AND {tables.plan}.outcome IS NULL
        """
    )
    # A mirror that erases names whoever left and still stands as part of another. This one was not to be erased.
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = 'ok', reason = NULL, changed_fields = '[]'
        FROM ({merged}) t
        WHERE t.ordinal = {tables.plan}.ordinal AND {tables.plan}.reason = {literal(same_record.SAME_RECORD)}
        """
    )
