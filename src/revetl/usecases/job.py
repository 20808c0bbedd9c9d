"""The whole job: build → enrich → build what reads the new values → sync.

Each part is safe to repeat, so the job is: a run that was stopped anywhere is taken up by the next one. A provider that
refuses or is away does not keep the syncs from going on; it stands in the report, with the exit code that it deserves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from revetl.clock import Clock, SystemClock
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.model import SyncSpec
from revetl.project.dbt import BuildResult, NodeResult
from revetl.project.project import Project
from revetl.state.runs import new_run_id
from revetl.state.sync_tables import resolve
from revetl.sync.report import SyncReport

if TYPE_CHECKING:
    from revetl.warehouse.base import Warehouse

VALUES_AND_AFTER = "source:revetl.enrichment_values+"


@dataclass(slots=True)
class StageTime:
    """One line of the job's summary. `records`: nodes built, lookups made, or records sent."""

    stage: str
    records: int
    seconds: float


@dataclass(slots=True)
class JobReport:
    """What one job did."""

    stages: list[StageTime] = field(default_factory=list)
    builds: list[BuildResult] = field(default_factory=list)
    waterfalls: list[EnrichReport] = field(default_factory=list)
    syncs: list[SyncReport] = field(default_factory=list)

    @property
    def spend_usd(self) -> Decimal:
        """What was charged, and what may have been."""
        return sum((w.spent_usd + w.in_doubt_usd for w in self.waterfalls), Decimal(0))

    @property
    def exit_code(self) -> int:
        """The gravest of the parts': credentials, guardrail or budget, an interrupt, then records."""
        codes = {w.exit_code for w in self.waterfalls}
        codes |= {130 if s.status == "interrupted" else s.exit_code for s in self.syncs}
        return next((code for code in (4, 3, 130, 2, 1) if code in codes), 0)


@dataclass(frozen=True, slots=True)
class Watch:
    """The job's doors to whoever started it. `agree` is shown the estimates before anything is spent and says whether
    to go on. `push` runs the syncs in order over an open warehouse, with its own progress and signal handling. `ask`
    runs one waterfall to its end, and sets the event that it hands over to stop it early."""

    say: Callable[[str], None]
    on_node: Callable[[NodeResult], None]
    agree: Callable[[Sequence[Estimate]], bool]
    push: Callable[[Warehouse, Sequence[SyncSpec]], list[SyncReport]]
    ask: Callable[[Callable[[asyncio.Event], Awaitable[EnrichReport]]], EnrichReport]


def run_job(
    project: Project,
    watch: Watch,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_spend_usd: Decimal | None = None,
    full_refresh: bool = False,
    clock: Clock | None = None,
) -> JobReport:
    """Runs the whole job. `select` and `exclude` choose syncs; everything is built and enriched. `full_refresh` is the
    first build's; what it means for the syncs is up to `watch.push`.

    Raises DbtFailed where a build fails (nothing is enriched or sent then), GuardrailError where spending was not
    agreed to or a plan is too large, ConfigError and WarehouseError.
    """
    clock = clock or SystemClock()
    report = JobReport()
    watch.say("Build")
    _build(project, report, watch, (), full_refresh=full_refresh)
    _check_syncs(project, select, exclude)
    if project.waterfalls:
        watch.say("Enrich")
        if _enrich(project, report, watch, max_spend_usd, clock):
            watch.say("Build what reads the new values")
            _build(project, report, watch, (VALUES_AND_AFTER,))
    specs = project.syncs(select, exclude)
    if specs:
        watch.say("Sync")
        with _warehouse(project) as warehouse:
            report.syncs = watch.push(warehouse, specs)
        report.stages += [StageTime(f"sync {s.sync}", s.plan.changes, s.seconds) for s in report.syncs]
    return report


def _check_syncs(project: Project, select: Sequence[str], exclude: Sequence[str]) -> None:
    """What would stop a sync is found before providers are paid for values that then go nowhere."""
    specs = project.syncs(select, exclude)
    with _warehouse(project) as warehouse:
        problems: list[Problem] = []
        for spec in specs:
            try:
                resolve(warehouse, spec)
            except ConfigError as e:
                problems.extend(e.problems)
    if problems:
        raise ConfigError(problems)


def _build(
    project: Project, report: JobReport, watch: Watch, select: Sequence[str], *, full_refresh: bool = False
) -> None:
    result = project.build(select, full_refresh=full_refresh, unit_tests=False, on_node=watch.on_node)
    report.builds.append(result)
    report.stages.append(StageTime("build", sum(result.counts.values()), result.seconds))


def _enrich(project: Project, report: JobReport, watch: Watch, max_spend_usd: Decimal | None, clock: Clock) -> bool:
    """Runs every waterfall under one allowance. Whether a provider gave anything that models may want to read."""
    with _warehouse(project) as warehouse:
        ctx = RunContext(
            warehouse=warehouse, clock=clock, run_id=new_run_id(clock), command="run", target=project.target
        )
        options = WaterfallOptions(max_spend_usd=max_spend_usd)
        estimates = [
            estimate(ctx, spec, project.providers, project.relation(spec.entity), options)
            for spec in project.waterfalls.values()
        ]
        if any(e.lookups or e.greatest_usd for e in estimates) and not watch.agree(estimates):
            raise GuardrailError("nothing was spent and nothing was sent: the cost was not agreed to")
        for spec, foreseen in zip(project.waterfalls.values(), estimates, strict=True):
            started = time.monotonic()
            left = None if max_spend_usd is None else max_spend_usd - report.spend_usd
            options = WaterfallOptions(max_spend_usd=left, foreseen=foreseen)
            done = _ask(project, replace(ctx, run_id=new_run_id(clock)), spec, options, watch)
            report.waterfalls.append(done)
            report.stages.append(StageTime(f"enrich {spec.name}", done.asked, time.monotonic() - started))
            watch.say(f"  {spec.name}: {done.asked:,} lookups, ${done.spent_usd:,.2f}")
    return any(p.hits or p.reused for w in report.waterfalls for p in w.providers.values())


@contextmanager
def _warehouse(project: Project) -> Iterator[Warehouse]:
    """Open only for one part of the job: dbt needs the DuckDB file to itself."""
    warehouse = project.open_warehouse()
    try:
        yield warehouse
    finally:
        warehouse.close()


def _ask(
    project: Project, ctx: RunContext, spec: WaterfallSpec, options: WaterfallOptions, watch: Watch
) -> EnrichReport:
    return watch.ask(
        lambda stop: run_waterfall(
            replace(ctx, stop=stop),
            spec,
            project.connected(spec.provider_names, ctx.clock),
            project.relation(spec.entity),
            options,
        )
    )
