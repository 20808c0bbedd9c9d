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
from revetl.model import Relation
from revetl.state.sync_tables import Field, Layout
from revetl.sync.plan import guardrails, suppressed, suspects
from revetl.sync.report import PlanSummary
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Counts:
    source: int
    snapshot: int
    null_keys: int
    differing: int
    new: int
    left: int


def build(
    warehouse: Warehouse, layout: Layout, plan_id: str, *, limit: int | None, full_refresh: bool = False
) -> PlanSummary:
    """Freezes the plan into `plan__<sync>`. ConfigError for null or duplicate keys; guardrails that it breaks stand in
    the summary. `full_refresh`: every record of the model stands in it whole, changed or not. Safe to repeat: a new
    plan takes the place of the old."""
    barred = suppressed.records(warehouse, layout)
    few = None if barred or full_refresh else suspects.find(warehouse, layout)
    lean = warehouse.lean(len(layout.fields) + 1)
    if few is not None and lean is not None:
        try:
            with lean:
                return _build(warehouse, layout, plan_id, barred, few, limit, full_refresh)
        except WarehouseError:
            log.info("%s: not enough memory to plan with little; planned with more", layout.spec.name)
    return _build(warehouse, layout, plan_id, barred, None, limit, full_refresh)


def _build(
    warehouse: Warehouse,
    layout: Layout,
    plan_id: str,
    barred: Sequence[str],
    few: Relation | None,
    limit: int | None,
    full_refresh: bool,
) -> PlanSummary:
    """`few`: the buckets in which rows can differ at all, where that is known."""
    # Where DDL commits by itself a crash leaves half a plan that nothing refers to yet, and hashes of equal rows.
    with warehouse.transaction(ddl=True), _source(warehouse, layout, barred) as source:
        counts = _compare(warehouse, layout, source, few, full_refresh)
        _check_keys(warehouse, layout, source, counts)
        waiting = _write_plan(warehouse, layout, plan_id, limit, full_refresh)
        equal = _settle_unchanged(warehouse, layout, full_refresh)
        summary = PlanSummary(
            plan_id,
            layout.spec.name,
            layout.spec.destination,
            layout.spec.object,
            source_rows=counts.source,
            snapshot_rows=counts.snapshot,
            unchanged=counts.source - counts.differing + equal,
            waiting=sum(waiting.values()),
            waiting_for=waiting,
            left=counts.left,
            suppressed=len(barred),
            full_refresh=full_refresh,
        )
        summary.violations = [
            *guardrails.judge_rows(layout, counts.source),
            *(
                violation
                for violation in guardrails.judge_shares(warehouse, layout, counts.snapshot)
                if not (full_refresh and violation.guardrail == "changed")
            ),
            *guardrails.judge_fill(
                warehouse, layout, source, counts.source, counts.snapshot, counts.differing + counts.left
            ),
        ]
        summary.cleared = guardrails.cleared(warehouse, layout)
        warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(layout.scratch('delta'))}")
    return summary


@contextmanager
def _source(warehouse: Warehouse, layout: Layout, barred: Sequence[str]) -> Iterator[Relation]:
    """The model without the records of `barred`, read once, so that every statement sees one state: a view is computed
    into a scratch table first, and so is a table where dbt may replace it between two statements."""
    if not barred and warehouse.repeatable_reads and warehouse.kind(layout.spec.relation) == "table":
        yield layout.spec.relation
        return
    copy = layout.scratch("source")
    names = ", ".join(layout.q(c) for c in (layout.spec.key, *(f.name for f in layout.fields)))
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(copy)}")
    warehouse.execute(layout.create_scratch("source", f"AS SELECT {names} FROM {layout.t(layout.spec.relation)}"))
    suppressed.leave_out(warehouse, layout, copy, barred)
    yield copy
    warehouse.execute(f"DROP TABLE {layout.t(copy)}")


