"""From the model and the snapshot to a frozen plan, in SQL inside the warehouse. Nothing is sent here.

1. One full outer join of the source with (key, row_hash) of the snapshot leaves only what differs: new records, changed
   ones, those in doubt, and those that left. Unchanged rows never leave the warehouse.
2. Null and duplicate keys are found from the counts of that join: the rows of the source that met the snapshot must be
   as many as the snapshot rows that met the source. The offending keys are looked up only when the counts disagree.
3. The columns of what differs are compared with the snapshot's, so that only changed fields are sent.

What can fail here, and what then happens:
- a key is null or there twice → ConfigError with the keys; the plan that stood before stands.
- the process dies, or the warehouse is away → the next plan takes the place of this one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from revetl.errors import ConfigError, Problem, WarehouseError
from revetl.state.sync_tables import HASH_TYPE, SyncField, SyncTables, row_hash
from revetl.sync.plan import guardrails, suppressed, suspects
from revetl.sync.plan.summary import PlanSummary
from revetl.warehouse.sql import ident, literal

log = logging.getLogger(__name__)

# A record whose id we never learned is looked for again, like one in doubt.
_IN_DOUBT = "(d.known_key IS NOT NULL AND (d.known_hash IS NULL OR n.destination_id IS NULL))"
# The order of a plan: what leaves first, so that what it was found by is free for who comes.
ORDER_OF_OPS = "CASE {op} WHEN 'delete' THEN 0 WHEN 'update' THEN 1 ELSE 2 END"


@dataclass(frozen=True, slots=True)
class _Counts:
    source: int
    snapshot: int
    null_keys: int
    differing: int
    new: int
    left: int


def build(tables: SyncTables, plan_id: str, *, limit: int | None, full_refresh: bool = False) -> PlanSummary:
    """Freezes the plan into `plan__<sync>`. ConfigError for null or duplicate keys; guardrails that it breaks stand in
    the summary. `full_refresh`: every record of the model stands in it whole, changed or not. Safe to repeat: a new
    plan takes the place of the old."""
    barred = suppressed.records(tables)
    buckets = None if barred or full_refresh else suspects.find(tables)
    lean = tables.warehouse.lean(len(tables.fields) + 1)
    if buckets is not None and lean is not None:
        try:
            with lean:
                return _Comparison(tables, full_refresh, buckets).freeze(plan_id, barred, limit)
        except WarehouseError:
            log.info("%s: not enough memory to plan with little; planned with more", tables.spec.name)
    return _Comparison(tables, full_refresh, None).freeze(plan_id, barred, limit)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The model against the snapshot, once. `buckets`: a scratch table of those in which rows can differ at all, where
    that is known."""

    tables: SyncTables
    full_refresh: bool
    buckets: str | None

    def freeze(self, plan_id: str, barred: Sequence[str], limit: int | None) -> PlanSummary:
        tables = self.tables
        # Where DDL commits by itself a crash leaves half a plan that nothing refers to yet, and hashes of equal rows.
        with tables.warehouse.transaction(ddl=True), _source(tables, barred) as source:
            counts = self._compare(source)
            _check_keys(tables, source, counts)
            waiting = self._write_plan(plan_id, limit)
            equal = self._take_over_hashes()
            summary = PlanSummary(
                plan_id=plan_id,
                sync=tables.spec.name,
                destination=tables.spec.destination,
                object=tables.spec.object,
                source_rows=counts.source,
                snapshot_rows=counts.snapshot,
                unchanged=counts.source - counts.differing + equal,
                waiting=sum(waiting.values()),
                waiting_for=waiting,
                left=counts.left,
                suppressed=len(barred),
                full_refresh=self.full_refresh,
            )
            shares = guardrails.judge_shares(tables, counts.snapshot)
            moved = counts.differing + counts.left
            summary.violations = [
                *guardrails.judge_rows(tables.spec, counts.source),
                *(v for v in shares if not (self.full_refresh and v.guardrail == "changed")),
                *guardrails.judge_fill(tables, source, counts.source, counts.snapshot, moved),
            ]
            tables.drop_scratch("delta")
        return summary

    def _compare(self, source: str) -> _Counts:
        tables = self.tables
        values = [tables.value(f, "m") for f in tables.fields]
        columns = "".join(f", {v} AS {ident(f.after)}" for f, v in zip(tables.fields, values, strict=True))
        carried = "".join(f", s.{ident(f.after)}" for f in tables.fields)
        key = tables.source_key("m")
        of_source, of_snapshot = (
            f"WHERE {suspects.among(self.buckets, k)}" if self.buckets else "" for k in (key, "key")
        )
        differs = "s.source_hash IS DISTINCT FROM n.row_hash OR s.present IS NULL OR n.key IS NULL"
        # Of the snapshot only what decides: that side is held in memory, one entry per record.
        tables.new_scratch(
            "delta",
            f"""
            AS SELECT
                s.present,
                s.key AS source_key,
                n.key AS known_key,
                s.source_hash,
                n.row_hash AS known_hash
                {carried}
            FROM (
                SELECT TRUE AS present, {key} AS key, {row_hash(values)} AS source_hash {columns}
                FROM {source} m
                {of_source}
            ) s
            FULL OUTER JOIN (
                SELECT key, row_hash
                FROM {tables.snapshot}
                {of_snapshot}
            ) n ON n.key = s.key
            {"" if self.full_refresh else f"WHERE {differs}"}
            """,
        )
        return _Counts(
            *tables.warehouse.numbers(
                f"""
                SELECT
                    (SELECT count(*) FROM {source}),
                    (SELECT count(*) FROM {tables.snapshot}),
                    count(*) FILTER (WHERE present AND source_key IS NULL),
                    count(*) FILTER (WHERE present),
                    count(*) FILTER (WHERE present AND known_key IS NULL),
                    count(*) FILTER (WHERE present IS NULL)
                FROM {tables.scratch("delta")}
                """
            )
        )

    def _write_plan(self, plan_id: str, limit: int | None) -> dict[str, int]:
        """Returns how many records wait for their row to change, by why: a status of `rejected__<sync>`."""
        tables, spec = self.tables, self.tables.spec
        leavers = spec.mode == "mirror" and spec.on_leave != "ignore"
        candidates = " UNION ALL ".join([self._present(), *([_leavers(tables)] if leavers else [])])
        kept = {"insert": "(c.op = 'create' OR c.in_doubt)"}.get(spec.mode, "TRUE")
        # What waits for a person (a create that may have happened, what was rolled back or accepted) goes on waiting.
        stays = "r.status NOT IN ('rejected', 'skipped')" if self.full_refresh else "TRUE"
        columns = "".join(f", c.{ident(f.before)}, c.{ident(f.after)}" for f in tables.fields)
        tables.warehouse.execute(f"DROP TABLE IF EXISTS {tables.plan}")
        tables.warehouse.execute(
            f"""
            CREATE TABLE {tables.plan} AS
            WITH c AS ({candidates}),
            due AS (
                SELECT c.*, row_number() OVER (ORDER BY {ORDER_OF_OPS.format(op="c.op")}, c.key) - 1 AS ordinal
                FROM c
                LEFT JOIN {tables.rejected} r ON r.key = c.key AND r.row_hash IS NOT DISTINCT FROM c.row_hash
                WHERE (r.key IS NULL OR NOT ({stays}))
                    AND {kept}
                    AND (c.op <> 'update' OR c.changed <> '')
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
                CAST(NULL AS VARCHAR) AS note
                {columns}
            FROM due c
            {f"WHERE c.ordinal < {int(limit)}" if limit is not None else ""}
            ORDER BY c.ordinal
            """
        )
        # In mirror mode a record that left the model has a line too, and may wait.
        return tables.warehouse.counts(
            f"""
            SELECT r.status, count(*)
            FROM {tables.scratch("delta")} d
            JOIN {tables.rejected} r ON r.key = coalesce(d.source_key, d.known_key)
            WHERE (r.row_hash = d.source_hash OR (d.present IS NULL AND {"TRUE" if leavers else "FALSE"}))
                AND {stays}
            GROUP BY r.status
            ORDER BY r.status
            """
        )

    def _present(self) -> str:
        """Lines of records that are in the model."""
        tables = self.tables
        names = ", ".join(f"CASE WHEN {self._differs(f)} THEN {literal(json.dumps(f.name))} END" for f in tables.fields)
        pairs = "".join(
            f", n.{ident(f.stored)} AS {ident(f.before)}, d.{ident(f.after)} AS {ident(f.after)}" for f in tables.fields
        )
        return f"""
            SELECT
                d.source_key AS key,
                CASE WHEN n.destination_id IS NULL THEN 'create' ELSE 'update' END AS op,
                n.destination_id,
                d.known_key IS NOT NULL AS known,
                {_IN_DOUBT} AS in_doubt,
                d.source_hash AS row_hash,
                concat_ws(',', {names}) AS changed
                {pairs}
            FROM {tables.scratch("delta")} d
            LEFT JOIN {tables.snapshot} n ON n.key = d.known_key
            WHERE d.present
            """

    def _differs(self, field: SyncField) -> str:
        after, before = f"d.{ident(field.after)}", f"n.{ident(field.stored)}"
        whole = "d.known_key IS NOT NULL" if self.full_refresh else _IN_DOUBT
        test = f"({whole} OR {after} IS DISTINCT FROM {before})"
        return f"{test} AND {after} IS NOT NULL" if field.keep_null else test

    def _take_over_hashes(self) -> int:
        """A row whose hash differs though every field that may be sent is equal (a value kept by its rule, a column
        that came or went): the snapshot takes the new hash, nothing is sent. Returns how many."""
        tables = self.tables
        same = " AND ".join(f"NOT ({self._differs(f)})" for f in tables.fields)
        equal = f"""
            SELECT d.known_key, d.source_hash
            FROM {tables.scratch("delta")} d
            JOIN {tables.snapshot} n ON n.key = d.known_key
            WHERE d.present AND n.destination_id IS NOT NULL AND {same}
            """
        count = tables.warehouse.scalar(f"SELECT count(*) FROM ({equal}) e", int)
        if count:
            tables.warehouse.execute(
                f"""
                UPDATE {tables.snapshot}
                SET row_hash = e.source_hash
                FROM ({equal}) e
                WHERE {tables.snapshot}.key = e.known_key
                """
            )
        return count


