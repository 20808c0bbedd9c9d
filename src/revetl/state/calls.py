"""`enrichment_calls`: the ledger. Append-only: an intent row before a call leaves, one outcome row after it.

A call without an outcome row whose run is dead may have been charged; `recover` says so in the ledger itself. `error`
with a NULL `http_status` means that the provider certainly did nothing, so the next run may ask again.

A call that was submitted as part of a job has a second intent row with the vendor's `request_id`, written as soon as it
is known. Such a call in doubt is resolved by fetching the job's result (`resumable`), which costs nothing: an outcome
row after an `in_doubt` one overrules it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from revetl.clock import Clock, naive
from revetl.state import heartbeats, locks
from revetl.state import spend as spend_
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

CallStatus = Literal["intent", "hit", "miss", "error", "in_doubt"]


@dataclass(frozen=True, slots=True)
class PaidCall:
    """One paid question. `keys` are the records that its answer serves; `expected_usd` is the most it may cost."""

    call_id: str
    run_id: str
    waterfall: str
    provider: str
    keys: tuple[str, ...]
    request_hash: str
    order_version: str
    expected_usd: Decimal
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How it ended. `charged_usd` is None where nobody knows (in doubt)."""

    status: CallStatus
    answered_at: datetime
    http_status: int | None = None
    charged_usd: Decimal | None = None
    latency_ms: int | None = None
    response: Any = None
    request_id: str | None = None
    credits_charged: Decimal | None = None
    credits_remaining: Decimal | None = None


def append_intents(warehouse: Warehouse, calls: Sequence[PaidCall]) -> None:
    """Runs inside the caller's transaction; the calls may leave once that is committed."""
    append_rows(warehouse, "enrichment_calls", [_row(call, None) for call in calls])


def append_submitted(warehouse: Warehouse, calls: Sequence[PaidCall], request_id: str) -> None:
    """The vendor has taken these calls as one job. Durable when this returns: from here on the job's result can be
    fetched whatever happens to this run."""
    with warehouse.transaction():
        append_rows(warehouse, "enrichment_calls", [_row(call, None, request_id) for call in calls])


def append_outcomes(warehouse: Warehouse, outcomes: Sequence[tuple[PaidCall, CallOutcome]]) -> None:
    """Runs inside the caller's transaction, with the values that the same answers gave."""
    append_rows(warehouse, "enrichment_calls", [_row(call, outcome) for call, outcome in outcomes])


async def recover(warehouse: Warehouse, clock: Clock) -> int:
    """Marks every call of a dead run that has an intent and no outcome as in doubt, and gives back what such runs had
    reserved for verifying. Gives the number of calls. Safe to repeat, and while other runs are alive: theirs are left
    alone."""
    calls, spend = _table(warehouse), table(relation(warehouse, "enrichment_spend"), warehouse.dialect)
    open_runs = f"""
        SELECT i.run_id FROM {calls} i {_LOST.format(calls=calls)}
        UNION
        SELECT run_id FROM {spend} WHERE held_usd <> 0
        """

    def lost() -> list[str]:
        return heartbeats.dead(warehouse, [str(row[0]) for row in warehouse.rows(open_runs)], clock.now())

    if not lost():
        return 0

    def mark() -> int:
        number = 0
        for run_id in lost():
            number += _mark_lost(warehouse, run_id, clock.now())
            spend_.release_reserved(warehouse, run_id)
        return number

    locks.ensure(warehouse, [_RECOVERY])
    return await locks.locked(warehouse, clock, [_RECOVERY], mark)


_RECOVERY = "enrich: recovery"
_LOST = """
        WHERE i.status = 'intent'
          AND NOT EXISTS (SELECT 1 FROM {calls} o WHERE o.call_id = i.call_id AND o.status <> 'intent')
        """


def _mark_lost(warehouse: Warehouse, run_id: str, now: datetime) -> int:
    calls = _table(warehouse)
    lost = f"FROM {calls} i {_LOST.format(calls=calls)} AND i.run_id = ?"
    number = warehouse.scalar(f"SELECT count(DISTINCT i.call_id) {lost}", int, [run_id])
    if number:
        warehouse.execute(
            f"""
            INSERT INTO {calls} (
                call_id, run_id, waterfall, provider, keys, request_hash, segment, order_version, expected_usd,
                asked_at, status, answered_at, request_id
            )
            SELECT
                i.call_id, i.run_id, i.waterfall, i.provider, i.keys, i.request_hash, i.segment, i.order_version,
                i.expected_usd, i.asked_at, 'in_doubt', CAST(? AS TIMESTAMP), max(i.request_id)
            {lost}
            GROUP BY
                i.call_id, i.run_id, i.waterfall, i.provider, i.keys, i.request_hash, i.segment, i.order_version,
                i.expected_usd, i.asked_at
            """,
            [naive(now), run_id],
        )
    return number


