"""`locks`: one row per thing that transactions must do one after the other, such as spending from one budget.

Whoever raises the row's counter (its column `turn`, here its *generation*) has the lock until its transaction ends, on
every warehouse:
- Postgres locks the row at the UPDATE. Transactions are REPEATABLE READ, so where another raised it since our snapshot
  the UPDATE fails (40001) and nothing was done.
- DuckDB lets the second of two writers of a row fail at once, also where the first has committed since we began.
- Snowflake locks the table's partition at the UPDATE and lets the second wait; each later statement then reads what was
  committed by then.
So after `take` a transaction sees all that earlier holders wrote, and nobody writes under the same name before it ends.

Two rows of one name, which two first comers may insert at once, are harmless: both are raised together, and of two
UPDATEs the later one sees every row that the earlier saw. Several names are taken in the order of the alphabet, so that
two can't wait for each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from revetl.clock import Clock
from revetl.errors import WarehouseConflict
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

T = TypeVar("T")

PATIENCE_S = 120.0
_PAUSE_S = 0.005
_LONGEST_S = 0.5


def ensure(warehouse: Warehouse, names: Sequence[str]) -> None:
    """The rows have to be there before a transaction can take them. Outside of one; safe to repeat."""
    found = {str(row[0]) for row in warehouse.rows(f"SELECT DISTINCT name FROM {_table(warehouse)}")}
    for name in sorted(set(names) - found):
        warehouse.execute(f"INSERT INTO {_table(warehouse)} (name, turn) VALUES (?, 0)", [name])


def take(warehouse: Warehouse, names: Sequence[str]) -> None:
    """First thing in the caller's transaction. WarehouseConflict: somebody was first, roll back and begin again."""
    for name in sorted(set(names)):
        warehouse.execute(f"UPDATE {_table(warehouse)} SET turn = turn + 1 WHERE name = ?", [name])


def generation(warehouse: Warehouse, name: str) -> int:
    """How often it was taken so far. Inside a transaction that has taken it: this one counted."""
    return warehouse.scalar(f"SELECT coalesce(max(turn), 0) FROM {_table(warehouse)} WHERE name = ?", int, [name])


async def locked(warehouse: Warehouse, clock: Clock, names: Sequence[str], work: Callable[[], T]) -> T:
    """Runs `work` in a transaction that has the locks; all of it again where another was first, since nothing of it
    was done then. Raises WarehouseConflict after two minutes of that, and whatever `work` raises."""
    deadline = clock.monotonic() + PATIENCE_S
    pause = _PAUSE_S
    while True:
        try:
            with warehouse.transaction():
                take(warehouse, names)
                return work()
        except WarehouseConflict:
            if clock.monotonic() >= deadline:
                raise
        # Uneven pauses, so that those who met do not meet again.
        await clock.sleep(random.SystemRandom().uniform(0.5, 1.5) * pause)
        pause = min(2 * pause, _LONGEST_S)


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "locks"))
