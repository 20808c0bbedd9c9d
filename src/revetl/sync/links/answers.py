"""What is durable of links that are sent: the intent before, and what became of each.

A checkpoint is one transaction: outcomes and the rows of `links__<sync>`, or neither. Then the next run finds these
links in doubt and sends them again, which changes nothing where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.model import Outcome
from revetl.state import snapshot
from revetl.state.sync_tables import SyncTables
from revetl.sync.links.links_table import FoundLink, same

if TYPE_CHECKING:
    import pyarrow as pa

_FOUND = (
    ("ordinal", "BIGINT"),
    ("ours", "BOOLEAN"),
    ("alone", "BOOLEAN"),
    ("state", "VARCHAR"),
)
_RESULTS = (
    ("ordinal", "BIGINT"),
    ("status", "VARCHAR"),
    ("error_class", "VARCHAR"),
    ("error_code", "VARCHAR"),
    ("error_message", "VARCHAR"),
    ("in_row", "BOOLEAN"),
    ("attempts", "INTEGER"),
)


def intend(tables: SyncTables, low: int, high: int, run_id: str, found: Sequence[FoundLink]) -> None:
    """Before any of these lines is sent: after a crash they are in doubt. `found`: one for each line that is to be
    made."""
    links, execute = tables.links, tables.warehouse.execute
    tables.new_scratch("linkfound", f"({', '.join(f'{name} {type_}' for name, type_ in _FOUND)})")
    if found:
        tables.warehouse.append(tables.scratch_relation("linkfound"), _found_as_arrow(found))
    stretch = f"SELECT * FROM {tables.scratch('linkplan')} WHERE ordinal >= ? AND ordinal < ?"
    with tables.warehouse.transaction():
        execute(
            f"""
            UPDATE {links}
            SET state = 'unlinking', run_id = ?
            FROM ({stretch}) p
            WHERE p.op = 'unlink' AND {same("p", links)}
            """,
            [run_id, low, high],
        )
        execute(
            f"""
            DELETE FROM {links}
            WHERE EXISTS (SELECT 1 FROM ({stretch}) p WHERE p.op = 'link' AND {same("p", links)})
            """,
            [low, high],
        )
        execute(
            f"""
            INSERT INTO {links} (
                key, to_sync, to_key, type, from_id, to_id, state, synced_at, run_id, ours, alone, tries
            )
            SELECT
                p.key, p.to_sync, p.to_key, p.type, p.from_id, p.to_id, f.state, NULL, ?, f.ours, f.alone, p.tries
            FROM ({stretch}) p
            JOIN {tables.scratch("linkfound")} f ON f.ordinal = p.ordinal
            WHERE p.op = 'link'
            """,
            [run_id, low, high],
        )


def write_answered(tables: SyncTables, done: Sequence[Outcome], now: datetime, run_id: str) -> None:
    """Outcomes and states of these lines. Call inside a transaction. unknown leaves the row in doubt."""
    links, execute = tables.links, tables.warehouse.execute
    execute(f"DELETE FROM {tables.scratch('linkresults')}")
    tables.warehouse.append(tables.scratch_relation("linkresults"), _as_arrow(done))
    low, high = min(o.ordinal for o in done), max(o.ordinal for o in done)
    answered = f"""
        SELECT p.*, r.status, r.error_class, r.error_code, r.error_message, r.in_row, r.attempts
        FROM (
            SELECT *
            FROM {tables.scratch("linkplan")}
            WHERE ordinal BETWEEN {int(low)} AND {int(high)}
        ) p
        JOIN {tables.scratch("linkresults")} r ON r.ordinal = p.ordinal
        """
    pair = "'{' || CAST(to_json(p.to_sync) AS VARCHAR) || ':' || CAST(to_json(p.to_key) AS VARCHAR) || '}'"
    execute(
        f"""
        INSERT INTO {tables.shared("outcomes")} (
            run_id, sync, key, op, status, destination_id, error_class, error_code, message, attempts,
            changed_fields, "before", "after", "at"
        )
        SELECT
            ?, ?, p.key, p.op, p.status, p.from_id, p.error_class, p.error_code, p.error_message, p.attempts,
            '[' || CAST(to_json(p.to_sync) AS VARCHAR) || ']',
            CASE WHEN p.op = 'unlink' THEN {pair} END,
            CASE WHEN p.op = 'link' THEN {pair} END,
            ?
        FROM ({answered}) p
        """,
        [run_id, tables.spec.name, now],
    )
    execute(
        f"""
        UPDATE {links}
        SET state = 'linked', synced_at = ?, tries = NULL
        FROM ({answered}) p
        WHERE p.op = 'link' AND p.status IN ('ok', 'accepted') AND {same("p", links)}
        """,
        [now],
    )
    next_try, times = snapshot.next_try_after(f"{links}.tries", now)
    execute(
        f"""
        UPDATE {links}
        SET
            state = CASE WHEN p.op = 'link' THEN 'rejected' ELSE 'unlinking' END,
            synced_at = ?,
            error_code = coalesce(p.error_code, p.error_class, 'REJECTED'),
            in_row = p.in_row,
            tries = coalesce({links}.tries, 0) + 1,
            next_try = {next_try}
        FROM ({answered}) p
        WHERE p.status IN ('rejected', 'skipped') AND {links}.state <> 'accepted' AND {same("p", links)}
        """,
        [now, *times],
    )
    execute(
        f"""
        DELETE FROM {links}
        WHERE EXISTS (
            SELECT 1
            FROM ({answered}) p
            WHERE p.op = 'unlink' AND p.status IN ('ok', 'accepted') AND {same("p", links)}
        )
        """
    )


def prepare_results(tables: SyncTables) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in _RESULTS)
    tables.new_scratch("linkresults", f"({columns})")


def _found_as_arrow(found: Sequence[FoundLink]) -> pa.Table:
    import pyarrow as pa

    ordinals, ours, alone, states = zip(*found, strict=True)
    columns = {"ordinal": pa.array(ordinals, pa.int64()), "ours": pa.array(ours, pa.bool_())}
    return pa.table(columns | {"alone": pa.array(alone, pa.bool_()), "state": pa.array(states, pa.string())})


def _as_arrow(done: Sequence[Outcome]) -> pa.Table:
    import pyarrow as pa

    columns: list[tuple[str, Any, list[Any]]] = [
        ("ordinal", pa.int64(), [o.ordinal for o in done]),
        ("status", pa.string(), [o.status.value for o in done]),
        ("error_class", pa.string(), [o.error_class for o in done]),
        ("error_code", pa.string(), [o.error_code for o in done]),
        ("error_message", pa.string(), [o.message for o in done]),
        ("in_row", pa.bool_(), [o.in_row for o in done]),
        ("attempts", pa.int32(), [o.attempts for o in done]),
    ]
    return pa.table({name: pa.array(values, type_) for name, type_, values in columns})
