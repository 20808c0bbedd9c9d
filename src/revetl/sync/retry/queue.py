"""Who waits: rows of `rejected__<sync>`, one per record that planning leaves out until its row changes.

rejected, skipped, unknown   the destination refused it, or it could not be sent
rolled_back                  a rollback restored what stood before; the model still says otherwise
accepted                     a value of the destination's was accepted; the model still says otherwise
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from revetl.model import Scalar
from revetl.state.sync_tables import Layout
from revetl.warehouse.base import Warehouse

REFUSED = ("rejected", "skipped", "unknown")
ROLLED_BACK = "rolled_back"
ACCEPTED = "accepted"


def present_hash(layout: Layout) -> str:
    """What a held record's line will carry in the next plan: an expression over `h.source_hash`, `h.key` of a left join
    with `layout.source_hashes()`. In mirror mode a record that has left the model has a line too."""
    gone = f"CAST(NULL AS {layout.hash_type})"
    if layout.spec.mode == "mirror" and layout.spec.on_leave == "clear":
        gone = layout.row_hash([f"CAST(NULL AS {f.type})" for f in layout.fields])
    return f"CASE WHEN h.key IS NOT NULL THEN h.source_hash ELSE {gone} END"


def would_be_planned(layout: Layout, row_hash: str, *, deleted: str = "FALSE") -> str:
    """Whether the next plan would have a line for a record whose snapshot gets `row_hash` (an expression), or loses its
    row (`deleted`). Holding what has no line would be noise."""
    leaves = "TRUE" if layout.spec.mode == "mirror" and layout.spec.on_leave != "ignore" else "FALSE"
    return (
        f"CASE WHEN h.key IS NOT NULL THEN {deleted} OR h.source_hash IS DISTINCT FROM {row_hash}"
        f" ELSE {leaves} AND NOT {deleted} AND {present_hash(layout)} IS DISTINCT FROM {row_hash} END"
    )


def hold(
    warehouse: Warehouse, layout: Layout, held: str, params: Sequence[Scalar], status: str, now: datetime, run_id: str
) -> None:
    """Replaces what waits for these keys. `held` is a SELECT of (key, hold, held_hash): rows without `hold` wait no
    longer. Call inside a transaction; safe to repeat."""
    rejected = layout.t(layout.rejected)
    warehouse.execute(f"DELETE FROM {rejected} WHERE key IN (SELECT key FROM ({held}) p)", params)
    warehouse.execute(
        f'INSERT INTO {rejected} (key, row_hash, status, run_id, "at")'
        f" SELECT p.key, p.held_hash, ?, ?, ? FROM ({held}) p WHERE p.hold",
        [status, run_id, now, *params],
    )


@dataclass(frozen=True, slots=True)
class Which:
    """Which of the waiting records are meant: all of these hold, an empty one asks for nothing. Where neither a key nor
    a run nor a status is named, only what was refused is meant: what a person restored or accepted has to be named."""

    keys: tuple[str, ...] = ()
    run_id: str | None = None
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    def clause(self) -> tuple[str, list[Scalar]]:
        statuses = self.statuses or (() if self.keys or self.run_id else REFUSED)
        parts, params = ["TRUE"], list[Scalar]()
        for column, values in (("key", self.keys), ("error_code", self.codes), ("status", statuses)):
            if values:
                parts.append(f"{column} IN ({', '.join('?' for _ in values)})")
                params += values
        if self.run_id:
            parts.append("run_id = ?")
            params.append(self.run_id)
        return " AND ".join(parts), params


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records that wait for one reason. `keys`: a few of them, the smallest."""

    status: str
    code: str | None
    message: str | None
    records: int
    keys: tuple[str, ...]


def waiting(warehouse: Warehouse, layout: Layout, which: Which, *, most_keys: int = 3) -> list[Waiting]:
    """What waits, by reason, the most frequent first. `message` is one of them, for example."""
    clause, params = which.clause()
    rejected = layout.t(layout.rejected)
    found = warehouse.rows(
        f"SELECT status, error_code, min(message), count(*) FROM {rejected} WHERE {clause}"
        " GROUP BY status, error_code ORDER BY 4 DESC, 1, 2",
        params,
    )
    out = []
    for status, code, message, n in found:
        keys = warehouse.rows(
            f"SELECT key FROM {rejected} WHERE {clause} AND status = ? AND error_code IS NOT DISTINCT FROM ?"
            f" ORDER BY key LIMIT {int(most_keys)}",
            [*params, status, code],
        )
        said = (None if code is None else str(code), None if message is None else str(message))
        out.append(Waiting(str(status), *said, int(str(n)), tuple(str(k) for (k,) in keys)))
    return out


def release(warehouse: Warehouse, layout: Layout, which: Which) -> int:
    """Lets them be sent again by the next sync; returns how many. Safe to repeat.

    A create that could not be reconciled is then created anew: by asking for it a person says that it is not there.
    """
    clause, params = which.clause()
    rejected, snapshot = layout.t(layout.rejected), layout.t(layout.snapshot)
    with warehouse.transaction():
        released = warehouse.rows(f"SELECT count(*) FROM {rejected} WHERE {clause}", params)
        warehouse.execute(
            f"DELETE FROM {snapshot} WHERE destination_id IS NULL AND row_hash IS NULL"
            f" AND key IN (SELECT key FROM {rejected} WHERE {clause} AND status = 'unknown')",
            params,
        )
        warehouse.execute(f"DELETE FROM {rejected} WHERE {clause}", params)
    return int(str(released[0][0]))
