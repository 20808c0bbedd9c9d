"""What became of one record in one run, where it stands now, and what happens to it next."""

from __future__ import annotations

from dataclasses import dataclass

from revetl.model import Relation, Scalar
from revetl.state import outcomes
from revetl.state.outcomes import RecordOutcome
from revetl.state.sync_tables import relation_of
from revetl.sync.retry import queue
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_EARLIER = 1_000


@dataclass(frozen=True, slots=True)
class RecordHistory:
    """`outcomes` of the run that was asked for; `others` the newest of other runs. `known`: the destination is known to
    hold it; `in_doubt`: that is not certain; `waiting`: its status in the retry queue, None where it does not
    wait; `by_itself`: it is tried again though its row stays as it is."""

    key: str
    sync: str
    outcomes: tuple[RecordOutcome, ...]
    others: tuple[RecordOutcome, ...]
    known: bool
    in_doubt: bool
    destination_id: str | None
    waiting: str | None
    by_itself: bool = False

    @property
    def next(self) -> str:
        """One sentence for a person."""
        if self.waiting == "unknown":
            return "waits for a person: `revetl retry` creates it, if it is not at the destination"
        if self.waiting in queue.WHY_HELD:
            again = f"`revetl retry --key {self.key}`"
            return f"{queue.WHY_HELD[self.waiting]}: the model's values are sent when its row changes, or with {again}"
        if self.waiting is not None and self.by_itself:
            return f"waits, and is tried again by itself; `revetl retry --key {self.key}` sends it at once"
        if self.waiting is not None:
            return f"waits: sent again when its row changes, or with `revetl retry --key {self.key}`"
        if self.in_doubt:
            return "in doubt: the next sync looks for it and sends it whole"
        if self.known:
            return "known at the destination: sent again when its row changes"
        if self.outcomes and self.outcomes[0].op == "delete":
            return "gone from the destination: created again if its row comes back"
        return "not known at the destination: the next sync plans it if it is in the model"


def of_record(warehouse: Warehouse, run_id: str, sync: str, key: str) -> RecordHistory:
    """Empty `outcomes` where the run did not touch the record: it was unchanged, or the run ended before."""
    every = [o for o in outcomes.of_key(warehouse, key, limit=_EARLIER) if o.sync == sync]
    found = _first(warehouse, relation_of(warehouse, "snapshot", sync), "destination_id, row_hash IS NULL", key)
    queued = relation_of(warehouse, "rejected", sync)
    # A table of an earlier version is read as it is; the next run gives it the columns that came since.
    in_row = "in_row" if "in_row" in {c.name.lower() for c in warehouse.columns(queued)} else "NULL"
    waiting = _first(warehouse, queued, f"status, {in_row}", key)
    return RecordHistory(
        key,
        sync,
        tuple(o for o in every if o.run_id == run_id),
        tuple(o for o in every if o.run_id != run_id)[:10],
        known=found is not None,
        in_doubt=bool(found and found[1]),
        destination_id=str(found[0]) if found and found[0] is not None else None,
        waiting=str(waiting[0]) if waiting else None,
        by_itself=waiting is not None and queue.by_itself(waiting[0], waiting[1]),
    )


def _first(warehouse: Warehouse, where: Relation, columns: str, key: str) -> tuple[Scalar, ...] | None:
    if not warehouse.columns(where):
        return None
    rows = warehouse.rows(f"SELECT {columns} FROM {table(where)} WHERE key = ?", [key])
    return rows[0] if rows else None
