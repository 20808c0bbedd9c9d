"""The records of others for which fields and links of a sync wait now, for a person who asks what waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from revetl.state import disconnections
from revetl.state.sync_tables import SyncTables
from revetl.sync.links import comparison
from revetl.sync.references import missing
from revetl.sync.references.missing import MissingReference


@dataclass(frozen=True, slots=True)
class AwaitedRecords:
    """`named`: values that nothing was found for. `links`: sync → links that wait for a record of it; those of records
    that do not stand there themselves stand under the sync's own name. `disconnected`: of these syncs, those of which
    nothing is sent any more."""

    named: list[MissingReference] = field(default_factory=list)
    links: dict[str, int] = field(default_factory=dict)
    disconnected: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.named or self.links)


def look(tables: SyncTables, state_dir: Path | None, *, most_values: int = 20) -> AwaitedRecords:
    """Reads the warehouse only; nothing where the sync never ran. `most_values`: of each column."""
    if not tables.warehouse.columns(tables.relation("snapshot")):
        return AwaitedRecords()
    links = comparison.waiting_for(tables)
    gone = disconnections.of_syncs(tables.warehouse, state_dir, links)
    return AwaitedRecords(missing.listed(tables, most_values=most_values), links, tuple(gone))
