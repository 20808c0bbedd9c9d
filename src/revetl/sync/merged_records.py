"""What was merged into a record at the destination: whether all of it was ours.

People merge duplicates, and a record of ours may hold a person's own contact since. What revetl did not write it does
not remove: neither a mirror (`plan.removals`) nor a rollback or a disconnect (`rollback.judge`). Read only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from revetl.destinations.base import RecordMatch
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import cut
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import literal

HOLDS_ANOTHER = "merged with another record there, and stands as {}: not archived"
_IDS_AT_ONCE = 5_000  # Snowflake takes 16,384 values in a list


async def find_foreign(run: SyncRun, stands: Iterable[RecordMatch]) -> frozenset[str]:
    """Of the ids that were merged into these records, those that this sync never wrote to. Whose history is not kept
    counts as foreign."""
    former = {id_ for match in stands for id_ in match.former_ids}
    return await run.on_tables(_never_ours, former) if former else frozenset()


def _never_ours(tables: SyncTables, ids: Collection[str]) -> frozenset[str]:
    found = set(ids)
    for batch in cut([*ids], _IDS_AT_ONCE):
        listed = ", ".join("?" for _ in batch)
        # A delete may name the record that ours was merged into, and a refusal that of somebody else.
        ours = tables.warehouse.rows(
            f"""
            SELECT destination_id
            FROM {tables.shared("outcomes")}
            WHERE sync = {literal(tables.spec.name)} AND op IN ('create', 'update')
                AND status IN ('ok', 'accepted', 'unknown')
                AND destination_id IN ({listed})
            UNION
            SELECT destination_id
            FROM {tables.snapshot}
            WHERE destination_id IN ({listed})
            """,
            [*batch, *batch],
        )
        found -= {str(id_) for (id_,) in ours}
    return frozenset(found)


def was_merged(known_id: str | None, match: RecordMatch, foreign: Collection[str]) -> bool:
    """Whether the record stands under another id than the one that is known, or holds one that is not ours."""
    moved = known_id is not None and match.destination_id != known_id
    return moved or any(id_ in foreign for id_ in match.former_ids)
