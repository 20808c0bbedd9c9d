"""A frozen plan, read for people: counts, a few lines of each kind, or all of them, row by row and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from revetl.model import Scalar
from revetl.state.outcomes import NO_IDENTITY, changed, with_change_list
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.summary import PlanLine, PlanSummary
from revetl.sync.retry import queue
from revetl.warehouse.sql import ident, literal

EQUAL = "stands there with these values already"
SAMPLES = 10
_CHUNK = 5_000


def count(tables: SyncTables) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) FROM {tables.plan}", int)


def summarise(tables: SyncTables, summary: PlanSummary) -> PlanSummary:
    """Fills in the counts of the plan as it now stands, adoptions decided or not. A plan that read back every record
    has a line for those too that are as we know them: they are counted as unchanged."""
    warehouse, plan = tables.warehouse, tables.plan
    unchanged = "FALSE"
    if summary.read_back:
        known = f"SELECT n.key FROM {tables.snapshot} n JOIN {plan} p ON p.key = n.key AND p.row_hash = n.row_hash"
        unchanged = f"op = 'update' AND NOT adopted AND note = {literal(EQUAL)} AND key IN ({known})"
    kinds = warehouse.rows(
        f"""
        SELECT
            CASE
                WHEN outcome = 'ok' AND {unchanged} THEN 'unchanged'
                WHEN outcome = 'ok' THEN 'matched'
                WHEN outcome IS NOT NULL THEN 'withheld'
                WHEN adopted THEN 'adopt'
                ELSE op
            END,
            count(*),
            count(*) FILTER (WHERE in_doubt),
            count(*) FILTER (WHERE outcome IS NULL AND tries > 0)
        FROM {plan}
        GROUP BY 1
        """
    )
    by_kind = {str(kind): int(str(n)) for kind, n, _, _ in kinds}
    summary.again = {str(kind): int(str(n)) for kind, _, _, n in kinds if n}
    summary.create, summary.update = by_kind.get("create", 0), by_kind.get("update", 0)
    summary.adopt, summary.delete = by_kind.get("adopt", 0), by_kind.get("delete", 0)
    summary.erased = summary.delete if tables.spec.erases else 0
    summary.unchanged += by_kind.get("unchanged", 0)
    summary.matched, summary.withheld = by_kind.get("matched", 0), by_kind.get("withheld", 0)
    summary.in_doubt = sum(int(str(n)) for _, _, n, _ in kinds)
    summary.reasons = warehouse.counts(
        f"""
        SELECT coalesce(reason, upper(outcome)), count(*)
        FROM {plan}
        WHERE outcome <> 'ok'
        GROUP BY 1
        ORDER BY 1
        """
    )
    summary.refused = warehouse.counts(
        f"""
        SELECT coalesce(reason, upper(outcome)), count(*)
        FROM {plan}
        WHERE outcome = 'rejected' OR (outcome <> 'ok' AND reason = {literal(NO_IDENTITY)})
        GROUP BY 1
        ORDER BY 1
        """
    )
    summary.fields = _fields(tables)
    summary.samples = _samples(tables)
    return summary


def _fields(tables: SyncTables) -> dict[str, int]:
    """field → records that will be sent it. Few lists of fields are different, so each is looked for in those and not
    in every line."""
    lists = f"""
        SELECT changed_fields, count(*) AS n
        FROM {tables.plan}
        WHERE outcome IS NULL AND op <> 'delete'
        GROUP BY 1
        """
    counts = ", ".join(f"coalesce(sum(p.n) FILTER (WHERE {changed(f.name)}), 0)" for f in tables.fields)
    numbers = tables.warehouse.numbers(f"SELECT {counts} FROM ({with_change_list(f'({lists})')}) p")
    return {f.name: n for f, n in zip(tables.fields, numbers, strict=True) if n}


def _samples(tables: SyncTables) -> list[PlanLine]:
    """A few lines of each kind, the smallest ordinals. Picked by the columns that decide: the rows are wide."""
    picked = f"""
        SELECT ordinal
        FROM {tables.plan}
        QUALIFY row_number() OVER (PARTITION BY op, adopted, outcome, reason ORDER BY ordinal) <= {SAMPLES}
        """
    rows = tables.warehouse.rows(
        f"""
        SELECT {_columns(tables)}
        FROM {tables.plan}
        WHERE ordinal IN ({picked})
        ORDER BY ordinal
        """
    )
    return [_line(tables, row) for row in rows]


def read(
    tables: SyncTables, *, keys: Sequence[str] = (), fields: Sequence[str] = (), limit: int | None = None
) -> Iterator[PlanLine]:
    """The lines in their order, in bounded memory: all, those of `keys`, those that change one of `fields`."""
    conditions = ["TRUE"]
    if keys:
        conditions.append(f"p.key IN ({', '.join('?' for _ in keys)})")
    if fields:
        conditions.append("(" + " OR ".join(changed(name) for name in fields) + ")")
    chunks = tables.warehouse.stream(
        f"""
        SELECT {_columns(tables)}
        FROM ({with_change_list(tables.plan)}) p
        WHERE {" AND ".join(conditions)}
        ORDER BY p.ordinal
        {f"LIMIT {int(limit)}" if limit is not None else ""}
        """,
        list(keys),
        batch_rows=_CHUNK,
    )
    for chunk in chunks:
        for row in zip(*(column.to_pylist() for column in chunk.columns), strict=True):
            yield _line(tables, row)


def read_saved(
    tables: SyncTables, copy: str, *, after: int | None = None, limit: int = 50
) -> list[tuple[int, PlanLine]]:
    """(ordinal, line) of a saved plan, of which `copy` is the quoted name of its lines: those after an ordinal."""
    rows = tables.warehouse.rows(
        f"""
        SELECT ordinal, {_columns(tables)}
        FROM {copy}
        WHERE ordinal > ?
        ORDER BY ordinal
        LIMIT {int(limit)}
        """,
        [-1 if after is None else after],
    )
    return [(int(str(ordinal)), _line(tables, row)) for ordinal, *row in rows]


def why_not_planned(tables: SyncTables, key: str) -> str | None:
    """One sentence on a record that has no line in the plan; None where nothing is known of it, here or there."""
    spec = tables.spec

    def stands(table: str, column: str) -> bool:
        return bool(tables.warehouse.rows(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", [key]))

    in_model = stands(tables.model, f"CAST({ident(spec.key)} AS VARCHAR)")
    known = stands(tables.snapshot, "key")
    waiting = tables.warehouse.rows(f"SELECT status, in_row FROM {tables.rejected} WHERE key = ?", [key])
    if waiting:
        if queue.by_itself(*waiting[0]):
            return "was refused before: it waits, and is tried again by itself, or at once with `revetl retry`"
        why = queue.WHY_HELD.get(str(waiting[0][0]), "was refused before")
        return f"{why}: it waits until its row changes, or for `revetl retry --key {key}`"
    if in_model and known:
        return "same: the destination is known to hold these values"
    if in_model:
        if spec.mode == "update":
            return "is in the model and not planned: it is not at the destination, and mode update creates none"
        return "is in the model and not planned: the mode or --limit leaves it out"
    if known:
        return "has left the model; the destination keeps it"
    return None


def _columns(tables: SyncTables) -> str:
    pairs = "".join(f", {ident(f.before)}, {ident(f.after)}" for f in tables.fields)
    kind = "CASE WHEN adopted THEN 'adopt' ELSE op END"
    return f"key, {kind} AS kind, destination_id, changed_fields, found, sent, outcome, reason, note, in_doubt{pairs}"


def _line(tables: SyncTables, row: Sequence[Any]) -> PlanLine:
    key, kind, id_, names, found, sent, outcome, reason, note, in_doubt, *values = row
    cells: dict[str, tuple[Scalar, Scalar]] = {
        f.name: (values[2 * i], values[2 * i + 1]) for i, f in enumerate(tables.fields)
    }
    stood, instead = json.loads(found or "{}"), json.loads(sent or "{}")
    fields = {n: (stood.get(n, cells[n][0]), instead.get(n, cells[n][1])) for n in json.loads(names)}
    return PlanLine(key, kind, id_, fields, note, outcome, reason, bool(in_doubt))