def ended_among(warehouse: Warehouse, calls: Sequence[PaidCall]) -> set[str]:
    """Ids of those calls whose outcome is known, charged or not."""
    found = statuses_of(warehouse, calls)
    return {call_id for call_id, statuses in found.items() if statuses - {"intent", "in_doubt"}}


def statuses_of(warehouse: Warehouse, calls: Sequence[PaidCall]) -> dict[str, set[str]]:
    """call_id → the statuses that it has had; without those of which there is no row."""
    found: dict[str, set[str]] = {}
    for first in range(0, len(calls), 500):
        ids = [call.call_id for call in calls[first : first + 500]]
        rows = warehouse.rows(
            f"""
            SELECT DISTINCT call_id, status
            FROM {_table(warehouse)}
            WHERE call_id IN ({", ".join("?" for _ in ids)})
            """,
            ids,
        )
        for call_id, status in rows:
            found.setdefault(str(call_id), set()).add(str(status))
    return found


def resumable(warehouse: Warehouse, waterfall: str) -> dict[tuple[str, str], list[PaidCall]]:
    """(provider, request_id) → the calls in doubt of that job, in the order in which they were asked."""
    calls = _table(warehouse)
    rows = warehouse.rows(
        f"""
        SELECT
            call_id, run_id, waterfall, provider, keys, request_hash, order_version, expected_usd, asked_at, request_id
        FROM {calls} d
        WHERE d.status = 'in_doubt'
          AND d.request_id IS NOT NULL
          AND d.waterfall = ?
          AND NOT EXISTS (
              SELECT 1 FROM {calls} o WHERE o.call_id = d.call_id AND o.status NOT IN ('intent', 'in_doubt')
          )
        ORDER BY call_id
        """,
        [waterfall],
    )
    jobs: dict[tuple[str, str], dict[str, PaidCall]] = {}
    for call_id, run_id, name, provider, keys, request_hash, order, expected, asked_at, request_id in rows:
        call = PaidCall(
            str(call_id),
            str(run_id),
            str(name),
            str(provider),
            tuple(json.loads(str(keys))),
            str(request_hash),
            str(order),
            Decimal(str(expected)),
            cast(datetime, asked_at).replace(tzinfo=UTC),
        )
        jobs.setdefault((call.provider, str(request_id)), {})[call.call_id] = call
    return {job: list(found.values()) for job, found in jobs.items()}


@dataclass(frozen=True, slots=True)
class HitRate:
    """What the ledger says of one provider: `answers` are hits and misses together."""

    hits: int
    answers: int


def hit_rates(warehouse: Warehouse) -> dict[str, HitRate]:
    """By provider, over the whole ledger. Empty where there is no ledger yet."""
    calls = relation(warehouse, "enrichment_calls")
    if not warehouse.columns(calls):
        return {}
    found = warehouse.rows(
        f"""
        SELECT provider, sum(CASE WHEN status = 'hit' THEN 1 ELSE 0 END), count(*)
        FROM {table(calls, warehouse.dialect)}
        WHERE status IN ('hit', 'miss')
        GROUP BY provider
        """
    )
    return {str(provider): HitRate(int(cast(int, hits)), int(cast(int, n))) for provider, hits, n in found}


def _table(warehouse: Warehouse) -> str:
    return table(relation(warehouse, "enrichment_calls"), warehouse.dialect)


def _row(call: PaidCall, outcome: CallOutcome | None, request_id: str | None = None) -> tuple[Any, ...]:
    return (
        call.call_id,
        call.run_id,
        call.waterfall,
        call.provider,
        json.dumps(call.keys),
        call.request_hash,
        None,
        call.order_version,
        outcome.status if outcome else "intent",
        outcome.http_status if outcome else None,
        call.expected_usd,
        outcome.charged_usd if outcome else None,
        outcome.latency_ms if outcome else None,
        naive(call.asked_at),
        naive(outcome.answered_at) if outcome else None,
        None if outcome is None or outcome.response is None else json.dumps(outcome.response, default=str),
        outcome.request_id if outcome else request_id,
        outcome.credits_charged if outcome else None,
        outcome.credits_remaining if outcome else None,
    )
