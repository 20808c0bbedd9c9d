"""Jobs of an earlier run whose result was never read: it is fetched, so that nothing is paid for twice or lost.

Only calls with a `request_id` can be resolved so. Fetching costs nothing and is safe to repeat; whoever dies here
leaves the calls in doubt as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from revetl.enrich.execution.answers import AnswerHandler, FetchedAnswers
from revetl.enrich.execution.outcomes import answered, why
from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import ReservedCall
from revetl.enrich.selection.question import Question
from revetl.errors import CallError, Denied, Unavailable
from revetl.providers.base import Answer, Lookup, Reply
from revetl.state import locks, spend
from revetl.state.calls import CallOutcome, PaidCall, append_outcomes, ended_among, resumable
from revetl.state.values import append_values

ZERO = Decimal(0)


@dataclass(slots=True)
class Resumed:
    """Calls in doubt that now have an outcome, and what the vendor charged for them."""

    calls: int = 0
    charged_usd: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class FetchedReply:
    """One call of a job, with what the vendor says of it now."""

    call: PaidCall
    outcome: CallOutcome
    reply: Reply


async def resume_jobs(run: WaterfallRun) -> Resumed:
    """Fetches the result of every job in doubt of this waterfall whose provider is asked by it (and open), all at once.

    A job that the vendor does not know any more, or that is still at work when patience ends, stays in doubt.
    WarehouseError stops it; a fault of ours in a provider is raised.
    """
    warehouse, clock = run.ctx.warehouse, run.ctx.clock
    resumed = Resumed()
    # Verifiers take no jobs: `ProviderSpec` refuses that.
    handlers = {stage.provider: FetchedAnswers(run, stage.provider, stage) for stage in run.spec.stages}
    jobs = {job: calls for job, calls in resumable(warehouse, run.spec.name).items() if job[0] in handlers}

    async def fetch(provider: str, request_id: str, calls: Sequence[PaidCall]) -> tuple[str, str, Sequence[Reply]]:
        lookups = [Lookup({}, call.request_hash) for call in calls]
        try:
            return provider, request_id, await run.providers[provider].resume(request_id, lookups)
        except CallError:
            return provider, request_id, ()

    tasks = [asyncio.ensure_future(fetch(*job, calls)) for job, calls in jobs.items()]
    try:
        for done in asyncio.as_completed(tasks):
            provider, request_id, replies = await done
            found = [
                FetchedReply(call, outcome, reply)
                for call, reply in zip(jobs[provider, request_id], replies, strict=False)
                if (outcome := _outcome(run, reply, request_id)) is not None
            ]
            names = [f"enrich: job {provider}"]
            locks.ensure(warehouse, names)
            write = partial(_write, run, handlers[provider], found)
            written = await locks.locked(warehouse, clock, names, write)
            resumed.calls += len(written)
            resumed.charged_usd += sum((each.outcome.charged_usd or ZERO for each in written), ZERO)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return resumed


def _write(run: WaterfallRun, handler: AnswerHandler, found: Sequence[FetchedReply]) -> list[FetchedReply]:
    """In the caller's transaction, and only what another run has not written meanwhile."""
    warehouse = run.ctx.warehouse
    ended = ended_among(warehouse, [each.call for each in found])
    left = [each for each in found if each.call.call_id not in ended]
    append_outcomes(warehouse, [(each.call, each.outcome) for each in left])
    for each in left:
        call, reply = each.call, each.reply
        question = Question(call.request_hash, call.keys, {}, ())
        if isinstance(reply, Answer) and reply.status == "hit":
            append_values(warehouse, handler.values(ReservedCall(question, call), reply, each.outcome.answered_at))
        elif isinstance(reply, Answer) and reply.status == "suppressed":
            handler.suppress(question)
        freed = (each.outcome.charged_usd or ZERO) - call.expected_usd
        place = (call.provider, spend.day_of(call.asked_at, run.options.project_budget.zone))
        spend.add(warehouse, call.run_id, call.waterfall, {place: (freed, ZERO)})
    return left


def _outcome(run: WaterfallRun, reply: Reply, request_id: str) -> CallOutcome | None:
    """None where the reply tells nothing of what the call cost."""
    at = run.ctx.clock.now()
    if isinstance(reply, Answer):
        if reply.status == "suppressed":
            return answered("error", reply, at, None, request_id)
        return answered(reply.status, reply, at, reply.response, request_id)
    if isinstance(reply, Unavailable | Denied):  # the vendor says that it did nothing for this one
        return CallOutcome("error", at, charged_usd=ZERO, response=why(reply), request_id=request_id)
    return None
