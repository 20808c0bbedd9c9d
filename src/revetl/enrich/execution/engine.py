"""Runs a waterfall: stage by stage over the set of records that still lack something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal

from revetl import __version__
from revetl.clock import naive
from revetl.context import RunContext
from revetl.enrich.execution.budget import Budget
from revetl.enrich.execution.cascade import Cascade
from revetl.enrich.execution.dispatcher import Asked
from revetl.enrich.execution.outcomes import MILLIONTH
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.model import Relation, RunRecord, RunStatus
from revetl.state import spend
from revetl.state.appending import append_rows
from revetl.state.runs import finish_run, start_run
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse

DEFAULT = WaterfallOptions()


async def run_waterfall(
    ctx: RunContext,
    spec: WaterfallSpec,
    providers: Mapping[str, Asked],
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
    warehouse, clock = ctx.warehouse, ctx.clock
    check_columns(warehouse, spec, entity)
    if missing := [name for name in spec.provider_names if name not in providers]:
        raise ConfigError(f"the waterfall {spec.name} asks {missing[0]!r}, which is not connected")
    record = RunRecord(ctx.run_id, ctx.command, spec.name, ctx.target, clock.now(), __version__)
    create_all(warehouse)
    start_run(warehouse, record)
    spend.fill(warehouse)
    if options.foreseen is not None:
        _keep(ctx, options.foreseen)
    budget = Budget(least(options.max_spend_usd, spec.budget.per_run_usd))
    run = Cascade(ctx, spec, providers, entity, budget, options)
    try:
        await run.execute()
    except (asyncio.CancelledError, KeyboardInterrupt):
        _finish(warehouse, record, run, "interrupted")
        raise
    except Exception as e:
        _finish(warehouse, record, run, "failed", type(e).__name__)
        raise
    report = run.report
    status: RunStatus = "stopped" if report.stopped or report.exhausted else "partial" if report.exit_code else "done"
    if ctx.stop.is_set():
        status = "interrupted"
    reasons = [*report.denied.values(), *report.exhausted.values(), None]
    _finish(warehouse, record, run, status, report.stopped or reasons[0])
    return report


def _keep(ctx: RunContext, foreseen: Estimate) -> None:
    usd = (foreseen.expected_usd, foreseen.low_usd, foreseen.p95_usd, foreseen.high_usd, foreseen.greatest_usd)
    money = [None if each is None else each.quantize(MILLIONTH) for each in (*usd, foreseen.limit_usd)]
    coverage = json.dumps({field: asdict(each) for field, each in foreseen.coverage.items()}, sort_keys=True)
    row = (ctx.run_id, foreseen.waterfall, naive(ctx.clock.now()), foreseen.lookups, *money, foreseen.minutes, coverage)
    append_rows(ctx.warehouse, "enrichment_estimates", [row])


def least(*limits: Decimal | None) -> Decimal | None:
    """The lowest of the limits that are set."""
    return min((limit for limit in limits if limit is not None), default=None)


def check_columns(warehouse: Warehouse, spec: WaterfallSpec, entity: Relation) -> None:
    """ConfigError with every column that the waterfall names and the relation has not."""
    found = [column.name for column in warehouse.columns(entity)]
    if not found:
        raise ConfigError(f"{entity.schema}.{entity.name} does not exist", hint="Build it first: revetl build")
    lower = {name.lower() for name in found}
    wanted = dict.fromkeys([spec.key, *spec.inputs.values(), *(spec.column(f) for f in spec.fields)])
    missing = [name for name in wanted if name.lower() not in lower]
    if missing:
        named = ", ".join(repr(name) for name in missing)
        message = f"the waterfall {spec.name} names {named}, which {entity.name} has not"
        raise ConfigError(message, hint=did_you_mean(missing[0], found))


def _finish(warehouse: Warehouse, record: RunRecord, run: Cascade, status: RunStatus, error: str | None = None) -> None:
    """`spend_usd` counts what is in doubt: it may have been charged."""
    report = run.report
    record.status, record.error, record.finished_at = status, error, run.ctx.clock.now()
    record.requests = report.requests
    record.spend_usd = report.spent_usd + report.in_doubt_usd
    sums = report.providers.values()
    record.counts = {name: sum(getattr(p, name) for p in sums) for name in _COUNTED}
    finish_run(warehouse, record)


_COUNTED = ("asked", "hits", "misses", "errors", "in_doubt", "reused")
