"""A frozen plan, read for people: counts, a few lines of each kind, or all of them, row by row and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from revetl.model import Scalar
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import Layout
from revetl.sync.report import PlanSummary, Sample
from revetl.warehouse.base import Warehouse

_SAMPLES = 10
_CHUNK = 5_000


def summarise(warehouse: Warehouse, layout: Layout, summary: PlanSummary, batch_rows: int | None) -> PlanSummary:
    """Fills in the counts of the plan as it now stands, adoptions decided or not."""
    plan = layout.t(layout.plan)
    ops = warehouse.rows(
        "SELECT CASE WHEN settled = 'ok' THEN 'matched' WHEN settled IS NOT NULL THEN 'held' WHEN adopted THEN 'adopt'"
        f" ELSE op END, count(*), count(*) FILTER (WHERE in_doubt) FROM {plan} GROUP BY 1"
    )
    by_op = {str(op): int(str(n)) for op, n, _ in ops}
    summary.create, summary.update = by_op.get("create", 0), by_op.get("update", 0)
    summary.adopt, summary.delete = by_op.get("adopt", 0), by_op.get("delete", 0)
    summary.matched, summary.held = by_op.get("matched", 0), by_op.get("held", 0)
    summary.in_doubt = sum(int(str(n)) for _, _, n in ops)
    held = f"SELECT coalesce(reason, upper(settled)), count(*) FROM {plan} WHERE settled <> 'ok' GROUP BY 1 ORDER BY 1"
    summary.reasons = {str(reason): int(str(n)) for reason, n in warehouse.rows(held)}
    # Few lists are different, so the fields are looked for in those and not in every line.
    lists = f"SELECT changed_fields, count(*) AS n FROM {plan} WHERE settled IS NULL AND op <> 'delete' GROUP BY 1"
    counts = ", ".join(f"coalesce(sum(p.n) FILTER (WHERE {changed(layout, f.name)}), 0)" for f in layout.fields)
    numbers = warehouse.rows(f"SELECT {counts} FROM ({with_change_list(f'({lists})')}) p")[0]
    summary.fields = {f.name: int(str(n)) for f, n in zip(layout.fields, numbers, strict=True) if n}
    if batch_rows:
        summary.requests = sum(-(-n // batch_rows) for n in (summary.create, summary.update + summary.adopt))
        summary.requests += -(-summary.delete // batch_rows)
    summary.samples = _samples(warehouse, layout)
    return summary


def _samples(warehouse: Warehouse, layout: Layout) -> list[Sample]:
    """A few lines of each kind, the smallest ordinals."""
    plan = layout.t(layout.plan)
    # Picked by the columns that decide: the rows are wide.
    picked = (
        f"SELECT ordinal FROM {plan} QUALIFY row_number()"
        f" OVER (PARTITION BY op, adopted, settled, reason ORDER BY ordinal) <= {_SAMPLES}"
    )
    rows = warehouse.rows(f"SELECT {_columns(layout)} FROM {plan} WHERE ordinal IN ({picked}) ORDER BY ordinal")
    return [_sample(layout, row) for row in rows]


def read(
    warehouse: Warehouse,
    layout: Layout,
    *,
    keys: Sequence[str] = (),
    fields: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[Sample]:
    """The lines in their order, in bounded memory: all, those of `keys`, those that change one of `fields`."""
    clauses = []
    if keys:
        clauses.append(f"p.key IN ({', '.join('?' for _ in keys)})")
    if fields:
        clauses.append("(" + " OR ".join(changed(layout, name) for name in fields) + ")")
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    at_most = f" LIMIT {int(limit)}" if limit is not None else ""
    chunks = warehouse.stream(
        f"SELECT {_columns(layout)} FROM ({with_change_list(layout.t(layout.plan))}) p{where}"
        f" ORDER BY p.ordinal{at_most}",
        list(keys),
        batch_rows=_CHUNK,
    )
    for chunk in chunks:
        for row in zip(*(column.to_pylist() for column in chunk.columns), strict=True):
            yield _sample(layout, row)


def why_not_planned(warehouse: Warehouse, layout: Layout, key: str) -> str | None:
    """One sentence on a record that has no line in the plan; None where nothing is known of it, here or there."""
    spec, q = layout.spec, layout.q

    def stands(table: str, column: str) -> bool:
        return bool(warehouse.rows(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", [key]))

    in_model = stands(layout.t(spec.relation), f"CAST({q(spec.key)} AS VARCHAR)")
    known = stands(layout.t(layout.snapshot), "key")
    if in_model and stands(layout.t(layout.rejected), "key"):
        return "was refused before: it waits until its row changes, or for `revetl retry`"
    if in_model and known:
        return "same: the destination is known to hold these values"
    if in_model:
        if spec.mode == "update":
            return "is in the model and not planned: it is not at the destination, and mode update creates none"
        return "is in the model and not planned: the mode or --limit leaves it out"
    if known:
        return "has left the model; the destination keeps it"
    return None


def _columns(layout: Layout) -> str:
    pairs = "".join(f", {layout.q(f.before)}, {layout.q(f.after)}" for f in layout.fields)
    kind = "CASE WHEN adopted THEN 'adopt' ELSE op END"
    return f"key, {kind} AS kind, destination_id, changed_fields, found, settled, reason, note, in_doubt{pairs}"


def _sample(layout: Layout, row: Sequence[Any]) -> Sample:
    key, kind, id_, names, found, settled, reason, note, in_doubt, *values = row
    cells: dict[str, tuple[Scalar, Scalar]] = {
        f.name: (values[2 * i], values[2 * i + 1]) for i, f in enumerate(layout.fields)
    }
    stood = json.loads(found) if found else {}
    fields = {n: (stood.get(n, cells[n][0]), cells[n][1]) for n in json.loads(names)}
    return Sample(key, kind, id_, fields, note, settled, reason, bool(in_doubt))