@contextmanager
def _source(tables: SyncTables, barred: Sequence[str]) -> Iterator[str]:
    """The model without the records of `barred`, read once, so that every statement sees one state: a view is computed
    into a scratch table first, and so is a table where dbt may replace it between two statements."""
    warehouse = tables.warehouse
    if not barred and warehouse.repeatable_reads and warehouse.kind(tables.spec.relation) == "table":
        yield tables.source
        return
    names = ", ".join(ident(c) for c in (tables.spec.key, *(f.name for f in tables.fields)))
    tables.new_scratch("source", f"AS SELECT {names} FROM {tables.source}")
    suppressed.leave_out(tables, "source", barred)
    yield tables.scratch("source")
    tables.drop_scratch("source")


def _check_keys(tables: SyncTables, source: str, counts: _Counts) -> None:
    key = tables.spec.key
    where = tables.spec.where or f"sync {tables.spec.name}"
    if counts.null_keys:
        raise ConfigError(
            Problem(
                f"{where}: {counts.null_keys} row(s) have no {key}; nothing was sent",
                hint=f"The key must be unique and not null: add both tests to {key}.",
            )
        )
    matched = counts.source - counts.new
    if matched != counts.snapshot - counts.left:
        repeated = f"SELECT CAST({ident(key)} AS VARCHAR), count(*) FROM {source}"
    else:
        repeated = f"SELECT source_key, count(*) FROM {tables.scratch('delta')} WHERE present AND known_key IS NULL"
    keys = tables.warehouse.rows(
        f"""
        {repeated}
        GROUP BY 1
        HAVING count(*) > 1
        ORDER BY 2 DESC, 1
        LIMIT 6
        """
    )
    if keys:
        named = ", ".join(f"{str(k)!r} ({n!s} times)" for k, n in keys[:5]) + (", …" if len(keys) > 5 else "")
        raise ConfigError(
            Problem(
                f"{where}: {key} is not unique: {named}; nothing was sent",
                hint="One row per key is what makes a record the same record in the next run.",
            )
        )


