"""What the undoing of a saga restored stands in the retry queue, as after any rollback. The next run of the saga
releases it, but for records of which a field is held, since a person had edited it. A plan reckons with the same."""

from __future__ import annotations

from collections.abc import Mapping

from revetl.state import runs, sagas
from revetl.sync.retry.queue import ROLLED_BACK, QueueFilter
from revetl.warehouse.base import Warehouse


def held_back(warehouse: Warehouse, saga: str) -> Mapping[str, tuple[QueueFilter, ...]]:
    """Sync → what the next run releases; empty where the saga went through last. Reads only."""
    found = dict[str, tuple[QueueFilter, ...]]()
    undone = sagas.undone_since_done(warehouse, saga)
    for run in (run for before in undone for run in sagas.runs_of(warehouse, before.saga_id)):
        for rollback in runs.rollbacks_of(warehouse, run.run_id):
            of_it = QueueFilter(run_id=rollback.run_id, statuses=(ROLLED_BACK,), whole=True)
            found[run.sync] = (*found.get(run.sync, ()), of_it)
    return found
