"""`snapshot__<sync>`: per key what the destination is known to hold; and `rejected__<sync>`: the retry queue.

`row_hash` is the hash of the source row whose outcome was last known, NULL while in doubt. The columns are what we know
to stand at the destination: the two differ where a rule kept a value (`when_null: keep`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from revetl.model import Scalar, SyncSpec
from revetl.state import outcomes
from revetl.state.schema import create_all, create_table
from revetl.state.sync_tables import HASH_TYPE, SyncField, SyncTables, relation_of, row_hash
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, shortened

_OURS = {
    "key": "VARCHAR",
    "destination_id": "VARCHAR",
    "row_hash": HASH_TYPE,
    "synced_at": "TIMESTAMP",
    "run_id": "VARCHAR",
    "left_model": "BOOLEAN",  # came with a later version; `on_leave: forget`: is sent again when its row comes back
}
_REJECTED = {
    "key": "VARCHAR",
    "row_hash": HASH_TYPE,
    "status": "VARCHAR",
    "run_id": "VARCHAR",
    "at": "TIMESTAMP",
    "error_code": "VARCHAR",  # these two came with a later version
    "message": "VARCHAR",
    "kept_fields": "VARCHAR",  # and this: whose value there was accepted, a JSON list; NULL: the whole record
    "tries": "BIGINT",  # and these: how often this row was refused
    "next_try": "TIMESTAMP",  # not before then, where many wait for what lies outside of their rows
    "in_row": "BOOLEAN",  # the cause lies in the row; NULL, of an earlier version: not known to
    "kept_values": "VARCHAR",  # fields that a rollback left, for a person had edited them (`kept_value`)
    "sent_as": "VARCHAR",  # where it was to go and by what (`sent_as`): with another one it is planned anew
}
# A refused record is tried again after an hour, then after twice as long each time, and at least once a day.
_PAUSES_H = (1, 2, 4, 8, 16, 24)

# Of a plan; they came with a later version. `follows`: (line, field) pairs that give up what this line is given, JSON;
# `vacates`: fields that are emptied before anything is sent, a JSON list; `takes_over`: the key that left the model and
# whose record this line takes, where that has no id by which it would be known; `kept_values`: as in the retry queue,
# where the record stays once it was sent; `sent`: what is sent in place of the model's value, a JSON object
# (`multi_select`).
_LATER = {
    "wave": "INTEGER",
    "follows": "VARCHAR",
    "vacates": "VARCHAR",
    "takes_over": "VARCHAR",
    "kept_values": "VARCHAR",
    "sent": "VARCHAR",
}


def stands(warehouse: Warehouse, sync: str) -> bool:
    """Whether anything is remembered of what this sync sent: not before its first run, nor after a disconnect. Who only
    reads asks first, since `prepare` makes the tables. Reads only."""
    return bool(warehouse.columns(relation_of(warehouse, "snapshot", sync)))


def prepare(tables: SyncTables) -> None:
    """Creates the state tables and those of the sync, or brings them to the model's present columns and to this
    version. Safe to repeat. Nearly always all is as it should be; then it only looks."""
    warehouse = tables.warehouse
    create_all(warehouse)
    fields = {f.stored: f.type for f in tables.fields}
    present = {c.name: c.type.upper() for c in warehouse.columns(tables.relation("snapshot"))}
    stored = {name: type_ for name, type_ in present.items() if name not in _OURS}
    if not present:
        create_table(warehouse, tables.relation("snapshot"), [*(_OURS | fields).items()])
    else:
        if "left_model" not in present:
            warehouse.execute(f"ALTER TABLE {tables.snapshot} ADD COLUMN left_model {_OURS['left_model']}")
        if stored != fields:
            with warehouse.transaction(ddl=True):
                _migrate(tables, stored)
    waiting = {c.name for c in warehouse.columns(tables.relation("rejected"))}
    if not waiting:
        create_table(warehouse, tables.relation("rejected"), [*_REJECTED.items()])
    for name in [n for n in _REJECTED if waiting and n not in waiting]:
        warehouse.execute(f"ALTER TABLE {tables.rejected} ADD COLUMN {ident(name)} {_REJECTED[name]}")
    upgrade_plan(tables)


def upgrade_plan(tables: SyncTables) -> None:
    """A plan that an earlier version froze calls `outcome` by another name, and says nothing of the order in which
    values change hands nor of `tries`: recovery has to read it after an upgrade, and a saved plan may still be applied.
    Safe to repeat."""
    present = {c.name for c in tables.warehouse.columns(tables.relation("plan"))}
    if "settled" in present:
        tables.warehouse.execute(f"ALTER TABLE {tables.plan} RENAME COLUMN settled TO outcome")
    for name, type_ in _LATER.items() if present else ():
        if name not in present:
            tables.warehouse.execute(f"ALTER TABLE {tables.plan} ADD COLUMN {name} {type_}")
    if present and "tries" not in present:
        tables.warehouse.execute(f"ALTER TABLE {tables.plan} ADD COLUMN tries BIGINT")


def _migrate(tables: SyncTables, present: dict[str, str]) -> None:
    """`present`: the fields' columns as they are. New columns come in as null, so that every record that has a value
    for one is sent. Removed columns are forgotten: should one come back, its values are sent anew. Safe to repeat from
    between any two statements."""
    wanted = {f.stored: f for f in tables.fields}
    execute, snapshot = tables.warehouse.execute, tables.snapshot
    for name in wanted.keys() - present.keys():
        spare = _spare(name, wanted)
        if spare in present:  # a change of type broke off before its last statement
            execute(f"ALTER TABLE {snapshot} RENAME COLUMN {ident(spare)} TO {ident(name)}")
            present[name] = present.pop(spare)
    for name in present.keys() - wanted.keys():
        execute(f"ALTER TABLE {snapshot} DROP COLUMN {ident(name)}")
    for name, field in wanted.items():
        if name not in present:
            execute(f"ALTER TABLE {snapshot} ADD COLUMN {ident(name)} {field.type}")
        elif present[name] != field.type:
            _retype(tables, field, present[name], _spare(name, wanted))


def _retype(tables: SyncTables, field: SyncField, old_type: str, spare_name: str) -> None:
    """A value that the new type can't hold exactly would compare wrongly: such records become in doubt and are sent
    whole."""
    execute, snapshot = tables.warehouse.execute, tables.snapshot
    column, spare = ident(field.stored), ident(spare_name)
    new = f"TRY_CAST({column} AS {field.type})"
    execute(
        f"""
        UPDATE {snapshot}
        SET row_hash = NULL
        WHERE TRY_CAST({new} AS {old_type}) IS DISTINCT FROM {column}
        """
    )
    execute(f"ALTER TABLE {snapshot} ADD COLUMN {spare} {field.type}")
    execute(f"UPDATE {snapshot} SET {spare} = {new}")
    execute(f"ALTER TABLE {snapshot} DROP COLUMN {column}")
    execute(f"ALTER TABLE {snapshot} RENAME COLUMN {spare} TO {column}")


def _spare(column: str, taken: Collection[str]) -> str:
    """Where a column's values stand while its type changes; a name that none of the model's columns has."""
    spare = shortened(f"{column}__retyped")
    while spare in taken:
        spare = shortened(f"{spare}_")
    return spare


def merge(tables: SyncTables, answered: str, now: datetime, run_id: str) -> None:
    """Brings the snapshot to what the answered records are now known to hold. Call inside a transaction.

    `answered` is a SELECT of plan rows with the result's `status` and `result_id`. ok and accepted: the record holds
    what was sent (a delete: it is gone), so that it is not sent again until its row changes. unknown: in doubt; the
    columns stay what was known, or for a new record become what may have been created, so that it can be looked for.
    rejected and skipped change nothing.
    """
    snapshot = tables.snapshot
    tables.warehouse.execute(
        f"""
        DELETE FROM {snapshot}
        WHERE key IN (
            SELECT key
            FROM ({answered}) p
            WHERE p.known AND p.status IN ('ok', 'accepted', 'unknown')
        )
        """
    )
    forget_handed_over(tables, f"SELECT p.* FROM ({answered}) p WHERE p.status IN ('ok', 'accepted', 'unknown')")
    dropped = f"p.status = 'unknown' AND {id_is_dropped(tables)}"
    columns = ", ".join(ident(f.stored) for f in tables.fields)
    values = ",\n            ".join(_known_value(f) for f in tables.fields)
    tables.warehouse.execute(
        f"""
        INSERT INTO {snapshot} (key, destination_id, row_hash, {columns}, synced_at, run_id)
        SELECT
            p.key,
            CASE WHEN NOT ({dropped}) THEN coalesce(p.result_id, p.destination_id) END,
            CASE WHEN p.status IN ('ok', 'accepted') THEN p.row_hash END,
            {values},
            ?,
            ?
        FROM ({answered}) p
        WHERE (p.status IN ('ok', 'accepted') AND p.op <> 'delete') OR p.status = 'unknown'
        """,
        [now, run_id],
    )


def id_is_dropped(tables: SyncTables) -> str:
    """Whether the id of the plan row `p`, whose answer was lost, is kept no longer: should the row of a record that may
    be gone come back, it is looked for again. But not by a value that it may not have any more, since an update of
    that, or its emptying, is in doubt: of such a record nothing is certain but its id."""
    if tables.spec.match_on is None:
        return "FALSE"
    return f"""(p.op = 'delete' AND NOT (p.in_doubt AND p.key IN (
        SELECT v.key
        FROM ({outcomes.with_change_list(tables.shared("outcomes"))}) v
        WHERE v.sync = {literal(tables.spec.name)} AND v.status = 'unknown'
            AND (v.error_code = '{outcomes.VACATED}' OR {outcomes.changed(tables.spec.match_on, "v")})
        )))"""


def forget_handed_over(tables: SyncTables, sent: str, params: Sequence[Scalar] = ()) -> None:
    """Who handed its record over to one of these plan rows is forgotten, from the moment on that the row may have been
    sent: before that it is the only one that knows the record. Call inside a transaction; safe to repeat."""
    # Two statements: joined by OR, a database compares every row with every other.
    for theirs in (
        "n.destination_id = p.destination_id AND n.key <> p.key AND p.adopted",
        "n.key = p.takes_over",
    ):
        tables.warehouse.execute(
            f"""
            DELETE FROM {tables.snapshot} AS n
            WHERE EXISTS (
                SELECT 1
                FROM ({sent}) p
                WHERE {theirs}
            )
            """,
            params,
        )


def _known_value(field: SyncField) -> str:
    before, after = f"p.{ident(field.before)}", f"p.{ident(field.after)}"
    sent = field.standing(before, after)
    return f"CASE WHEN p.status = 'unknown' AND p.known AND p.op <> 'create' THEN {before} ELSE {sent} END"


def doubt_planned(tables: SyncTables) -> None:
    """A full refresh is about to be sent: until each record's answer is in, its state is in doubt, so that a run which
    is stopped half-way is taken up by the next one. Safe to repeat."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.snapshot}
        SET row_hash = NULL
        WHERE key IN (
            SELECT key
            FROM {tables.plan}
            WHERE known AND op = 'update' AND outcome IS NULL
        )
        """
    )


def doubt_vacated(tables: SyncTables) -> None:
    """Records of which a field is about to be emptied, for another record to get its value: until they are given their
    new one they are in doubt, so that a run that stops in between is taken up by the next. Safe to repeat."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.snapshot}
        SET row_hash = NULL
        WHERE key IN (
            SELECT key
            FROM {tables.plan}
            WHERE vacates IS NOT NULL AND outcome IS NULL
        )
        """
    )


def queue_refused(tables: SyncTables, answered: str, now: datetime, run_id: str) -> None:
    """What was refused waits in the retry queue; what went through waits no longer, but for a field of it that is still
    held. `answered` as for `merge`. When it is planned again, `sync/retry/due.py` says. Call inside a transaction."""
    tables.warehouse.execute(
        f"""
        DELETE FROM {tables.rejected}
        WHERE key IN (SELECT key FROM ({answered}) p)
        """
    )
    next_try, times = next_try_after("p.tries", now)
    went_through = "p.status IN ('ok', 'accepted')"
    # `unknown` waits only where planning said so: any other lost answer is looked for by the next run.
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.rejected}
            (key, row_hash, status, kept_values, error_code, message, in_row, tries, run_id, "at", next_try, sent_as)
        SELECT
            p.key,
            p.row_hash,
            CASE WHEN {went_through} THEN 'rolled_back' ELSE p.status END,
            p.kept_values,
            CASE WHEN NOT {went_through} THEN coalesce(p.error_code, p.error_class) END,
            p.error_message,
            p.in_row,
            coalesce(p.tries, 0) + 1,
            ?,
            ?,
            {next_try},
            ?
        FROM ({answered}) p
        WHERE p.status IN ('rejected', 'skipped')
            OR (p.status = 'unknown' AND p.outcome = 'unknown')
            OR ({went_through} AND p.kept_values IS NOT NULL)
        """,
        [run_id, now, *times, sent_as(tables.spec)],
    )


def kept_value(name: str, value: str) -> str:
    """That a field is held as long as the row has this value (an expression) for it: an expression of its entry in
    `kept_values`, to be concatenated. A hash, so that no value of a person stands in the queue."""
    return f"{literal(f',{json.dumps(name)}:')} || CAST({row_hash([value])} AS VARCHAR) || ','"


def next_try_after(tries: str, now: datetime) -> tuple[str, list[Scalar]]:
    """When a record is tried again that was refused `tries` (an expression) times before this one: an expression, and
    what is bound in it."""
    times = [now + timedelta(hours=hours) for hours in _PAUSES_H]
    cases = " ".join(f"WHEN {n} THEN CAST(? AS TIMESTAMP)" for n in range(len(times) - 1))
    return f"CASE coalesce({tries}, 0) {cases} ELSE CAST(? AS TIMESTAMP) END", [*times]


def sent_as(spec: SyncSpec) -> str:
    """What the project says of a sync that may decide over a record: with another mode, say, what was refused may go
    through."""
    return f"{spec.mode} {spec.destination} {spec.object} by {spec.match_on or 'no match_on'}"
