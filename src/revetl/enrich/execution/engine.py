"""Runs a waterfall: stage by stage over the set of records that still lack something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from revetl import __version__
from revetl.clock import Clock, naive
from revetl.enrich.execution.budget import Budget
from revetl.enrich.execution.cascade import Cascade
from revetl.enrich.execution.dispatcher import Asked
from revetl.enrich.execution.outcomes import MILLIONTH
from revetl.enrich.report import EnrichReport, Estimate, OnProgress
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.model import Relation, RunRecord, RunStatus
from revetl.state import spend
from revetl.state.appending import append_rows
from revetl.state.runs import finish_run, start_run
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse


async def run_waterfall(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, Asked],
    entity: Relation,
    *,
    run_id: str,
    clock: Clock,
    max_spend_usd: Decimal | None = None,
    limit: int | None = None,
    progress: OnProgress | None = None,
    target: str = "",
    entity_name: str | None = None,
    command: str = "enrich",
    stop_event: asyncio.Event | None = None,
    foreseen: Estimate | None = None,
) -> EnrichReport:
    """Asks for what `entity`'s records lack, and writes calls, values and one row of `runs` under `run_id` (one per
    waterfall). Safe to repeat: a second run asks only what has no fresh answer.

    `providers` holds at least `spec.provider_names`; they are entered and left here. `max_spend_usd` and the
    waterfall's own budget both hold: the lower one stops the run (`report.stopped`), nothing is asked past it. So do
    its budgets per day and month; one of a provider only leaves that provider out (`report.exhausted`).
    `entity_name` is what values are kept under (default: the spec's entity). Refused credentials and vendors that are
    down end their stages and stand in the report. Once `stop_event` is set nothing more is asked; calls in flight are
    awaited and written down, and the run's row says interrupted. Raises ConfigError (a column or provider that is not
    there) before anything is asked, and WarehouseError. Several runs may work on one waterfall at the same time: a
    question that another one asks is waited for, and not paid for twice. `foreseen` is kept with the run, so that what
    it did can be held against it.
    """
    check_columns(warehouse, spec, entity)
    if missing := [name for name in spec.provider_names if name not in providers]:
        raise ConfigError(f"the waterfall {spec.name} asks {missing[0]!r}, which is not connected")
    record = RunRecord(run_id, command, spec.name, target, clock.now(), __version__)
    create_all(warehouse)
    start_run(warehouse, record)
    spend.fill(warehouse)
    if foreseen is not None:
        _keep(warehouse, run_id, foreseen, clock.now())
    run = Cascade(
        warehouse,
        spec,
        providers,
        entity,
        run_id=run_id,
        clock=clock,
        budget=Budget(least(max_spend_usd, spec.budget.per_run_usd)),
        entity=entity_name or spec.entity,
        limit=limit,
        progress=progress,
        stop_event=stop_event,
    )
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
    if run.stop_event.is_set():
        status = "interrupted"
    reasons = [*report.denied.values(), *report.exhausted.values(), None]
    _finish(warehouse, record, run, status, report.stopped or reasons[0])
    return report


def _keep(warehouse: Warehouse, run_id: str, foreseen: Estimate, now: datetime) -> None:
    usd = (foreseen.expected_usd, foreseen.low_usd, foreseen.p95_usd, foreseen.high_usd, foreseen.greatest_usd)
    money = [None if each is None else each.quantize(MILLIONTH) for each in (*usd, foreseen.limit_usd)]
    coverage = json.dumps({field: asdict(each) for field, each in foreseen.coverage.items()}, sort_keys=True)
    row = (run_id, foreseen.waterfall, naive(now), foreseen.lookups, *money, foreseen.minutes, coverage)
    append_rows(warehouse, "enrichment_estimates", [row])


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
    record.status, record.error, record.finished_at = status, error, run.clock.now()
    record.requests = report.requests
    record.spend_usd = report.spent_usd + report.in_doubt_usd
    sums = report.providers.values()
    record.counts = {name: sum(getattr(p, name) for p in sums) for name in _COUNTED}
    finish_run(warehouse, record)


_COUNTED = ("asked", "hits", "misses", "errors", "in_doubt", "reused")
