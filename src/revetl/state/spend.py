"""`enrichment_spend`: what was committed per run, provider and day, so that a budget is a sum of few rows.

Every row changes in the transaction that writes the call it counts, so it always is the sum of the ledger: what was
charged, what is reserved for calls in flight, and the greatest price of those in doubt (`committed_usd`); and beside it
what is reserved for verifying what they may find (`held_usd`). Only its own run writes a row, except for one that is
over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

from revetl.model import Scalar
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_USD = "CAST(? AS DECIMAL(18,6))"


@dataclass(frozen=True, slots=True)
class SpendLine:
    """One sum: `usd` is what is committed and reserved together, `reserved_usd` that part of it which may still be used
    for verifying. `day` is that of the project's time zone."""

    run_id: str
    waterfall: str
    provider: str
    day: str
    usd: Decimal
    reserved_usd: Decimal


def day_of(moment: datetime, zone: tzinfo = UTC) -> str:
    """The day on which money counts that is spent then. `zone`: the project's."""
    return moment.astimezone(zone).strftime("%Y-%m-%d")


def add(
    warehouse: Warehouse,
    run_id: str,
    waterfall: str,
    changes: Mapping[tuple[str, str], tuple[Decimal, Decimal]],
) -> None:
    """Adds (committed, reserved) per (provider, day), inside the caller's transaction. What is reserved never goes
    below nothing: others may have taken this run for dead, and then it was given back already."""
    spend = _table(warehouse)
    for (provider, day), (committed, reserved) in sorted(changes.items()):
        row: list[Scalar] = [run_id, waterfall, provider, day]
        where = "WHERE run_id = ? AND waterfall = ? AND provider = ? AND day = ?"
        if warehouse.rows(f"SELECT 1 FROM {spend} {where} LIMIT 1", row):
            warehouse.execute(
                f"""
                UPDATE {spend}
                SET committed_usd = committed_usd + {_USD},
                    held_usd = greatest(held_usd + {_USD}, CAST(0 AS DECIMAL(18,6)))
                {where}
                """,
                [committed, reserved, *row],
            )
        else:
            warehouse.execute(
                f"""
                INSERT INTO {spend} (run_id, waterfall, provider, day, committed_usd, held_usd)
                VALUES (?, ?, ?, ?, {_USD}, {_USD})
                """,
                [*row, committed, reserved],
            )


def lines(warehouse: Warehouse, waterfall: str | None, since_day: str, run_id: str) -> list[SpendLine]:
    """What the waterfall committed and reserved since that day, and in this run on whatever day. None: all of them."""
    one, params = ("", list[Scalar]()) if waterfall is None else ("AND waterfall = ?", list[Scalar]([waterfall]))
    found = warehouse.rows(
        f"""
        SELECT run_id, waterfall, provider, day, sum(committed_usd + held_usd), sum(held_usd)
        FROM {_table(warehouse)}
        WHERE (day >= ? OR run_id = ?) {one}
        GROUP BY run_id, waterfall, provider, day
        """,
        [since_day, run_id, *params],
    )
    return [
        SpendLine(str(run), str(of), str(name), str(day), Decimal(str(usd)), Decimal(str(reserved)))
        for run, of, name, day, usd, reserved in found
    ]


def release_reserved(warehouse: Warehouse, run_id: str, provider: str | None = None) -> None:
    """Gives back what a run has reserved for verifying, for one verifier or all. Safe to repeat."""
    one, params = ("", [run_id]) if provider is None else ("AND provider = ?", [run_id, provider])
    warehouse.execute(
        f"""
        UPDATE {_table(warehouse)}
        SET held_usd = 0
        WHERE run_id = ? {one}
          AND held_usd <> 0
        """,
        params,
    )


def fill(warehouse: Warehouse) -> None:
    """Takes over the sums from a ledger that is older than this table. Nothing happens where the table has rows."""
    if warehouse.rows(f"SELECT 1 FROM {_table(warehouse)} LIMIT 1"):
        return
    calls = table(relation(warehouse, "enrichment_calls"), warehouse.dialect)
    warehouse.execute(
        f"""
        INSERT INTO {_table(warehouse)} (run_id, waterfall, provider, day, committed_usd, held_usd)
        SELECT run_id, waterfall, provider, day, sum(coalesce(charged_usd, expected_usd)), 0
        FROM (
            SELECT
                call_id, run_id, waterfall, provider,
                substr(CAST(min(asked_at) AS VARCHAR), 1, 10) AS day,
                max(charged_usd) AS charged_usd,
                max(expected_usd) AS expected_usd
            FROM {calls}
            GROUP BY call_id, run_id, waterfall, provider
        ) AS each_call
        GROUP BY run_id, waterfall, provider, day
        """
    )


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "enrichment_spend"), warehouse.dialect)
