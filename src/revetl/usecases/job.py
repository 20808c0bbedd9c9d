"""The whole job: build → enrich → build what reads the new values → sync.

Each part is safe to repeat, so the job is: a run that was stopped anywhere is taken up by the next one. A provider that
refuses or is away does not keep the syncs from going on; it stands in the report, with the exit code that it deserves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from revetl.enrich.report import EnrichReport, Estimate
from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.project.dbt import BuildResult, NodeResult
from revetl.project.project import Project
from revetl.state.sync_tables import resolve
from revetl.sync import PlanSummary, SyncOptions
from revetl.sync.report import SyncReport
from revetl.usecases import exit_codes
from revetl.usecases.auditing import audited
from revetl.usecases.build import BuildRequest, build
from revetl.usecases.caller import Caller
from revetl.usecases.sagas import require_whole
from revetl.usecases.sync import push
from revetl.usecases.waterfalls import (
    SharedBudget,
    WaterfallInput,
    ask_providers,
    costs_anything,
    estimate_all,
    name_missing_credentials,
)

if TYPE_CHECKING:
    from revetl.enrich.waterfall import WaterfallSpec
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
        """The worst of its waterfalls' and its syncs'."""
        codes = [w.exit_code for w in self.waterfalls]
        return exit_codes.worst([*codes, exit_codes.of_reports(self.syncs)])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """`select` and `exclude` choose syncs; with `select` only what they read from is built and enriched, else
    everything. `builds` False: dbt has run already. `threads`: of dbt. `max_spend_usd` bounds all waterfalls together.
     `full_refresh`: incremental models are rebuilt, and every record and link is sent whole. `allow`: names of
    guardrails that may be passed.

    `on_estimates` is shown the cost before anything is spent. `ask` is then asked whether to go on, unless the cost is
    `agreed` to already or there is none; None where nobody can be asked, and then nothing is spent.
    `confirm` is shown the plan of each sync that deletes; None where nobody can be asked.
    `on_node` hears of every node that dbt is done with.
    """

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_spend_usd: Decimal | None = None
    full_refresh: bool = False
    builds: bool = True
    threads: int | None = None
    allow: Sequence[str] = ()
    agreed: bool = False
    ask: Callable[[], bool] | None = None
    on_estimates: Callable[[Sequence[Estimate]], None] | None = None
    confirm: Callable[[PlanSummary], bool] | None = None
    on_node: Callable[[NodeResult], None] | None = None


def run_job(project: Project, request: JobRequest, caller: Caller) -> JobReport:
    """Runs the whole job. Safe to repeat after any failure.

    Raises DbtFailed where a build fails (nothing is enriched or sent then), GuardrailError where spending was not
    agreed to or a plan is too large, ConfigError and WarehouseError, and KeyboardInterrupt where it is stopped before
    the syncs.
    """
    return _Job(project, request, caller).run()


class _Job:
    """One run, step by step."""

    def __init__(self, project: Project, request: JobRequest, caller: Caller) -> None:
        self._project, self._request, self._caller = project, request, caller
        self._report = JobReport()

    def run(self) -> JobReport:
        project, request, caller = self._project, self._request, self._caller
        if request.builds:
            caller.note("Build")
            self._build(self._above(), full_refresh=request.full_refresh)
        self._check_syncs()
        if self._waterfalls():
            caller.note("Enrich")
            if self._enrich() and request.builds:
                caller.note("Build what reads the new values")
                self._build([f"{VALUES_AND_AFTER},{name}" for name in self._above()] or [VALUES_AND_AFTER])
        if specs := project.syncs(request.select, request.exclude):
            caller.note("Sync")
            options = SyncOptions(full_refresh=request.full_refresh, allow=request.allow, confirm=request.confirm)
            with self._warehouse() as warehouse:
                audited(warehouse, caller, "run", [spec.name for spec in specs], allow=list(request.allow))
                self._report.syncs = push(project, warehouse, specs, "run", options, caller)
            self._report.stages += [StageTime(f"sync {s.sync}", s.done.sent, s.seconds) for s in self._report.syncs]
        return self._report

    def _above(self) -> list[str]:
        """dbt selectors of the chosen syncs with all that they read from; none where none is chosen."""
        request = self._request
        if not request.select:
            return []
        return [f"+{spec.name}" for spec in self._project.syncs(request.select, request.exclude, verified=False)]

    def _waterfalls(self) -> list[WaterfallSpec]:
        """Those that the chosen syncs read from."""
        found = [*self._project.waterfalls.values()]
        if found and (above := self._above()):
            names = self._project.manifest.above(name.removeprefix("+") for name in above)
            found = [spec for spec in found if spec.entity in names]
        return found

    def _build(self, select: Sequence[str], *, full_refresh: bool = False) -> None:
        asked = BuildRequest(
            select=select,
            full_refresh=full_refresh,
            unit_tests=False,
            threads=self._request.threads,
            on_node=self._request.on_node,
        )
        result = build(self._project, asked, self._caller)
        self._report.builds.append(result)
        self._report.stages.append(StageTime("build", sum(result.counts.values()), result.seconds))

    def _check_syncs(self) -> None:
        """What would stop a sync is found before providers are paid for values that then go nowhere."""
        specs = self._project.syncs(self._request.select, self._request.exclude)
        require_whole(self._project, specs)
        problems: list[Problem] = []
        with self._warehouse() as warehouse:
            for spec in specs:
                try:
                    resolve(warehouse, spec)
                except ConfigError as e:
                    problems.extend(e.problems)
        if problems:
            raise ConfigError(problems)

    def _enrich(self) -> bool:
        """Runs every waterfall under one budget. Whether a provider gave anything that models may want to read."""
        project, caller, report = self._project, self._caller, self._report
        budget = SharedBudget(self._request.max_spend_usd)
        with self._warehouse() as warehouse:
            inputs = [WaterfallInput(spec, project.relation(spec.entity)) for spec in self._waterfalls()]
            name_missing_credentials(project, inputs, caller)
            estimates = estimate_all(project, warehouse, inputs, budget, "run", caller)
            self._agree(estimates)
            if costs_anything(estimates):
                spend = self._request.max_spend_usd
                names = [given.spec.name for given in inputs]
                audited(warehouse, caller, "run", names, max_spend_usd=None if spend is None else str(spend))
            for given, foreseen in zip(inputs, estimates, strict=True):
                started = time.monotonic()
                done = ask_providers(project, warehouse, given, budget, foreseen, "run", caller)
                report.waterfalls.append(done)
                name = given.spec.name
                report.stages.append(StageTime(f"enrich {name}", done.asked, time.monotonic() - started))
                caller.note(f"  {name}: {done.asked:,} lookups, ${done.spent_usd:,.2f}")
        return any(p.hits or p.reused for w in report.waterfalls for p in w.providers.values())

    def _agree(self, estimates: Sequence[Estimate]) -> None:
        """GuardrailError where the cost is not agreed to. Where nothing is looked up there is nothing to show."""
        request = self._request
        if not any(e.lookups or e.greatest_usd for e in estimates):
            return
        if request.on_estimates is not None:
            request.on_estimates(estimates)
        if request.agreed or not costs_anything(estimates) or (request.ask is not None and request.ask()):
            return
        raise GuardrailError("nothing was spent and nothing was sent: the cost was not agreed to")

    @contextmanager
    def _warehouse(self) -> Iterator[Warehouse]:
        """Open only for one part of the job: dbt needs the DuckDB file to itself. So another process may take it
        between two parts, and is waited for."""
        with self._caller.warehouse(self._project) as warehouse:
            yield warehouse
