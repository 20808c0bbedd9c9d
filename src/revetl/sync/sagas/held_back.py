"""What the undoing of a saga restored stands in the retry queue, as after any rollback. The next run of the sync
releases it, but for records of which a field is held, since a person had edited it. A plan reckons with the same.

The records say themselves which rollback restored them, so a saga may be renamed or removed meanwhile, and a sync may
have left it: what was held back goes on all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from revetl.model import SyncSpec
from revetl.state.schema import relation
from revetl.state.sync_tables import SyncTables, resolve
from revetl.sync.retry.queue import ROLLED_BACK, QueueFilter
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal


def held_back(tables: SyncTables) -> tuple[QueueFilter, ...]:
    """What the next run of this sync releases; empty where nothing waits because of a saga. Reads only."""
    if not _may_wait(tables):
        return ()
    found = tables.warehouse.rows(
        f"""
        SELECT DISTINCT q.run_id
        {_restored_by_a_saga(tables)}
            AND q.kept_values IS NULL
        ORDER BY 1
        """,
        [tables.spec.name],
    )
    return tuple(QueueFilter(run_id=str(run_id), statuses=(ROLLED_BACK,), whole=True) for (run_id,) in found)


def still_held(warehouse: Warehouse, spec: SyncSpec) -> int:
    """Records that wait because a saga was undone, those of which a person had edited a field among them. Reads
    only."""
    tables = resolve(warehouse, spec)
    if not _may_wait(tables):
        return 0
    return tables.warehouse.scalar(
        f"""
        SELECT count(DISTINCT q.key)
        {_restored_by_a_saga(tables)}
        """,
        int,
        [tables.spec.name],
    )


def held_back_of(warehouse: Warehouse, specs: Iterable[SyncSpec]) -> Mapping[str, tuple[QueueFilter, ...]]:
    """Sync → what its next run releases, where that is anything. Reads only."""
    if not warehouse.columns(relation(warehouse, "saga_runs")):
        return {}
    found = {spec.name: held_back(resolve(warehouse, spec)) for spec in specs}
    return {sync: which for sync, which in found.items() if which}


def _may_wait(tables: SyncTables) -> bool:
    """Whether a saga was ever run, and the sync has a queue."""
    return bool(tables.warehouse.columns(tables.relation("rejected"))) and bool(
        tables.warehouse.columns(relation(tables.warehouse, "saga_runs"))
    )


def _restored_by_a_saga(tables: SyncTables) -> str:
    """FROM and WHERE; the sync's name is to be bound. A rollback of a run of a saga that was not undone is a person's
    own, so what it restored waits for that person."""
    return f"""FROM {tables.rejected} q
        JOIN {tables.shared("runs")} r ON r.run_id = q.run_id
        JOIN {tables.shared("saga_runs")} m ON m.run_id = r.undoes
        JOIN {tables.shared("sagas")} s ON s.saga_id = m.saga_id
        WHERE m.sync = ? AND s.step = 'undone' AND q.status = {literal(ROLLED_BACK)}"""


def rolled_back(warehouse: Warehouse, specs: Iterable[SyncSpec]) -> dict[str, int]:
    """Sync → records that wait since a rollback restored them, a person's own among them. Reads only."""
    found = dict[str, int]()
    for spec in specs:
        tables = resolve(warehouse, spec)
        if warehouse.columns(tables.relation("rejected")):
            statement = f"SELECT count(*) FROM {tables.rejected} WHERE status = {literal(ROLLED_BACK)}"
            found[spec.name] = warehouse.scalar(statement, int)
    return {sync: n for sync, n in found.items() if n}
