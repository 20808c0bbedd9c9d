"""`revetl enrich --in-doubt`: paid calls whose answer was lost, and what happens to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from revetl.enrich.execution.in_doubt import CallInDoubt, in_doubt
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.providers.grammar import ProviderSpec


def calls_in_doubt(project: Project, caller: Caller) -> list[dict[str, object]]:
    """Every one, the oldest first. Reads only; asks nobody."""
    now = caller.clock.now()
    with caller.warehouse(project) as warehouse:
        return with_next_step(in_doubt(warehouse, now), project.providers, now)


def with_next_step(
    calls: Iterable[CallInDoubt], providers: Mapping[str, ProviderSpec], now: datetime
) -> list[dict[str, object]]:
    """Each call as plain values, with what happens next."""
    return [
        {
            "call_id": call.call_id,
            "run_id": call.run_id,
            "waterfall": call.waterfall,
            "provider": call.provider,
            "asked_at": call.asked_at,
            "usd": str(call.usd),
            "request_id": call.request_id,
            "records": call.keys,
            "next": what_next(call, providers.get(call.provider), now),
        }
        for call in calls
    ]


def what_next(call: CallInDoubt, provider: ProviderSpec | None, now: datetime) -> str:
    """In the words of the guide."""
    if call.request_id is not None:
        return "the next run fetches its result, for nothing"
    until = call.asked_at + timedelta(days=provider.free_repeat_days if provider is not None else 0)
    if until > now:
        return f"asked again by the next run: free until {until:%Y-%m-%d}"
    return "held: not asked again; look for it in the vendor's invoice"
