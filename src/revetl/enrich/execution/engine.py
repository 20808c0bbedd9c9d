"""Runs a waterfall: its row in `runs`, and what it comes to."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from revetl import __version__
from revetl.clock import naive
from revetl.context import RunContext
from revetl.enrich.execution.budget import RunBudget
from revetl.enrich.execution.cascade import Cascade
from revetl.enrich.execution.outcomes import MILLIONTH
from revetl.enrich.execution.run import ConnectedProvider, WaterfallRun
from revetl.enrich.limits import lowest
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.selection.columns import check_columns
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, WarehouseFull, WarehouseLost
from revetl.model import Relation, RunRecord, RunStatus
from revetl.state import spend
from revetl.state.appending import append_rows
from revetl.state.runs import finish_run, start_run
from revetl.state.schema import create_all
from revetl.warehouse.reconnecting import failing_at_once

log = logging.getLogger("revetl.enrich")

DEFAULT = WaterfallOptions()
_COUNTED = ("asked", "hits", "misses", "errors", "in_doubt", "reused")


async def run_waterfall(
    ctx: RunContext,
    spec: WaterfallSpec,
    providers: Mapping[str, ConnectedProvider],
    entity: Relation,
    options: WaterfallOptions = DEFAULT,
) -> EnrichReport:
    """Asks for what the records of `entity` lack, and writes calls, values and one row of `runs` under `ctx.run_id`
    (one run per waterfall). Safe to repeat: a second run asks only what has no fresh answer.

    `providers` holds at least `spec.provider_names`; they are opened and closed here. The lower of
    `options.max_spend_usd` and the waterfall's own budget stops the run (`report.stopped`): nothing is asked past it.
    So do its budgets per day and month. A budget of one provider leaves only that provider out (`report.exhausted`).
    Refused credentials and vendors that are down end their stages and stand in the report.

    Once `ctx.stop` is set no more calls leave. Those in flight are awaited and written down, and the run's row says
    interrupted. Several runs may work on one waterfall at the same time: a question that another run asks is waited
    for, and not paid for twice.

    Raises ConfigError (a column or provider that is not there) before anything is asked, and WarehouseError.
    """
    check_columns(ctx.warehouse, spec, entity)
    if missing := [name for name in spec.provider_names if name not in providers]:
        raise ConfigError(f"the waterfall {spec.name} asks {missing[0]!r}, which is not connected")
    record = RunRecord(
        ctx.run_id,
        ctx.command,
        spec.name,
        ctx.target,
        ctx.clock.now(),
        __version__,
        invocation_id=ctx.invocation_id,
    )
    create_all(ctx.warehouse)
    start_run(ctx.warehouse, record)
    log.info("run started", extra=_named(record))
    spend.fill(ctx.warehouse)
    if options.foreseen is not None:
        _keep(ctx, options.foreseen)
    run = WaterfallRun(
        ctx=ctx,
        spec=spec,
        providers={name: providers[name] for name in spec.provider_names},
        relation=entity,
        options=options,
        budget=RunBudget(lowest(options.max_spend_usd, spec.budget.per_run_usd)),
    )
    try:
        await Cascade(run).execute()
    except (asyncio.CancelledError, KeyboardInterrupt):
        _finish(run, record, "interrupted")
        raise
    except (WarehouseLost, WarehouseFull) as e:
        # What it says of the answers that are kept must not be hidden by one more failure of the same kind.
        with suppress(WarehouseLost, WarehouseFull), failing_at_once(ctx.warehouse):
            _finish(run, record, "failed", type(e).__name__)
        raise
    except Exception as e:
        _finish(run, record, "failed", type(e).__name__)
        raise
    report = run.report
    status: RunStatus = "stopped" if report.stopped or report.exhausted else "partial" if report.exit_code else "done"
    if ctx.stop.is_set():
        status = "interrupted"
    reasons = [*report.denied.values(), *report.exhausted.values(), None]
    _finish(run, record, status, report.stopped or reasons[0])
    return report


def _keep(ctx: RunContext, foreseen: Estimate) -> None:
    usd = (foreseen.expected_usd, foreseen.low_usd, foreseen.p95_usd, foreseen.high_usd, foreseen.greatest_usd)
    money = [None if each is None else each.quantize(MILLIONTH) for each in (*usd, foreseen.limit_usd)]
    coverage = json.dumps({field: asdict(each) for field, each in foreseen.coverage.items()}, sort_keys=True)
    row = (ctx.run_id, foreseen.waterfall, naive(ctx.clock.now()), foreseen.lookups, *money, foreseen.minutes, coverage)
    append_rows(ctx.warehouse, "enrichment_estimates", [row])


def _finish(run: WaterfallRun, record: RunRecord, status: RunStatus, error: str | None = None) -> None:
    """`spend_usd` counts what is in doubt: it may have been charged."""
    report = run.report
    record.status, record.error, record.finished_at = status, error, run.ctx.clock.now()
    record.requests = report.requests
    record.spend_usd = report.spent_usd + report.in_doubt_usd
    sums = report.providers.values()
    record.counts = {name: sum(getattr(p, name) for p in sums) for name in _COUNTED}
    try:
        finish_run(run.ctx.warehouse, record)
    except WarehouseLost as e:
        if not e.in_doubt:
            raise
        finish_run(run.ctx.warehouse, record)  # an UPDATE that says the same twice, on a new session
    for name, counted in report.providers.items():
        counts = {each: getattr(counted, each) for each in _COUNTED}
        log.info("provider asked", extra={"run_id": record.run_id, "provider": name, **counts})
    ended = {"status": record.status, "requests": record.requests, "spend_usd": record.spend_usd}
    log.info("run finished", extra=_named(record) | ended | dict(record.counts))


def _named(record: RunRecord) -> dict[str, object]:
    return {"run_id": record.run_id, "command": record.command, "waterfall": record.subject, "target": record.target}
