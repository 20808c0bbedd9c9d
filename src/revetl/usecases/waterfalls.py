"""Waterfalls that run one after the other under one sum of money: what `revetl enrich` and `revetl run` share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class WaterfallInput:
    """One waterfall over one relation. `limit`: only the first so many records by key. `kept_as`: the name under which
    values are kept, where that is not the entity's own."""

    spec: WaterfallSpec
    relation: Relation
    limit: int | None = None
    kept_as: str | None = None

    def options(self, project: Project, budget: SharedBudget, foreseen: Estimate | None) -> WaterfallOptions:
        return WaterfallOptions(
            max_spend_usd=budget.left_usd,
            limit=self.limit,
            entity_name=self.kept_as,
            foreseen=foreseen,
            project_budget=project.settings.budget,
        )


class SharedBudget:
    """What is left of one sum in US dollars for several waterfalls; without a sum each has only its own budget."""

    def __init__(self, usd: Decimal | None) -> None:
        self.left_usd = usd

    def charge(self, report: EnrichReport) -> None:
        """What may have been charged counts like what was: it is never spent twice."""
        if self.left_usd is not None:
            self.left_usd = max(Decimal(0), self.left_usd - report.spent_usd - report.in_doubt_usd)


def costs_anything(estimates: Sequence[Estimate]) -> bool:
    return any(e.greatest_usd for e in estimates)


def name_missing_credentials(
    project: Project, inputs: Sequence[WaterfallInput], caller: Caller, *, dry_run: bool = False
) -> None:
    """ConfigError with every credential that is missing, before anything is estimated; a dry run, which asks nobody,
    only notes them."""
    names = dict.fromkeys(name for given in inputs for name in given.spec.provider_names)
    try:
        project.refuse_missing_credentials(names)
    except ConfigError as e:
        if not dry_run:
            raise
        for problem in e.problems:
            caller.note(str(problem))


def estimate_all(
    project: Project,
    warehouse: Warehouse,
    inputs: Sequence[WaterfallInput],
    budget: SharedBudget,
    command: str,
    caller: Caller,
) -> list[Estimate]:
    """What each would cost and find, if it had the whole budget; nobody is asked. Raises ConfigError (a column that
    is not there) and WarehouseError."""
    ctx = caller.context(project, warehouse, command)
    return [
        estimate(ctx, given.spec, project.providers, given.relation, given.options(project, budget, None))
        for given in inputs
    ]


def ask_providers(
    project: Project,
    warehouse: Warehouse,
    given: WaterfallInput,
    budget: SharedBudget,
    foreseen: Estimate | None,
    command: str,
    caller: Caller,
) -> EnrichReport:
    """Runs one waterfall with what is left of the budget, and takes from it what was charged. `foreseen` is kept
    with the run. Raises ConfigError and WarehouseError; KeyboardInterrupt after a stop, once calls in flight are
    written down."""
    with caller.lookups(given.spec.name) as watched:
        options = replace(given.options(project, budget, foreseen), on_progress=watched)

        async def work(stop: asyncio.Event) -> EnrichReport:
            ctx = caller.context(project, warehouse, command, stop=stop)
            connected = project.connected(given.spec.provider_names, ctx.clock)
            return await run_waterfall(ctx, given.spec, connected, given.relation, options)

        report = caller.finish(work)
    budget.charge(report)
    return report
