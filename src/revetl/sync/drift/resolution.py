"""What accepting theirs or reasserting ours does to our own state.

Both write nothing but the truth: the snapshot's columns become what was read. They differ in who waits. After `accept`
the record waits in the retry queue until its row changes; after `reassert` it does not, and the next sync finds the
difference. A record that a rollback or another accepted value holds is left out of `reassert` (see left_out.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from revetl.state.sync_tables import HASH_TYPE, SyncTables, row_hash
from revetl.sync import typed_text
from revetl.sync.drift import left_out
from revetl.sync.drift.findings import MERGED, MISSING, UNLINKED
from revetl.sync.retry import queue
from revetl.warehouse.sql import ident, literal

DriftSide = Literal["accept", "reassert"]


@dataclass(frozen=True, slots=True)
class DriftResolution:
    """Whose value holds. `fields` None: of every field, and of records that are missing or merged."""

    side: DriftSide
    fields: tuple[str, ...] | None

    @property
    def accept(self) -> bool:
        return self.side == "accept"


def resolve(tables: SyncTables, chosen: DriftResolution, now: datetime, run_id: str) -> tuple[int, int]:
    """Accepts theirs, or lets the next sync write ours again. Returns (records, fields). Call after
    `left_out.find` (for reassert also `left_out.leave_out`), inside a transaction; safe to repeat."""
    records = 0 if chosen.fields is not None else _resolve_records(tables, chosen, now, run_id)
    in_fields, cells = _resolve_fields(tables, chosen, now, run_id)
    return records + in_fields, cells


def _resolve_fields(tables: SyncTables, chosen: DriftResolution, now: datetime, run_id: str) -> tuple[int, int]:
    snapshot = tables.snapshot
    fields = [f for f in tables.fields if chosen.fields is None or f.name in chosen.fields]
    rows = f"""
        SELECT *
        FROM {tables.drift}
        WHERE {left_out.resolvable([f.name for f in fields])}
            AND {_among(tables, chosen)}
        """
    records, cells = tables.warehouse.numbers(f"SELECT count(DISTINCT key), count(*) FROM ({rows}) d")
    if not cells:
        return 0, 0
    per_field = "".join(
        f", max(CASE WHEN field = {literal(f.name)} THEN 1 END) AS set_{i},"
        f" max(CASE WHEN field = {literal(f.name)} THEN value END) AS value_{i}"
        for i, f in enumerate(fields)
    )
    wide = f"SELECT key{per_field} FROM ({rows}) d GROUP BY key"
    values = {f.name: f"{snapshot}.{ident(f.stored)}" for f in tables.fields}
    sets = []
    for i, f in enumerate(fields):
        stands = typed_text.cast(f"w.value_{i}", f.type)
        values[f.name] = f"CASE WHEN w.set_{i} = 1 THEN {stands} ELSE {values[f.name]} END"
        sets.append(f"{ident(f.stored)} = {values[f.name]}")
    # In doubt stays in doubt: then all is sent, whatever was read of these fields.
    hash_ = f"CASE WHEN {snapshot}.row_hash IS NOT NULL THEN {row_hash(list(values.values()))} END"
    tables.warehouse.execute(
        f"""
        UPDATE {snapshot}
        SET {", ".join(sets)}, row_hash = {hash_}
        FROM ({wide}) w
        WHERE w.key = {snapshot}.key
        """
    )
    waits = queue.would_be_planned(tables, "n.row_hash") if chosen.accept else "FALSE"
    kept_fields = left_out.accepted_fields(tables, {f.name: f"w.set_{i} = 1" for i, f in enumerate(fields)})
    queued = f"""
        SELECT
            n.key,
            {waits} AS waits,
            {queue.present_hash(tables)} AS present_hash,
            {kept_fields} AS kept_fields,
            CAST(NULL AS VARCHAR) AS kept_values
        FROM {snapshot} n
        JOIN ({wide}) w ON w.key = n.key
        LEFT JOIN {left_out.held_before(tables)} g ON g.key = n.key
        LEFT JOIN ({tables.source_hashes()}) h ON h.key = n.key
        """
    queue.replace(tables, queued, queue.ACCEPTED, now, run_id)
    return records, cells


def _resolve_records(tables: SyncTables, chosen: DriftResolution, now: datetime, run_id: str) -> int:
    snapshot, execute = tables.snapshot, tables.warehouse.execute
    of_class = f"SELECT key, theirs FROM {tables.drift} WHERE field IS NULL AND note IS NULL AND class = "
    # The id of a merged record is the truth, whoever holds its fields.
    missing, merged = f"{of_class}'{MISSING}' AND {_among(tables, chosen)}", f"{of_class}'{MERGED}'"
    count = tables.warehouse.scalar(
        f"SELECT (SELECT count(*) FROM ({missing}) a) + (SELECT count(*) FROM ({merged}) b)", int
    )
    if not count:
        return 0
    execute(
        f"""
        UPDATE {snapshot}
        SET destination_id = g.theirs
        FROM ({merged}) g
        WHERE g.key = {snapshot}.key
        """
    )
    if chosen.accept:
        queued = f"""
            SELECT
                m.key,
                TRUE AS waits,
                {queue.present_hash(tables)} AS present_hash,
                {left_out.accepted_fields(tables, {})} AS kept_fields,
                CAST(NULL AS VARCHAR) AS kept_values
            FROM ({missing}) m
            LEFT JOIN {left_out.held_before(tables)} g ON g.key = m.key
            LEFT JOIN ({tables.source_hashes()}) h ON h.key = m.key
            """
    else:
        execute(f"DELETE FROM {snapshot} WHERE key IN (SELECT key FROM ({missing}) g)")
        queued = f"""
            SELECT
                m.key,
                FALSE AS waits,
                CAST(NULL AS {HASH_TYPE}) AS present_hash,
                CAST(NULL AS VARCHAR) AS kept_fields,
                CAST(NULL AS VARCHAR) AS kept_values
            FROM ({missing}) m
            """
    queue.replace(tables, queued, queue.ACCEPTED, now, run_id)
    return count


def _among(tables: SyncTables, chosen: DriftResolution) -> str:
    return "TRUE" if chosen.accept else left_out.not_left_out(tables)


def resolve_links(tables: SyncTables, *, accept: bool) -> int:
    """Accepted links stay removed until an id of theirs changes or a person retries their record; reasserted ones are
    forgotten, so that the next sync makes them again. Returns how many. Call inside a transaction; safe to repeat."""
    if not tables.spec.associate:
        return 0
    links = tables.links
    gone = f"""
        {links}.state = 'linked'
            AND EXISTS (
                SELECT 1
                FROM {tables.drift} f
                WHERE f.class = '{UNLINKED}'
                    AND f.key = {links}.key
                    AND f.destination_id = {links}.from_id
                    AND f.value = {links}.to_id
                    AND f.ours_last = {links}.to_sync || ': ' || {links}.to_key
            )
        """
    count = tables.warehouse.scalar(f"SELECT count(*) FROM {links} WHERE {gone}", int)
    if accept:
        tables.warehouse.execute(f"UPDATE {links} SET state = 'accepted' WHERE {gone}")
    else:
        tables.warehouse.execute(f"DELETE FROM {links} WHERE {gone}")
    return count
