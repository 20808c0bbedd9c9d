"""Which runs are alive: each holds a lease of its own and keeps it with a heartbeat. What a dead run left in flight may
be taken up.

A run that is wrongly taken for dead (its machine slept for longer than a lease lasts) loses no money and repeats no
call: its calls in flight are in doubt for the others, which leaves them alone or asks them again where that is free,
and their outcomes are written when they come.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from revetl.state import leases
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

LASTS = timedelta(minutes=5)
PREFIX = "enrich:"


def beat(warehouse: Warehouse, run_id: str, now: datetime) -> None:
    """Says that this run is alive until `now + LASTS`. Call it at the start, and again before that ends. Safe to
    repeat."""
    leases.take(warehouse, _name(run_id), run_id, now=now, lasts=LASTS)


def end(warehouse: Warehouse, run_id: str) -> None:
    """The run is over. This process knows it even where the table can't be written. Safe to repeat."""
    leases.forget(run_id)
    warehouse.execute(f"DELETE FROM {table(relation(warehouse, 'leases'))} WHERE name = ?", [_name(run_id)])


def dead(warehouse: Warehouse, run_ids: Iterable[str], now: datetime) -> list[str]:
    """Those of the runs that are not alive, as far as can be known."""
    return [run_id for run_id in run_ids if leases.holder(warehouse, _name(run_id), now=now) is None]


def _name(run_id: str) -> str:
    return f"{PREFIX}{run_id}"
