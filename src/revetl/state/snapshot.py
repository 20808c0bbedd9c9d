"""`snapshot__<sync>`: per key what the destination is known to hold; and `rejected__<sync>`: what it refused.

`row_hash` is the hash of the source row that was last settled, NULL while in doubt. The columns are what we know to
stand at the destination: the two differ where a rule kept a value (`when_null: keep`).
"""

from __future__ import annotations

from datetime import datetime

from revetl.state.schema import create_all, create_table
from revetl.state.sync_tables import HASH_TYPE, Field, Layout
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import shortened

_OURS = {
    "key": "VARCHAR",
    "destination_id": "VARCHAR",
    "row_hash": HASH_TYPE,
    "synced_at": "TIMESTAMP",
    "run_id": "VARCHAR",
}
_REJECTED = {
    "key": "VARCHAR",
    "row_hash": HASH_TYPE,
    "status": "VARCHAR",
    "run_id": "VARCHAR",
    "at": "TIMESTAMP",
    "error_code": "VARCHAR",  # these two came with a later version
    "message": "VARCHAR",
}


def prepare(warehouse: Warehouse, layout: Layout) -> None:
    """Creates the state tables and those of the sync, or brings them to the model's present columns. Safe to repeat.
    Nearly always all is as it should be; then it only looks."""
    create_all(warehouse)
    fields = {f.stored: f.type for f in layout.fields}
    present = {c.name: c.type.upper() for c in warehouse.columns(layout.snapshot)}
    stored = {name: type_ for name, type_ in present.items() if name not in _OURS}
    if not present:
        create_table(warehouse, layout.snapshot, [*(_OURS | fields).items()])
    elif stored != fields:
        with warehouse.transaction(ddl=True):
            _migrate(warehouse, layout, stored)
    held = {c.name for c in warehouse.columns(layout.rejected)}
    if not held:
        create_table(warehouse, layout.rejected, [*_REJECTED.items()])
    for name in [n for n in _REJECTED if held and n not in held]:
        warehouse.execute(f"ALTER TABLE {layout.t(layout.rejected)} ADD COLUMN {layout.q(name)} {_REJECTED[name]}")


def _migrate(warehouse: Warehouse, layout: Layout, present: dict[str, str]) -> None:
    """`present`: the fields' columns as they are. New columns come in as null, so that every record that has a value
    for one is sent. Removed columns are forgotten: should one come back, its values are sent anew. Safe to repeat from
    between any two statements."""
    wanted = {f.stored: f for f in layout.fields}
    snapshot = layout.t(layout.snapshot)
    for name in wanted.keys() - present.keys():
        if _spare(name) in present.keys() - wanted.keys():  # a change of type broke off before its last statement
            warehouse.execute(f"ALTER TABLE {snapshot} RENAME COLUMN {layout.q(_spare(name))} TO {layout.q(name)}")
            present[name] = present.pop(_spare(name))
    for name in present.keys() - wanted.keys():
        warehouse.execute(f"ALTER TABLE {snapshot} DROP COLUMN {layout.q(name)}")
    for name, field in wanted.items():
        if name not in present:
            warehouse.execute(f"ALTER TABLE {snapshot} ADD COLUMN {layout.q(name)} {field.type}")
        elif present[name] != field.type:
            _retype(warehouse, layout, field, present[name])


def _retype(warehouse: Warehouse, layout: Layout, field: Field, old_type: str) -> None:
    """A value that the new type can't hold exactly would compare wrongly: such records become in doubt and are sent
    whole."""
    snapshot, column = layout.t(layout.snapshot), layout.q(field.stored)
    new = f"TRY_CAST({column} AS {field.type})"
    warehouse.execute(
        f"UPDATE {snapshot} SET row_hash = NULL WHERE TRY_CAST({new} AS {old_type}) IS DISTINCT FROM {column}"
    )
    spare = layout.q(_spare(field.stored))
    warehouse.execute(f"ALTER TABLE {snapshot} ADD COLUMN {spare} {field.type}")
    warehouse.execute(f"UPDATE {snapshot} SET {spare} = {new}")
    warehouse.execute(f"ALTER TABLE {snapshot} DROP COLUMN {column}")
    warehouse.execute(f"ALTER TABLE {snapshot} RENAME COLUMN {spare} TO {column}")


