"""What the ledger says that a vendor charged."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import cast

from revetl.clock import naive
from revetl.enrich.invoices.comparing import LedgerCall
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table


def charged_calls(warehouse: Warehouse, vendor: str, first: date, last: date, zone: tzinfo) -> list[LedgerCall]:
    """Calls to all endpoints of the vendor from the day before `first` to the day after `last`, in the project's time
    zone, that were charged or may have been. `vendor` may be one endpoint. Empty where there is no ledger."""
    calls = relation(warehouse, "enrichment_calls")
    if not warehouse.columns(calls):
        return []
    since = datetime.combine(first - timedelta(days=1), time(), zone).astimezone(UTC)
    until = datetime.combine(last + timedelta(days=2), time(), zone).astimezone(UTC)
    rows = warehouse.rows(
        f"""
        SELECT
            call_id, run_id, provider, min(asked_at), max(charged_usd), max(expected_usd), max(request_id),
            max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN 1 ELSE 0 END)
        FROM {table(calls)}
        WHERE (provider = ? OR split_part(provider, '.', 1) = ?)
          AND asked_at >= CAST(? AS TIMESTAMP)
          AND asked_at < CAST(? AS TIMESTAMP)
        GROUP BY call_id, run_id, provider
        ORDER BY min(asked_at), call_id
        """,
        [vendor, vendor, naive(since), naive(until)],
    )
    found = []
    for call_id, run_id, provider, asked_at, charged, expected, request_id, ended in rows:
        day = cast(datetime, asked_at).replace(tzinfo=UTC).astimezone(zone).date()
        usd = Decimal(str(charged or 0)) if ended else Decimal(str(expected))
        name = None if request_id is None else str(request_id)
        found.append(LedgerCall(str(call_id), str(run_id), str(provider), day, usd, name, in_doubt=not ended))
    return found