def _compare(
    warehouse: Warehouse, layout: Layout, source: Relation, few: Relation | None, full_refresh: bool
) -> _Counts:
    delta, snapshot = layout.t(layout.scratch("delta")), layout.t(layout.snapshot)
    values = [layout.value(f, "m") for f in layout.fields]
    columns = "".join(f", {v} AS {layout.q(f.after)}" for f, v in zip(layout.fields, values, strict=True))
    carried = "".join(f", s.{layout.q(f.after)}" for f in layout.fields)
    key = layout.source_key("m")
    ours, theirs = (f" WHERE {suspects.among(layout, few, k)}" if few else "" for k in (key, "key"))
    warehouse.execute(f"DROP TABLE IF EXISTS {delta}")
    warehouse.execute(
        layout.create_scratch("delta", "AS")
        + " SELECT s.present, s.key AS source_key, n.key AS known_key, s.source_hash, n.row_hash AS known_hash"
        f"{carried}"
        f" FROM (SELECT TRUE AS present, {key} AS key, {layout.row_hash(values)} AS source_hash{columns}"
        f" FROM {layout.t(source)} m{ours}) s"
        # Only what decides: this side is held in memory, one entry per record of the snapshot.
        f" FULL OUTER JOIN (SELECT key, row_hash FROM {snapshot}{theirs}) n ON n.key = s.key"
        + (
            ""
            if full_refresh
            else " WHERE s.source_hash IS DISTINCT FROM n.row_hash OR s.present IS NULL OR n.key IS NULL"
        )
    )
    found = warehouse.rows(
        f"SELECT (SELECT count(*) FROM {layout.t(source)}), (SELECT count(*) FROM {snapshot}),"
        " count(*) FILTER (WHERE present AND source_key IS NULL), count(*) FILTER (WHERE present),"
        " count(*) FILTER (WHERE present AND known_key IS NULL),"
        f" count(*) FILTER (WHERE present IS NULL) FROM {delta}"
    )[0]
    return _Counts(*(int(str(n)) for n in found))


def _check_keys(warehouse: Warehouse, layout: Layout, source: Relation, counts: _Counts) -> None:
    key, name = layout.spec.key, layout.spec.name
    where = layout.spec.where or f"sync {name}"
    if counts.null_keys:
        raise ConfigError(
            Problem(
                f"{where}: {counts.null_keys} row(s) have no {key}; nothing was sent",
                hint=f"The key must be unique and not null: add both tests to {key}.",
            )
        )
    matched = counts.source - counts.new
    delta = layout.t(layout.scratch("delta"))
    column = f"CAST({layout.q(key)} AS VARCHAR)"
    if matched != counts.snapshot - counts.left:
        repeated = f"SELECT {column}, count(*) FROM {layout.t(source)} GROUP BY 1 HAVING count(*) > 1"
    else:
        repeated = (
            f"SELECT source_key, count(*) FROM {delta} WHERE present AND known_key IS NULL"
            " GROUP BY 1 HAVING count(*) > 1"
        )
    keys = warehouse.rows(f"{repeated} ORDER BY 2 DESC, 1 LIMIT 6")
    if keys:
        named = ", ".join(f"{str(k)!r} ({n!s} times)" for k, n in keys[:5]) + (", …" if len(keys) > 5 else "")
        raise ConfigError(
            Problem(
                f"{where}: {key} is not unique: {named}; nothing was sent",
                hint="One row per key is what makes a record the same record in the next run.",
            )
        )


def _differs(f: Field, layout: Layout, full_refresh: bool) -> str:
    after, before = f"d.{layout.q(f.after)}", f"n.{layout.q(f.stored)}"
    whole = "d.known_key IS NOT NULL" if full_refresh else _IN_DOUBT
    test = f"({whole} OR {after} IS DISTINCT FROM {before})"
    return f"{test} AND {after} IS NOT NULL" if f.keep_null else test


# A record whose id we never learned is looked for again, like one in doubt.
_IN_DOUBT = "(d.known_key IS NOT NULL AND (d.known_hash IS NULL OR n.destination_id IS NULL))"


