"""`revetl rollback`: what a run, or the whole `revetl run` that it was part of, wrote is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, did_you_mean
from revetl.model import RunRecord, SyncSpec
from revetl.state.runs import of_job
from revetl.sync.rollback.rollback import Choices, RollbackPlan, RollbackReport, roll_back
from revetl.usecases.caller import Caller
from revetl.usecases.runs import find_run

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """`sync`: of a whole job only this one. `confirm`: shown the plan of each sync before anything of it is sent; False
    ends the command, and nothing of that sync is sent."""

    sync: str | None = None
    choices: Choices = field(default_factory=Choices)
    dry_run: bool = False
    confirm: Callable[[RollbackPlan], bool] | None = None


def rollback(project: Project, run_id: str, request: RollbackRequest, caller: Caller) -> list[RollbackReport]:
    """Takes back the run of this id (its last characters do), and the other syncs of its job, the newest first. Safe to
    repeat; a rollback is a run and can be rolled back. A stop, or a sync that fails, ends the rest.

    Raises ConfigError for a run that is not there or not of a sync, GuardrailError where it is not confirmed,
    LeaseError and WarehouseError.
    """
    with caller.warehouse(project) as warehouse:
        runs = _runs(project, warehouse, run_id, request.sync)
        return asyncio.run(_roll_back_all(project, warehouse, runs, request, caller))


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
    request: RollbackRequest,
    caller: Caller,
) -> list[RollbackReport]:
    stop = asyncio.Event()
    reports: list[RollbackReport] = []
    with caller.stoppable(stop):
        for run, spec in runs:
            async with project.destination(spec.destination, caller.clock) as destination:
                with caller.stages(spec.name) as stages:
                    ctx = caller.context(project, warehouse, "rollback", stop=stop, stages=stages)
                    report = await roll_back(
                        ctx.warehouse,
                        spec,
                        destination,
                        run,
                        request.choices,
                        clock=ctx.clock,
                        run_id=ctx.run_id,
                        target=ctx.target,
                        dry_run=request.dry_run,
                        confirm=request.confirm,
                        progress=ctx.progress,
                        wait_s=ctx.wait.seconds,
                        on_wait=ctx.wait.on_wait,
                        stop_event=ctx.stop,
                    )
            reports.append(report)
            if stop.is_set() or report.status == "failed":
                break
    return reports