def _spare(column: str) -> str:
    return shortened(f"{column}__retyped")


def merge(warehouse: Warehouse, layout: Layout, settled: str, now: datetime, run_id: str) -> None:
    """Brings the snapshot to what the settled records are now known to hold. Call inside a transaction.

    `settled` is a SELECT of plan rows with the result's `status` and `result_id`. ok: the record holds what was sent
    (a delete: it is gone). unknown: in doubt; the columns stay what was known, or for a new record become what may
    have been created, so that it can be looked for. rejected and skipped change nothing.
    """
    snapshot = layout.t(layout.snapshot)
    warehouse.execute(
        f"DELETE FROM {snapshot} WHERE key IN"
        f" (SELECT key FROM ({settled}) p WHERE p.known AND p.status IN ('ok', 'unknown'))"
    )
    kept = "coalesce(p.result_id, p.destination_id)"
    if layout.spec.match_on is not None:
        # The id of a record that may be gone is not to be trusted: should its row come back, it is looked for again.
        kept = f"CASE WHEN p.status = 'unknown' AND p.op = 'delete' THEN NULL ELSE {kept} END"
    columns = ", ".join(layout.q(f.stored) for f in layout.fields)
    values = ", ".join(
        f"CASE WHEN p.status = 'unknown' AND p.known AND p.op <> 'create' THEN {_p(layout, f.before)}"
        f" ELSE {_held(layout, f)} END"
        for f in layout.fields
    )
    warehouse.execute(
        f"INSERT INTO {snapshot} (key, destination_id, row_hash, {columns}, synced_at, run_id)"
        f" SELECT p.key, {kept},"
        f" CASE WHEN p.status = 'ok' THEN p.row_hash END, {values}, ?, ?"
        f" FROM ({settled}) p"
        " WHERE (p.status = 'ok' AND p.op <> 'delete') OR p.status = 'unknown'",
        [now, run_id],
    )


def doubt_planned(warehouse: Warehouse, layout: Layout) -> None:
    """A full refresh is about to be sent: until each record's answer is in, its state is in doubt, so that a run which
    is stopped half-way is taken up by the next one. Safe to repeat."""
    warehouse.execute(
        f"UPDATE {layout.t(layout.snapshot)} SET row_hash = NULL WHERE key IN"
        f" (SELECT key FROM {layout.t(layout.plan)} WHERE known AND op = 'update' AND settled IS NULL)"
    )


def remember_rejected(warehouse: Warehouse, layout: Layout, settled: str, now: datetime, run_id: str) -> None:
    """What was refused waits until its row changes; what went through waits no longer. Call inside a transaction."""
    rejected = layout.t(layout.rejected)
    warehouse.execute(f"DELETE FROM {rejected} WHERE key IN (SELECT key FROM ({settled}) p)")
    warehouse.execute(
        f'INSERT INTO {rejected} (key, row_hash, status, run_id, "at", error_code, message)'
        f" SELECT p.key, p.row_hash, p.status, ?, ?, coalesce(p.error_code, p.error_class), p.error_message"
        f" FROM ({settled}) p"
        " WHERE p.status IN ('rejected', 'skipped') OR (p.status = 'unknown' AND p.settled = 'unknown')",
        [run_id, now],
    )


def _held(layout: Layout, field: Field) -> str:
    after = _p(layout, field.after)
    return f"coalesce({after}, {_p(layout, field.before)})" if field.keep_null else after


def _p(layout: Layout, column: str) -> str:
    return f"p.{layout.q(column)}"
