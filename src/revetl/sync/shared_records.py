"""Records that another sync of this project stands on, too: it knows them by the same id of the same destination and
object. One sync must not remove what another still sends, and our own snapshots tell without a request.

Two connections to one account are two destinations here: nothing that is kept says that they are one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from revetl.state import syncs
from revetl.state.sync_tables import SyncTables, relation_of
from revetl.sync.batching import cut
from revetl.warehouse.sql import table

_AT_ONCE = 5_000  # Snowflake takes 16,384 values in a list
STANDS_ON = "the sync {} stands on it, too, and still sends it"


@dataclass(frozen=True, slots=True)
class OtherSync:
    """Another sync of the same object. `snapshot`: quoted, to stand in a statement. `fields`: of our fields, those that
    it sends."""

    name: str
    snapshot: str
    fields: frozenset[str]


def others(tables: SyncTables) -> list[OtherSync]:
    """Those that ran and were not disconnected, by name. Reads only."""
    found = []
    for other in syncs.of_object(tables.warehouse, tables.spec.destination, tables.spec.object):
        place = relation_of(tables.warehouse, "snapshot", other.sync)
        stored = {column.name.casefold() for column in tables.warehouse.columns(place)}
        if other.sync == tables.spec.name or other.disconnect_at is not None or not stored:
            continue
        fields = frozenset(f.name for f in tables.fields if f.stored.casefold() in stored)
        found.append(OtherSync(other.sync, table(place), fields))
    return found


def stood_on(tables: SyncTables, among: Sequence[OtherSync], ids: Iterable[str | None]) -> dict[str, list[OtherSync]]:
    """Of these records, those that others stand on. Reads only."""
    found: dict[str, list[OtherSync]] = defaultdict(list)
    wanted = list(dict.fromkeys(id_ for id_ in ids if id_ is not None))
    for other in among:
        for batch in cut(wanted, _AT_ONCE):
            rows = tables.warehouse.rows(
                f"""
                SELECT DISTINCT destination_id
                FROM {other.snapshot}
                WHERE destination_id IN ({", ".join("?" for _ in batch)})
                """,
                [*batch],
            )
            for (id_,) in rows:
                found[str(id_)].append(other)
    return found
