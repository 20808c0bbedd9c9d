"""`revetl rollback`: what a run, or the whole `revetl run` that it was part of, wrote is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, did_you_mean
from revetl.model import RunRecord, SyncSpec
from revetl.state.runs import of_job
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions, RollbackReport, roll_back
from revetl.usecases.caller import Caller
from revetl.usecases.runs import find_run

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


def rollback(
    project: Project,
    run_id: str,
    choices: RollbackChoices,
    options: RollbackOptions,
    caller: Caller,
    *,
    sync: str | None = None,
) -> list[RollbackReport]:
    """Takes back the run of this id (its last characters do), and the other syncs of its job, the newest first; or of
    the job only `sync`. Safe to repeat; a rollback is a run and can be rolled back. A stop, a plan that
    `options.confirm` refuses, or a sync that fails ends the rest.

    Raises ConfigError for a run that is not there or not of a sync, GuardrailError where it is not confirmed,
    LeaseError and WarehouseError.
    """
    with caller.warehouse(project) as warehouse:
        runs = _runs(project, warehouse, run_id, sync)
        return asyncio.run(_roll_back_all(project, warehouse, runs, choices, options, caller))


def _runs(project: Project, warehouse: Warehouse, run_id: str, only: str | None) -> list[tuple[RunRecord, SyncSpec]]:
    """The runs with their syncs, the newest first: what was written last is taken back first."""
    run = find_run(warehouse, run_id)
    # A model whose build or tests failed since is no reason to keep what an earlier run wrote.
    specs = {spec.name: spec for spec in project.syncs(verified=False)}
    job = [r for r in of_job(warehouse, run) if r.subject in specs]
    if not job:
        raise ConfigError(
            f"run {run.run_id} ({run.command} {run.subject or ''}) is not of a sync that this project declares",
            hint="Only what a sync wrote to a destination can be rolled back.",
        )
    chosen = [r for r in job if only is None or r.subject == only]
    if not chosen:
        names = [str(r.subject) for r in job]
        raise ConfigError(f"that run has no sync {only!r}", hint=did_you_mean(str(only), names))
    return [(r, specs[str(r.subject)]) for r in chosen]


async def _roll_back_all(
    project: Project,
    warehouse: Warehouse,
    runs: Sequence[tuple[RunRecord, SyncSpec]],
    choices: RollbackChoices,
    options: RollbackOptions,
    caller: Caller,
) -> list[RollbackReport]:
    stop = asyncio.Event()
    reports: list[RollbackReport] = []
    with caller.stoppable(stop):
        for run, spec in runs:
            async with project.destination(spec.destination, caller.clock) as destination:
                with caller.stages(spec.name) as stages:
                    ctx = caller.context(project, warehouse, "rollback", stop=stop, stages=stages)
                    report = await roll_back(ctx, spec, destination, run, choices, options)
            reports.append(report)
            if stop.is_set() or report.status == "failed":
                break
    return reports