def _leavers(tables: SyncTables) -> str:
    """mirror: who is in the snapshot and not in the model is archived, or its fields are cleared once. What it is found
    by stays: without it the record would be made a second time when somebody of that identity comes back."""
    match_on = tables.spec.match_on
    nulls = [f"CAST(NULL AS {f.type})" for f in tables.fields]
    if tables.spec.on_leave == "archive":
        op, hash_, due, names = "'delete'", f"CAST(NULL AS {HASH_TYPE})", "TRUE", "''"
    else:
        op, hash_ = "'update'", row_hash(nulls)
        due = f"d.known_hash IS DISTINCT FROM {hash_}"
        filled = ", ".join(
            f"CASE WHEN d.known_hash IS NULL OR n.{ident(f.stored)} IS NOT NULL THEN {literal(json.dumps(f.name))} END"
            for f in tables.fields
            if f.name != match_on
        )
        names = f"concat_ws(',', {filled})" if filled else "''"
    pairs = "".join(
        f", n.{ident(f.stored)}, {f'n.{ident(f.stored)}' if f.name == match_on else null}"
        for f, null in zip(tables.fields, nulls, strict=True)
    )
    return f"""
        SELECT
            d.known_key, {op}, n.destination_id, TRUE, d.known_hash IS NULL, {hash_}, {names}
            {pairs}
        FROM {tables.scratch("delta")} d
        JOIN {tables.snapshot} n ON n.key = d.known_key
        WHERE d.present IS NULL AND {due}
        """
