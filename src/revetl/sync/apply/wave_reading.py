"""What a frozen plan says of the order in which its lines are sent, read into `Waves`; and which fields of its records
an earlier run emptied for a hand-over and left so. Sends nothing. Safe to repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from revetl.destinations.base import Destination
from revetl.model import Scalar
from revetl.state.outcomes import VALUE_HELD
from revetl.state.sync_tables import SyncTables
from revetl.sync import typed_text, vacated_fields
from revetl.sync.apply.waves import VacatedLine, Waves
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun
from revetl.sync.vacated_fields import VacatedField
from revetl.warehouse.sql import ident, literal


async def read(run: SyncRun, destination: Destination) -> Waves:
    """Of the plan as it stands frozen, with the fields of its records that earlier runs left empty."""
    left: Mapping[str, Mapping[str, VacatedField]] = {}
    if await again(run.ctx, lambda: run.on_tables(vacated_fields.any_emptied)):
        described = (await destination.describe(run.spec.object)).fields
        vacatable = [name for name, there in described.items() if there.vacatable]
        left = await again(run.ctx, lambda: run.on_tables(vacated_fields.left_empty, vacatable))
    return await again(run.ctx, lambda: run.on_tables(_read, left))


def _read(tables: SyncTables, left: Mapping[str, Mapping[str, VacatedField]]) -> Waves:
    warehouse, plan = tables.warehouse, tables.plan
    starts = warehouse.rows(
        f"""
        SELECT min(ordinal)
        FROM {plan}
        WHERE wave > 0 AND outcome IS NULL
        GROUP BY wave
        ORDER BY 1
        """
    )
    follows = warehouse.rows(f"SELECT ordinal, follows FROM {plan} WHERE follows IS NOT NULL AND outcome IS NULL")
    return Waves(
        [int(str(ordinal)) for (ordinal,) in starts],
        {
            int(str(ordinal)): [(int(n), str(name)) for n, name in json.loads(str(before))]
            for ordinal, before in follows
        },
        _left_by_earlier_runs(tables, left) | _to_be_emptied(tables),
    )


def _to_be_emptied(tables: SyncTables) -> dict[int, VacatedLine]:
    lines: dict[int, VacatedLine] = {}
    for row in _rows(tables, "p.vacates IS NOT NULL AND p.outcome IS NULL"):
        names = json.loads(row["vacates"])
        earlier, wanted = ({n: row[side][n] for n in names} for side in ("before", "after"))
        lines[row["ordinal"]] = VacatedLine(row["ordinal"], row["key"], row["destination_id"], earlier, wanted)
    return lines


def _left_by_earlier_runs(tables: SyncTables, left: Mapping[str, Mapping[str, VacatedField]]) -> dict[int, VacatedLine]:
    """Lines of which such a field was read back empty: who filled it since has his value there. What was not read
    differently (`found`) stands as the line has it `before`."""
    if not left:
        return {}
    types = {f.name: f.type for f in tables.fields}
    lines: dict[int, VacatedLine] = {}
    keys = ", ".join(map(literal, sorted(left)))
    sent = f"(p.outcome IS NULL OR (p.outcome = 'rejected' AND p.reason = {literal(VALUE_HELD)}))"
    where = f"p.op = 'update' AND p.in_doubt AND p.destination_id IS NOT NULL AND {sent} AND p.key IN ({keys})"
    for row in _rows(tables, where):
        found, changed = json.loads(row["found"] or "{}"), json.loads(row["changed_fields"])
        earlier: dict[str, Scalar] = {}
        for name, vacated in left[row["key"]].items():
            if name in types and found.get(name, row["before"][name]) in (None, ""):
                with suppress(ValueError):  # the column's type has changed: it can't hold the value any more
                    earlier[name] = typed_text.fit(types[name], vacated.stood)
        withheld = row["outcome"] is not None
        wanted = {n: row["after"][n] for n in earlier if n in changed and not withheld}
        if earlier:
            ordinal = row["ordinal"]
            lines[ordinal] = VacatedLine(
                ordinal, row["key"], row["destination_id"], earlier, wanted, emptied_before=True, withheld=withheld
            )
    return lines


def _rows(tables: SyncTables, where: str) -> Iterator[dict[str, Any]]:
    """Lines of the plan by their order, with `before` and `after`: field → value."""
    names = ("ordinal", "key", "destination_id", "vacates", "outcome", "found", "changed_fields")
    values = "".join(f", p.{ident(f.before)}, p.{ident(f.after)}" for f in tables.fields)
    rows = tables.warehouse.rows(
        f"""
        SELECT {", ".join(f"p.{name}" for name in names)}{values}
        FROM {tables.plan} p
        WHERE {where}
        ORDER BY p.ordinal
        """
    )
    for row in rows:
        cells = row[len(names) :]
        sides = {
            side: {f.name: cells[2 * i + at] for i, f in enumerate(tables.fields)}
            for at, side in enumerate(("before", "after"))
        }
        yield {**dict(zip(names, row, strict=False)), **sides}
