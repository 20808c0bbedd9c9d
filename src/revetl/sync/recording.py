"""A run's row in `runs`, from its start to whatever end it comes to: what is raised inside is written down and goes on.
The process dies → the row says running until the next run of the sync recovers, which sets it to interrupted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from revetl import __version__
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import requests_of
from revetl.errors import GuardrailError, JobInterrupted, RevetlError, WarehouseLost
from revetl.model import RunRecord, RunStatus
from revetl.state import runs
from revetl.sync.lost_connection import again
from revetl.sync.sync_run import SyncRun

log = logging.getLogger("revetl.sync")

# All else that is counted, a word that nobody knows too, leaves something undone.
_WELL = frozenset({"ok", "accepted", "skipped", "linked", "links_matched", "links_kept", "unlinked"})


@asynccontextmanager
async def recorded(
    run: SyncRun, destination: Destination | None, *, undoes: str | None = None
) -> AsyncIterator[RunRecord]:
    """Inside, the run goes on, and whoever comes to its end sets the record's status. `undoes`: of a rollback, the run
    that it takes back."""
    ctx = run.ctx
    record = RunRecord(
        ctx.run_id,
        ctx.command,
        run.spec.name,
        ctx.target,
        ctx.clock.now(),
        __version__,
        dbt_invocation_id=ctx.dbt_invocation_id,
        undoes=undoes,
        invocation_id=ctx.invocation_id,
    )
    await again(
        ctx,
        lambda: ctx.offload(runs.start_run, ctx.warehouse, record),
        lambda: ctx.offload(runs.start_again, ctx.warehouse, record),
    )
    log.info("run started", extra=_named(record))
    try:
        yield record
    except RevetlError as e:
        record.status = "stopped" if isinstance(e, GuardrailError) else "failed"
        if isinstance(e, JobInterrupted):
            record.status = "interrupted"
        record.error = str(e)
        raise
    except asyncio.CancelledError:
        record.status = "interrupted"
        raise
    except Exception as e:
        record.status, record.error = "failed", type(e).__name__
        raise
    finally:
        record.finished_at = ctx.clock.now()
        record.requests, record.retries = requests_of(destination)
        try:
            await ctx.offload(runs.finish_run, ctx.warehouse, record)
        except WarehouseLost as e:
            if e.in_doubt:  # an UPDATE that says the same twice
                await ctx.offload(runs.finish_run, ctx.warehouse, record)
            elif record.status == "done":
                raise  # else there is a failure already, which says more
        ended = {"status": record.status, "requests": record.requests, "retries": record.retries}
        log.info("run finished", extra=_named(record) | ended | dict(record.counts))


def _named(record: RunRecord) -> dict[str, object]:
    return {"run_id": record.run_id, "command": record.command, "sync": record.subject, "target": record.target}


def how_it_ended(
    counted: Collection[str], *, interrupted: bool, error: BaseException | None
) -> tuple[RunStatus, int, str | None]:
    """(status, exit code, error) of a run that came to its end. `counted`: the outcomes that it had. The message of an
    error that is not ours may hold anything, so only its class is said."""
    if error is not None:
        ours = isinstance(error, RevetlError)
        return (
            "failed",
            error.exit_code if isinstance(error, RevetlError) else 1,
            str(error) if ours else type(error).__name__,
        )
    if interrupted:
        return "interrupted", 1, None
    if not _WELL.issuperset(counted):
        return "partial", 1, None
    return "done", 0, None