def _write_plan(
    warehouse: Warehouse, layout: Layout, plan_id: str, limit: int | None, full_refresh: bool
) -> dict[str, int]:
    """Returns how many records wait for their row to change, by why: a status of `rejected__<sync>`."""
    spec, q = layout.spec, layout.q
    delta, plan = layout.t(layout.scratch("delta")), layout.t(layout.plan)
    lists = [
        f"CASE WHEN {_differs(f, layout, full_refresh)} THEN {literal(json.dumps(f.name))} END" for f in layout.fields
    ]
    pairs = "".join(f", n.{q(f.stored)} AS {q(f.before)}, d.{q(f.after)} AS {q(f.after)}" for f in layout.fields)
    selects = [
        "SELECT d.source_key AS key,"
        " CASE WHEN n.destination_id IS NULL THEN 'create' ELSE 'update' END AS op, n.destination_id,"
        f" d.known_key IS NOT NULL AS known, {_IN_DOUBT} AS in_doubt, d.source_hash AS row_hash,"
        f" concat_ws(',', {', '.join(lists)}) AS changed{pairs}"
        f" FROM {delta} d LEFT JOIN {layout.t(layout.snapshot)} n ON n.key = d.known_key WHERE d.present"
    ]
    if spec.mode == "mirror" and spec.on_leave != "ignore":
        selects.append(_leavers(layout))
    kept = {"insert": "(c.op = 'create' OR c.in_doubt)"}.get(spec.mode, "TRUE")
    # What waits for a person (a create that may have happened, what was rolled back or accepted) outlasts a refresh.
    stays = "r.status NOT IN ('rejected', 'skipped')" if full_refresh else "TRUE"
    refused = f"(r.key IS NULL OR NOT ({stays}))"
    columns = "".join(f", c.{q(f.before)}, c.{q(f.after)}" for f in layout.fields)
    warehouse.execute(f"DROP TABLE IF EXISTS {plan}")
    warehouse.execute(
        f"CREATE TABLE {plan} AS"
        f" WITH c AS ({' UNION ALL '.join(selects)}),"
        f" due AS (SELECT c.*, row_number() OVER (ORDER BY CASE c.op WHEN 'delete' THEN 0 WHEN 'update' THEN 1 ELSE 2"
        f" END, c.key) - 1 AS ordinal FROM c LEFT JOIN {layout.t(layout.rejected)} r"
        f" ON r.key = c.key AND r.row_hash IS NOT DISTINCT FROM c.row_hash"
        f" WHERE {refused} AND {kept} AND (c.op <> 'update' OR c.changed <> ''))"
        f" SELECT CAST({literal(plan_id)} AS VARCHAR) AS plan_id, CAST(c.ordinal AS BIGINT) AS ordinal,"
        " c.key, c.op, c.destination_id, c.known, c.in_doubt, FALSE AS adopted, c.row_hash,"
        f" '[' || c.changed || ']' AS changed_fields, CAST(NULL AS VARCHAR) AS found, CAST(NULL AS VARCHAR) AS settled,"
        f" CAST(NULL AS VARCHAR) AS reason, CAST(NULL AS VARCHAR) AS note{columns} FROM due c"
        + (f" WHERE c.ordinal < {int(limit)}" if limit is not None else "")
        + " ORDER BY c.ordinal"
    )
    # In mirror mode a record that left the model has a line too, and may wait.
    leaves = "TRUE" if len(selects) > 1 else "FALSE"
    waiting = warehouse.rows(
        f"SELECT r.status, count(*) FROM {delta} d JOIN {layout.t(layout.rejected)} r"
        " ON r.key = coalesce(d.source_key, d.known_key)"
        f" WHERE (r.row_hash = d.source_hash OR (d.present IS NULL AND {leaves})) AND {stays}"
        " GROUP BY r.status ORDER BY r.status"
    )
    return {str(status): int(str(n)) for status, n in waiting}


def _leavers(layout: Layout) -> str:
    """mirror: who is in the snapshot and not in the model is archived, or its fields are cleared once. What it is found
    by stays: without it the record would be made a second time when somebody of that identity comes back."""
    nulls = [f"CAST(NULL AS {f.type})" for f in layout.fields]
    if layout.spec.on_leave == "archive":
        op, row_hash, due, names = "'delete'", f"CAST(NULL AS {layout.hash_type})", "TRUE", "''"
    else:
        op, row_hash = "'update'", layout.row_hash(nulls)
        due = f"d.known_hash IS DISTINCT FROM {row_hash}"
        held = ", ".join(
            f"CASE WHEN d.known_hash IS NULL OR n.{layout.q(f.stored)} IS NOT NULL"
            f" THEN {literal(json.dumps(f.name))} END"
            for f in layout.fields
            if f.name != layout.spec.match_on
        )
        names = f"concat_ws(',', {held})" if held else "''"
    after = [
        f"n.{layout.q(f.stored)}" if f.name == layout.spec.match_on else null
        for f, null in zip(layout.fields, nulls, strict=True)
    ]
    pairs = "".join(f", n.{layout.q(f.stored)}, {then}" for f, then in zip(layout.fields, after, strict=True))
    return (
        f"SELECT d.known_key, {op}, n.destination_id, TRUE, d.known_hash IS NULL, {row_hash}, {names}{pairs}"
        f" FROM {layout.t(layout.scratch('delta'))} d JOIN {layout.t(layout.snapshot)} n ON n.key = d.known_key"
        f" WHERE d.present IS NULL AND {due}"
    )


def _settle_unchanged(warehouse: Warehouse, layout: Layout, full_refresh: bool) -> int:
    """A row whose hash differs though every field that may be sent is equal (a value kept by its rule, a column that
    came or went): the snapshot takes the new hash, nothing is sent. Returns how many."""
    same = " AND ".join(f"NOT ({_differs(f, layout, full_refresh)})" for f in layout.fields)
    snapshot = layout.t(layout.snapshot)
    equal = (
        f"SELECT d.known_key, d.source_hash FROM {layout.t(layout.scratch('delta'))} d"
        f" JOIN {snapshot} n ON n.key = d.known_key WHERE d.present AND n.destination_id IS NOT NULL AND {same}"
    )
    count = int(str(warehouse.rows(f"SELECT count(*) FROM ({equal}) e")[0][0]))
    if count:
        warehouse.execute(
            f"UPDATE {snapshot} SET row_hash = e.source_hash FROM ({equal}) e WHERE {snapshot}.key = e.known_key"
        )
    return count
