"""Who left a mirror when a plan was saved, and is in the model when it is applied: neither archived nor erased nor
cleared. What is removed can't always be had back, so a removal is held against the model as it stands now, though all
else of a saved plan is sent as it was reviewed.

Changes the plan's lines only, in one statement; safe to repeat.
"""

from __future__ import annotations

from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.line_decisions import decide_lines
from revetl.sync.plan.same_record import leaves
from revetl.warehouse.sql import ident


def withhold(tables: SyncTables) -> None:
    """By key; and by the `match_on` value, for a plan that is made now would give the record to the key that has it."""
    plan, spec = tables.plan, tables.spec
    back = f"{plan}.key IN (SELECT {tables.source_key('m')} FROM {tables.model} m)"
    if spec.match_on is not None:
        before = f"lower(CAST({plan}.{ident(tables.match_field.before)} AS VARCHAR))"
        value = f"CAST(m.{ident(tables.match_field.source)} AS VARCHAR)"
        back = f"({back} OR {before} IN (SELECT lower({value}) FROM {tables.model} m WHERE {value} <> ''))"
    decide_lines(
        tables,
        "rejected",
        note="'came back into the model since the plan was made'",
        reason="CAME_BACK",
        where=f"{leaves(tables, plan)} AND {back}",
    )
