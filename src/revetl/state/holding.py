"""Who waits: rows of `rejected__<sync>`, one per record that planning leaves out until its row changes.

rejected, skipped, unknown   the destination refused it, or it could not be sent
rolled_back                  a rollback restored what stood before; the model still says otherwise
accepted                     a value of the destination's was accepted; the model still says otherwise
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.model import Scalar
from revetl.state.layout import Layout
from revetl.warehouse.base import Warehouse

ROLLED_BACK = "rolled_back"
ACCEPTED = "accepted"


def source_hashes(layout: Layout) -> str:
    """A SELECT of (key, source_hash): the model as it is now, hashed as planning hashes it."""
    values = [layout.value(f, "m") for f in layout.fields]
    return (
        f"SELECT CAST(m.{layout.q(layout.spec.key)} AS VARCHAR) AS key, {layout.row_hash(values)} AS source_hash"
        f" FROM {layout.t(layout.spec.relation)} m"
    )


def present_hash(layout: Layout) -> str:
    """What a held record's line will carry in the next plan: an expression over `h.source_hash`, `h.key` of a left join
    with `source_hashes`. In mirror mode a record that has left the model has a line too."""
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
    warehouse: Warehouse, layout: Layout, held: str, params: Sequence[Scalar], status: str, now: object, run_id: str
) -> None:
    """Replaces what waits for these keys. `held` is a SELECT of (key, hold, held_hash): rows without `hold` wait no
    longer. Call inside a transaction; safe to repeat."""
    rejected = layout.t(layout.rejected)
    warehouse.execute(f"DELETE FROM {rejected} WHERE key IN (SELECT key FROM ({held}) p)", params)
    warehouse.execute(
        f'INSERT INTO {rejected} (key, row_hash, status, run_id, "at")'
        f" SELECT p.key, p.held_hash, ?, ?, ? FROM ({held}) p WHERE p.hold",
        [status, run_id, now, *params],  # type: ignore[list-item]
    )
