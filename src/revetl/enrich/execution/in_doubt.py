"""Paid calls whose outcome nobody knows: they may have been charged, so their money stays taken until that is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from revetl.model import Scalar
from revetl.state import heartbeats
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table


@dataclass(frozen=True, slots=True)
class CallInDoubt:
    """One call. `usd` is the most that it may have cost; `request_id` the vendor's name for its job, if it said one."""

    call_id: str
    run_id: str
    waterfall: str
    provider: str
    asked_at: datetime
    usd: Decimal
    request_id: str | None
    keys: str  # JSON array of the records that it was asked for


def in_doubt(warehouse: Warehouse, now: datetime, *, run_id: str | None = None) -> list[CallInDoubt]:
    """Every such call, or those of one run, the oldest first. Calls of runs that are alive are in flight, not in doubt.
    Writes nothing; empty where there is no ledger."""
    calls = relation(warehouse, "enrichment_calls")
    if not warehouse.columns(calls):
        return []
    one, params = ("", list[Scalar]()) if run_id is None else ("WHERE run_id = ?", list[Scalar]([run_id]))
    rows = warehouse.rows(
        f"""
        SELECT
            call_id, run_id, waterfall, provider, min(asked_at), max(expected_usd), max(request_id), max(keys),
            max(CASE WHEN status = 'in_doubt' THEN 1 ELSE 0 END)
        FROM {table(calls, warehouse.dialect)}
        {one}
        GROUP BY call_id, run_id, waterfall, provider
        HAVING max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN 1 ELSE 0 END) = 0
        ORDER BY min(asked_at), call_id
        """,
        params,
    )
    in_flight = {str(row[1]) for row in rows if not row[8]}
    over = set(heartbeats.dead(warehouse, in_flight, now))
    return [
        CallInDoubt(
            str(call),
            str(run),
            str(waterfall),
            str(provider),
            cast(datetime, asked_at).replace(tzinfo=UTC),
            Decimal(str(usd)),
            None if request_id is None else str(request_id),
            str(keys),
        )
        for call, run, waterfall, provider, asked_at, usd, request_id, keys, marked in rows
        if marked or str(run) in over
    ]
