"""Jobs of an earlier run whose result was never read: it is fetched, so that nothing is paid for twice or lost.

Only calls with a `request_id` can be resolved so. Fetching costs nothing and is safe to repeat; whoever dies here
leaves the calls in doubt as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from revetl.context import RunContext
from revetl.enrich.execution.admission import Job
from revetl.enrich.execution.outcomes import answered
from revetl.enrich.selection.query import Question
from revetl.errors import CallError, Denied, Unavailable
from revetl.providers.base import Answer, Lookup, Provider, Reply
from revetl.state import locks, spend
from revetl.state.calls import Call, CallOutcome, append_outcomes, ended_among, resumable
from revetl.state.values import ValueRow, append_values


@dataclass(slots=True)
class Resumed:
    """Calls in doubt that now have an outcome, and what the vendor charged for them."""

    calls: int = 0
    charged_usd: Decimal = Decimal(0)


async def resume_jobs(
    ctx: RunContext,
    waterfall: str,
    providers: Mapping[str, Provider],
    interpret: Callable[[str, Job, Answer, datetime], list[ValueRow]],
    on_suppressed: Callable[[Question], None],
) -> Resumed:
    """Fetches the result of every job in doubt of this waterfall whose provider is in `providers` (open), all at once.

    `interpret(provider, job, answer, at)` turns an answer into rows of values. Both callbacks get questions without
    inputs: the ledger has none. `on_suppressed` runs in the transaction that writes the outcome. A job that the vendor
    does not know any more, or that is still under way when patience ends, stays in doubt. WarehouseError stops it; a
    fault of ours in a provider is raised.
    """
    warehouse, clock = ctx.warehouse, ctx.clock
    resumed = Resumed()
    jobs = {job: calls for job, calls in resumable(warehouse, waterfall).items() if job[0] in providers}

    async def fetch(provider: str, request_id: str, calls: Sequence[Call]) -> tuple[str, str, Sequence[Reply]]:
        lookups = [Lookup({}, call.request_hash) for call in calls]
        try:
            return provider, request_id, await providers[provider].resume(request_id, lookups)
        except CallError:
            return provider, request_id, ()

    def write(provider: str, found: Sequence[tuple[Call, CallOutcome, Reply]]) -> list[CallOutcome]:
        """In one transaction, and only what another run has not written meanwhile."""
        settled = ended_among(warehouse, [call for call, _, _ in found])
        left = [each for each in found if each[0].call_id not in settled]
        append_outcomes(warehouse, [(call, outcome) for call, outcome, _ in left])
        for call, outcome, reply in left:
            question = Question(call.request_hash, call.keys, {}, ())
            if isinstance(reply, Answer) and reply.status == "hit":
                append_values(warehouse, interpret(provider, Job(question, call), reply, outcome.answered_at))
            elif isinstance(reply, Answer) and reply.status == "suppressed":
                on_suppressed(question)
            freed = (outcome.charged_usd or Decimal(0)) - call.expected_usd
            place = (provider, spend.day_of(call.asked_at))
            spend.change(warehouse, call.run_id, call.waterfall, {place: (freed, Decimal(0))})
        return [outcome for _, outcome, _ in left]

    tasks = [asyncio.ensure_future(fetch(*job, calls)) for job, calls in jobs.items()]
    try:
        for done in asyncio.as_completed(tasks):
            provider, request_id, replies = await done
            found = [
                (call, outcome, reply)
                for call, reply in zip(jobs[provider, request_id], replies, strict=False)
                if (outcome := _outcome(reply, request_id, clock.now())) is not None
            ]
            names = [f"enrich: job {provider}"]
            locks.ensure(warehouse, names)
            written = await locks.locked(warehouse, clock, names, partial(write, provider, found))
            resumed.calls += len(written)
            resumed.charged_usd += sum((o.charged_usd or Decimal(0) for o in written), Decimal(0))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return resumed


def _outcome(reply: Reply, request_id: str, at: datetime) -> CallOutcome | None:
    """None where the reply settles nothing."""
    if isinstance(reply, Answer):
        if reply.status == "suppressed":
            return answered("error", reply, at, None, request_id)
        return answered(reply.status, reply, at, reply.response, request_id)
    if isinstance(reply, Unavailable | Denied):  # the vendor says that it did nothing for this one
        why = {"error": type(reply).__name__, "code": reply.code, "status": reply.status}
        return CallOutcome("error", at, charged_usd=Decimal(0), response=why, request_id=request_id)
    return None
