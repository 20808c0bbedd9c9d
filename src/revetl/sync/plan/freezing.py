"""A frozen plan: what differs between the model and the snapshot, line by line, with the values before and after. The
columns of what differs are compared, so that only changed fields are sent. Nothing is sent here.

The process dies, or the warehouse is away → the next plan takes the place of this one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from revetl.errors import WarehouseError
from revetl.state.sync_tables import HASH_TYPE, SyncTables, row_hash
from revetl.sync.plan import guardrails, suppressed, suspects
from revetl.sync.plan.comparison import IN_DOUBT, SnapshotComparison, source_of
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.retry import due, queue
from revetl.sync.retry.queue import QueueFilter
from revetl.warehouse.sql import ident, literal

log = logging.getLogger(__name__)


def sending_order(op: str) -> str:
    """What leaves goes first, so that what it was found by is free for who comes."""
    return f"CASE {op} WHEN 'delete' THEN 0 WHEN 'update' THEN 1 ELSE 2 END"


@dataclass(frozen=True, slots=True)
class FreezeOptions:
    """`now` says which of the waiting records are due. `limit`: lines at most. `full_refresh`: every record of the
    model stands in it whole, changed or not. `events`: they are only added, and a changed one has a line all the same,
    so that it is not passed over in silence. `released`: of the retry queue, what is planned as if it did not wait."""

    now: datetime
    limit: int | None = None
    full_refresh: bool = False
    events: bool = False
    released: tuple[QueueFilter, ...] = ()


def freeze(tables: SyncTables, plan_id: str, options: FreezeOptions) -> PlanSummary:
    """Freezes the plan into `plan__<sync>`. ConfigError for null or duplicate keys; guardrails that it breaks stand in
    the summary. Safe to repeat: a new plan takes the place of the old."""
    barred = suppressed.records(tables)
    # Sums of hashes can't tell who left and came back.
    buckets = None if barred or options.full_refresh or tables.spec.forgets else suspects.find(tables)
    holds = queue.holds_fields(tables)
    lean = tables.warehouse.lean(len(tables.fields) + 1)
    if buckets is not None and lean is not None:
        try:
            with lean:
                return _freeze(
                    SnapshotComparison(tables, options.full_refresh, buckets, holds), plan_id, barred, options
                )
        except WarehouseError:
            log.info("%s: not enough memory to plan with little; planned with more", tables.spec.name)
    return _freeze(SnapshotComparison(tables, options.full_refresh, None, holds), plan_id, barred, options)


def _freeze(comparison: SnapshotComparison, plan_id: str, barred: Sequence[str], options: FreezeOptions) -> PlanSummary:
    tables = comparison.tables
    # Where DDL commits by itself a crash leaves half a plan that nothing refers to yet, and hashes of equal rows.
    with tables.warehouse.transaction(ddl=True), source_of(tables, barred) as source:
        counts = comparison.compare(source)
        aside = _write_plan(comparison, plan_id, options)
        equal = comparison.take_over_hashes()
        returned = comparison.note_leavers()
        summary = PlanSummary(
            plan_id=plan_id,
            sync=tables.spec.name,
            destination=tables.spec.destination,
            object=tables.spec.object,
            source_rows=counts.source,
            snapshot_rows=counts.snapshot,
            unchanged=counts.source - counts.differing + equal - aside.unchanged,
            left=counts.left,
            returned=returned,
            suppressed=len(barred),
        )
        summary.add_waiting(aside.waiting)
        summary.cleared = guardrails.cleared(tables)
        summary.cleared_again = guardrails.cleared(tables, again=True)
        moved = counts.differing + counts.left
        summary.violations = [
            *guardrails.judge_rows(tables.spec, counts.source),
            *guardrails.judge_fill(tables, source, counts.source, counts.snapshot, moved),
        ]
        tables.drop_scratch("delta")
    return summary


def _write_plan(comparison: SnapshotComparison, plan_id: str, options: FreezeOptions) -> due.SetAside:
    tables, spec = comparison.tables, comparison.tables.spec
    leavers = spec.mode == "mirror" and spec.on_leave != "ignore"
    candidates = " UNION ALL ".join([_present(comparison), *([_leavers(tables)] if leavers else [])])
    kept = "(c.op = 'create' OR c.in_doubt)" if spec.mode == "insert" and not options.events else "TRUE"
    has_line = f"{kept} AND (c.op <> 'update' OR c.changed <> '')"
    lines = f"SELECT c.key, c.row_hash FROM ({candidates}) c WHERE {has_line}"
    # What waits for a person (a create that may have happened, what was rolled back or accepted) goes on waiting.
    still_held = comparison.held_records() if comparison.holds else None
    asked = due.QueueReading(options.now, comparison.full_refresh, still_held, options.released)
    aside = due.set_aside(tables, lines, asked)
    columns = "".join(f", c.{ident(f.before)}, c.{ident(f.after)}" for f in tables.fields)
    tables.warehouse.execute(f"DROP TABLE IF EXISTS {tables.plan}")
    tables.warehouse.execute(
        f"""
        CREATE TABLE {tables.plan} AS
        WITH c AS ({candidates}),
        due AS (
            SELECT
                c.*,
                coalesce(q.tries, 0) AS tries,
                row_number() OVER (
                    ORDER BY CASE WHEN q.tries > 0 THEN 1 ELSE 0 END, {sending_order("c.op")}, c.key
                ) - 1 AS ordinal
            FROM c
            LEFT JOIN {tables.scratch("waiting")} w ON w.key = c.key
            LEFT JOIN {tables.scratch("queued")} q ON q.key = c.key
            WHERE w.key IS NULL AND {has_line}
        )
        SELECT
            CAST({literal(plan_id)} AS VARCHAR) AS plan_id,
            CAST(c.ordinal AS BIGINT) AS ordinal,
            c.key,
            c.op,
            c.destination_id,
            c.known,
            c.in_doubt,
            FALSE AS adopted,
            c.row_hash,
            '[' || c.changed || ']' AS changed_fields,
            CAST(NULL AS VARCHAR) AS found,
            CAST(NULL AS VARCHAR) AS outcome,
            CAST(NULL AS VARCHAR) AS reason,
            CAST(NULL AS VARCHAR) AS note,
            CAST(c.tries AS BIGINT) AS tries,
            CAST(0 AS INTEGER) AS wave,
            CAST(NULL AS VARCHAR) AS follows,
            CAST(NULL AS VARCHAR) AS vacates,
            CAST(NULL AS VARCHAR) AS takes_over,
            CAST(NULL AS VARCHAR) AS sent,
            c.kept_values
            {columns}
        FROM due c
        {f"WHERE c.ordinal < {int(options.limit)}" if options.limit is not None else ""}
        ORDER BY c.ordinal
        """
    )
    due.drop(tables)
    return aside


def _present(comparison: SnapshotComparison) -> str:
    """Lines of records that are in the model."""
    tables = comparison.tables
    names = ", ".join(
        f"CASE WHEN {comparison.differs(f)} THEN {literal(json.dumps(f.name))} END"
        for f in tables.fields
        if not comparison.names_record(f)
    )
    known_id = "n.destination_id"
    if tables.by_id:
        known_id = f"CASE WHEN NOT ({comparison.differs(tables.match_field)}) THEN n.destination_id END"
    pairs, held = "", [comparison.held(f) for f in tables.fields]
    for f, kept in zip(tables.fields, held, strict=True):
        before, after = f"n.{ident(f.stored)}", f"d.{ident(f.after)}"
        if comparison.holds:
            after = f"CASE WHEN {kept} THEN {before} ELSE {after} END"
        pairs += f", {before} AS {ident(f.before)}, {after} AS {ident(f.after)}"
    kept_values = (
        f"CASE WHEN {' OR '.join(held)} THEN d.kept_values END" if comparison.holds else "CAST(NULL AS VARCHAR)"
    )
    return f"""
        SELECT
            d.source_key AS key,
            CASE WHEN {known_id} IS NULL THEN 'create' ELSE 'update' END AS op,
            {known_id} AS destination_id,
            d.known_key IS NOT NULL AS known,
            {IN_DOUBT} AS in_doubt,
            d.source_hash AS row_hash,
            {f"concat_ws(',', {names})" if names else "''"} AS changed,
            {kept_values} AS kept_values
            {pairs}
        FROM {tables.scratch("delta")} d
        LEFT JOIN {tables.snapshot} n ON n.key = d.known_key
        WHERE d.present
        """


def _leavers(tables: SyncTables) -> str:
    """mirror: who is in the snapshot and not in the model is archived, erased or its fields cleared once. What
    it is found by stays: without it a second record would be made when somebody of that identity comes back."""
    identities = tables.identities
    nulls = [f"CAST(NULL AS {f.type})" for f in tables.fields]
    if tables.spec.on_leave in ("archive", "erase"):
        op, hash_, due, names = "'delete'", f"CAST(NULL AS {HASH_TYPE})", "TRUE", "''"
    else:
        op, hash_ = "'update'", row_hash(nulls)
        due = f"d.known_hash IS DISTINCT FROM {hash_}"
        filled = ", ".join(
            f"CASE WHEN d.known_hash IS NULL OR n.{ident(f.stored)} IS NOT NULL THEN {literal(json.dumps(f.name))} END"
            for f in tables.fields
            if f.name not in identities
        )
        names = f"concat_ws(',', {filled})" if filled else "''"
    pairs = "".join(
        f", n.{ident(f.stored)}, {f'n.{ident(f.stored)}' if f.name in identities else null}"
        for f, null in zip(tables.fields, nulls, strict=True)
    )
    return f"""
        SELECT
            d.known_key, {op}, n.destination_id, TRUE, d.known_hash IS NULL, {hash_}, {names}, CAST(NULL AS VARCHAR)
            {pairs}
        FROM {tables.scratch("delta")} d
        JOIN {tables.snapshot} n ON n.key = d.known_key
        WHERE d.present IS NULL AND {due}
        """
