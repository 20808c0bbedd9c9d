"""`leases`: who may write the state of a sync right now. One name, one holder, an end that the holder moves forward.

Why this is safe without a unique constraint (Snowflake has none that it enforces):
- A lease is ours when, after our UPDATE, no row of its name names anybody else. Two rows of one name, which two first
  comers may insert at once, are therefore harmless: both are updated together, and one that names another refuses us.
- Two takers can't both succeed. Of two UPDATEs the one whose view of the table is later sees every row that the
  other saw. Those rows are locked by the other until it commits (Postgres locks rows, Snowflake the table's
  partitions; DuckDB refuses the second writer with a conflict), and afterwards they name the other.
- `hold` updates the same rows inside the holder's own transaction, so a takeover either waits for that commit, or was
  first, and the holder's transaction finds nothing to renew (or a conflict) and rolls back.

Times are the takers' clocks. Should they differ by more than a lease lasts, a live holder may be taken over too early;
the state is safe even so, since it can't commit any more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from revetl.clock import naive
from revetl.errors import LeaseError, WarehouseError
from revetl.model import Scalar
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_ROWS = """
    SELECT name, run_id, host, pid, pid_space, acquired_at, expires_at
    FROM {leases}
    WHERE name = ?
    ORDER BY acquired_at
"""
# Run ids that hold a lease in this very process. A row with our own pid and an id that is not among them was left by an
# earlier process of that number.
_OURS: set[str] = set()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease. Times are aware, UTC. `pid_space` tells apart containers that share a host name."""

    name: str
    run_id: str
    host: str
    pid: int
    pid_space: str
    acquired_at: datetime
    expires_at: datetime

    def __str__(self) -> str:
        return f"run {self.run_id} (process {self.pid} on {self.host}, since {self.acquired_at:%Y-%m-%d %H:%M:%S} UTC)"

    @property
    def certainly_dead(self) -> bool:
        """Its process was one of this machine and is gone. False where that can't be known."""
        if (self.host, self.pid_space) != (socket.gethostname(), _pid_space()):
            return False
        if self.pid == os.getpid():
            return self.run_id not in _OURS
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class _Refused(Exception):
    def __init__(self, holder: Holder) -> None:
        self.holder = holder


def take(warehouse: Warehouse, name: str, run_id: str, *, now: datetime, lasts: timedelta) -> Holder | None:
    """None: the lease is ours until `now + lasts`. Otherwise who has it. Safe to repeat by the same run."""
    if not warehouse.columns(relation(warehouse, "leases")):
        create_all(warehouse)
    leases = _table(warehouse)
    found = warehouse.rows(_ROWS.format(leases=leases), [name])
    if not found:
        warehouse.execute(f"INSERT INTO {leases} (name) VALUES (?)", [name])
    before = [h for h in _as_holders(found) if h.run_id != run_id]
    dead = [h.run_id for h in before if h.certainly_dead]
    alive = [h for h in before if h.run_id not in dead and h.expires_at >= now]
    if alive:
        return alive[0]  # without a write: it must not wait for a transaction of the holder's
    free = " OR run_id = ?" * (1 + len(dead))
    ours: list[Scalar] = [run_id, socket.gethostname(), os.getpid(), _pid_space(), naive(now), naive(now + lasts)]
    held = run_id in _OURS
    _OURS.add(run_id)  # before anybody can read the row: a holder of this process that is not among them is dead
    try:
        with warehouse.transaction():
            warehouse.execute(
                f"""
                UPDATE {leases}
                SET run_id = ?, host = ?, pid = ?, pid_space = ?, acquired_at = ?, expires_at = ?
                WHERE name = ? AND (run_id IS NULL OR expires_at < ?{free})
                """,
                [*ours, name, naive(now), run_id, *dead],
            )
            others = [h for h in _holders(warehouse, name) if h.run_id != run_id]
            if others:
                raise _Refused(others[0])
    except BaseException as e:
        if not held:
            _OURS.discard(run_id)
        if isinstance(e, _Refused):
            return e.holder
        if isinstance(e, WarehouseError) and (winner := holder(warehouse, name, now=now)) is not None:
            return winner  # the database refused the second of two writers
        raise
    return None


def hold(warehouse: Warehouse, name: str, run_id: str, *, until: datetime) -> None:
    """Renews the lease inside the caller's transaction. LeaseError where another has it: the caller must roll back."""
    leases = _table(warehouse)
    warehouse.execute(
        f"""
        UPDATE {leases}
        SET expires_at = ?
        WHERE name = ? AND run_id = ?
        """,
        [naive(until), name, run_id],
    )
    if not warehouse.rows(f"SELECT 1 FROM {leases} WHERE name = ? AND run_id = ? LIMIT 1", [name, run_id]):
        now_held = "".join(f" {holder} has it now." for holder in _holders(warehouse, name)[:1])
        raise LeaseError(
            f"{_subject(name)}: this run lost its lease, so it stopped without writing any more state.{now_held}"
        )


def release(warehouse: Warehouse, name: str, run_id: str) -> None:
    """Gives the lease back; nothing happens where it is no longer ours. Safe to repeat."""
    forget(run_id)
    warehouse.execute(
        f"""
        UPDATE {_table(warehouse)}
        SET run_id = NULL, host = NULL, pid = NULL, pid_space = NULL, acquired_at = NULL, expires_at = NULL
        WHERE name = ? AND run_id = ?
        """,
        [name, run_id],
    )


def forget(run_id: str) -> None:
    """This process does not hold it any more, whether or not the table could be told."""
    _OURS.discard(run_id)


def holder(warehouse: Warehouse, name: str, *, now: datetime) -> Holder | None:
    """Who has the lease and is, as far as can be known, alive."""
    if not warehouse.columns(relation(warehouse, "leases")):
        return None
    return next((h for h in _holders(warehouse, name) if h.expires_at >= now and not h.certainly_dead), None)


def busy(holder_: Holder) -> LeaseError:
    """What the second run says."""
    return LeaseError(
        f"{_subject(holder_.name)} is held by {holder_}; nothing was done."
        f" Its lease ends at {holder_.expires_at:%H:%M:%S} UTC unless it is renewed; --wait 10m waits for it."
    )


def _holders(warehouse: Warehouse, name: str) -> list[Holder]:
    return _as_holders(warehouse.rows(_ROWS.format(leases=_table(warehouse)), [name]))


def _as_holders(rows: Sequence[Sequence[Any]]) -> list[Holder]:
    """Rows of a name that say nobody has it are left out."""
    return [
        Holder(name, run, host, int(pid), space, since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))
        for name, run, host, pid, space, since, until in rows
        if run is not None
    ]


@cache
def _pid_space() -> str:
    """Where a process number means something: the namespace on Linux, the machine elsewhere."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def name_of(sync: str) -> str:
    return f"sync:{sync}"


def _subject(name: str) -> str:
    return name.removeprefix("sync:")


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "leases"))
