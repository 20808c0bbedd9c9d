"""Which of the records with drift wait because a person chose what stands there: rolled back, or a value accepted.

A record is sent whole or not at all: to reassert one field would send the fields too that are held. So it is left out
of a reassert, unless all that was accepted in it is reasserted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from revetl.state.sync_tables import SyncTables
from revetl.sync.drift.findings import CONFLICT, MISSING, SAME, THEIRS
from revetl.sync.retry import queue
from revetl.warehouse.sql import literal

_SCRATCH = "held"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records that a reassert leaves out. `status`: why they wait. `keys`: a few of them, the smallest."""

    status: str
    records: int
    keys: tuple[str, ...]


def find(tables: SyncTables) -> None:
    """Fills the scratch table `held`: the queue's rows of records with drift that are held for the row as it is now.
    Call before the transaction that changes the queue; safe to repeat."""
    statuses = ", ".join(literal(s) for s in queue.HELD)
    tables.new_scratch(
        _SCRATCH,
        f"""
        AS SELECT
            r.key,
            r.status,
            ',' || substr(r.kept_fields, 2, length(r.kept_fields) - 2) || ',' AS held_list
        FROM {tables.rejected} r
        LEFT JOIN ({tables.source_hashes()}) h ON h.key = r.key
        WHERE r.status IN ({statuses})
            AND r.row_hash IS NOT DISTINCT FROM {queue.present_hash(tables)}
            AND r.key IN (SELECT key FROM {tables.drift})
        """,
    )


def leave_out(tables: SyncTables, fields: tuple[str, ...] | None, *, most_keys: int) -> list[LeftOut]:
    """Leaves in `held` only what a reassert of these fields (None: all, and missing records) must not touch, and says
    what that is. Call after `find`, before the transaction."""
    names = [f.name for f in tables.fields if fields is None or f.name in fields]
    held, drift = tables.scratch(_SCRATCH), tables.drift
    asked = "".join(f", max(CASE WHEN field = {literal(n)} THEN 1 END) AS set_{i}" for i, n in enumerate(names))
    of_records = f"OR field IS NULL AND note IS NULL AND class = {literal(MISSING)}" if fields is None else ""
    everything = ["h.held_list IS NOT NULL"]
    for f in tables.fields:
        given = f"coalesce(a.set_{names.index(f.name)}, 0) = 1" if f.name in names else "FALSE"
        everything.append(f"(NOT {_holds(f.name, 'h')} OR {given})")
    tables.warehouse.execute(
        f"""
        DELETE FROM {held}
        WHERE key NOT IN (
            SELECT h.key
            FROM {held} h
            JOIN (
                SELECT key {asked}
                FROM {drift}
                WHERE {resolvable(names)} {of_records}
                GROUP BY key
            ) a ON a.key = h.key
            WHERE NOT coalesce({" AND ".join(everything)}, FALSE)
        )
        """
    )
    found = tables.warehouse.counts(f"SELECT status, count(*) FROM {held} GROUP BY status ORDER BY status")
    return [LeftOut(status, n, _keys(tables, status, most_keys)) for status, n in found.items()]


def not_left_out(tables: SyncTables) -> str:
    """A condition on `key`: the record is not left out."""
    return f"key NOT IN (SELECT key FROM {tables.scratch(_SCRATCH)})"


def accepted_fields(tables: SyncTables, accepted: dict[str, str]) -> str:
    """The fields that are held once more was accepted, a JSON list: an expression over `g`, a left join with
    `held_before`. `accepted`: field → condition under which its value is accepted now. Where the whole record was held
    it still is: NULL."""
    members = ", ".join(
        f"CASE WHEN {accepted.get(f.name, 'FALSE')} OR coalesce({_holds(f.name, 'g')}, FALSE)"
        f" THEN {literal(json.dumps(f.name))} END"
        for f in tables.fields
    )
    return f"CASE WHEN g.key IS NULL OR g.held_list IS NOT NULL THEN '[' || concat_ws(',', {members}) || ']' END"


def held_before(tables: SyncTables) -> str:
    """The scratch table, as `find` filled it."""
    return tables.scratch(_SCRATCH)


def forget(tables: SyncTables) -> None:
    """Drops the scratch table."""
    tables.drop_scratch(_SCRATCH)


def resolvable(names: list[str]) -> str:
    """A condition on rows of `drift__<sync>`: there is something to accept or to reassert in one of these fields."""
    listed = ", ".join(literal(n) for n in names)
    classes = ", ".join(literal(c) for c in (THEIRS, CONFLICT, SAME))
    return f"(field IN ({listed}) AND class IN ({classes}) AND (theirs IS NULL OR value IS NOT NULL))"


def _holds(name: str, alias: str) -> str:
    """Exact: inside a JSON string a quote is always escaped."""
    return f"contains({alias}.held_list, {literal(f',{json.dumps(name)},')})"


def _keys(tables: SyncTables, status: str, most: int) -> tuple[str, ...]:
    rows = tables.warehouse.rows(
        f"""
        SELECT key
        FROM {tables.scratch(_SCRATCH)}
        WHERE status = ?
        ORDER BY key
        LIMIT {int(most)}
        """,
        [status],
    )
    return tuple(str(key) for (key,) in rows)
