"""Paid calls whose outcome nobody knows: they may have been charged, so their money stays taken until that is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import cast

from revetl.clock import Clock, naive
from revetl.enrich.resolutions import Resolution
from revetl.model import Scalar
from revetl.state import heartbeats, locks, spend
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


# In the place of an HTTP status: not the vendor but a person has said how the call ended, and it is not asked again
# before a miss of the provider would be.
SAID_BY_A_PERSON = 0
_LOCK = "enrich: in doubt"


async def resolve(
    warehouse: Warehouse, clock: Clock, calls: Sequence[CallInDoubt], how: Resolution, zone: tzinfo = UTC
) -> int:
    """Ends calls in doubt as a person says who has seen the invoice. How many: those that ended meanwhile are left.

    charged      the vendor has billed it: its price is spent, and it is not asked again before a miss would be
    not_charged  it has not: the money is free again, and the next run asks
    ask_again    nobody knows: its price stays spent, and the next run asks all the same

    `zone`: the project's, whose days money is counted by. Safe to repeat, and while runs are at work.
    """
    locks.ensure(warehouse, [_LOCK])
    now = clock.now()

    def end() -> int:
        open_ = {call.call_id for call in in_doubt(warehouse, now)}
        ended = [call for call in calls if call.call_id in open_]
        for call in ended:
            _end(warehouse, call, how, now, zone)
        return len(ended)

    return await locks.locked(warehouse, clock, [_LOCK], end)


def _end(warehouse: Warehouse, call: CallInDoubt, how: Resolution, now: datetime, zone: tzinfo) -> None:
    """Inside the caller's transaction: the outcome, beside what is known of the call, and the money."""
    calls = table(relation(warehouse, "enrichment_calls"), warehouse.dialect)
    charged = Decimal(0) if how == "not_charged" else call.usd
    warehouse.execute(
        f"""
        INSERT INTO {calls} (
            call_id, run_id, waterfall, provider, keys, request_hash, segment, order_version, expected_usd, asked_at,
            status, http_status, charged_usd, answered_at, response
        )
        SELECT
            call_id, run_id, waterfall, provider, max(keys), max(request_hash), max(segment), max(order_version),
            max(expected_usd), min(asked_at),
            'error', CAST(? AS INTEGER), CAST(? AS DECIMAL(18,6)), CAST(? AS TIMESTAMP), ?
        FROM {calls}
        WHERE call_id = ?
        GROUP BY call_id, run_id, waterfall, provider
        """,
        [
            SAID_BY_A_PERSON if how == "charged" else None,
            charged,
            naive(now),
            json.dumps({"resolved": how}),
            call.call_id,
        ],
    )
    place = (call.provider, spend.day_of(call.asked_at, zone))
    spend.add(warehouse, call.run_id, call.waterfall, {place: (charged - call.usd, Decimal(0))})


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
