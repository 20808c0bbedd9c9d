"""Lines of a plan that are not sent, decided in SQL before anything is: each with its outcome and the reason."""

from __future__ import annotations

from revetl.state.sync_tables import SyncTables
from revetl.warehouse.sql import literal


def decide_lines(
    tables: SyncTables, outcome: str, *, note: str, where: str, reason: str | None = None, joined: str | None = None
) -> None:
    """Gives lines that are not decided yet their outcome, so that they are not sent. `note` and `where` are expressions
    over the plan's row and what is `joined` with it; `reason` is the word by which such lines are counted."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = '{outcome}', reason = {"NULL" if reason is None else literal(reason)}, note = {note}
        {f"FROM {joined}" if joined else ""}
        WHERE {tables.plan}.outcome IS NULL AND {where}
        """
    )


def withhold_unreachable(tables: SyncTables, where: str) -> None:
    """Who left the model, has no id here and can't be looked for: nothing says which record is meant."""
    decide_lines(
        tables,
        "rejected",
        note="'has left the model and may stand at the destination: its id is not known, and it cannot be looked for'",
        reason="NO_ID",
        where=f"op <> 'create' AND destination_id IS NULL AND {where}",
    )
