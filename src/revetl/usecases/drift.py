"""`revetl drift`: what others changed at a destination, which value stands from now on, and perhaps a sync at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, did_you_mean
from revetl.model import SyncSpec
from revetl.sync.drift.drift import DriftReport, Settle, look
from revetl.usecases import exit_codes
from revetl.usecases.caller import Caller
from revetl.usecases.sync import SyncOptions, push

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import SyncReport
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRequest:
    """`decision`: whose values stand from now on; None only looks. `keys`: only these records. `samples`: records shown
    of each kind. `sync_after`: after values of ours were reasserted, send them at once."""

    decision: Settle | None = None
    keys: tuple[str, ...] = ()
    samples: int = 3
    sync_after: bool = False


@dataclass(slots=True)
class DriftResult:
    drift: DriftReport
    syncs: list[SyncReport] = field(default_factory=list)

    def exit_code(self, *, tells_differences: bool) -> int:
        """That of the sync, if there was one. `tells_differences` (--detailed-exitcode): 2 where there is drift."""
        code = exit_codes.of_reports(self.syncs)
        return exit_codes.detailed(code, differences=tells_differences and bool(self.drift.drifted))


def drift(project: Project, sync: str, request: DriftRequest, caller: Caller) -> DriftResult:
    """Reads back what the sync is known to have written, and compares. Nothing is written to the destination but by
    `sync_after`. Safe to repeat.

    Raises ConfigError for a sync or a field that is not there, GuardrailError where the model to sync after failed its
    tests (before anything is read), CallError where the destination is away, LeaseError and WarehouseError.
    """
    spec = _named(project, sync)
    due = project.syncs((sync,)) if request.sync_after else []
    with caller.warehouse(project) as warehouse:
        result = DriftResult(asyncio.run(_look(project, warehouse, spec, request, caller)))
        if due:
            result.syncs = push(project, warehouse, due, "sync", SyncOptions(), caller)
    return result


def _named(project: Project, sync: str) -> SyncSpec:
    specs = {spec.name: spec for spec in project.syncs(verified=False)}
    if sync not in specs:
        raise ConfigError(f"no sync {sync!r}", hint=did_you_mean(sync, [*specs]))
    return specs[sync]


async def _look(
    project: Project, warehouse: Warehouse, spec: SyncSpec, request: DriftRequest, caller: Caller
) -> DriftReport:
    async with project.destination(spec.destination, caller.clock) as destination:
        with caller.stages(spec.name) as stages:
            ctx = caller.context(project, warehouse, "drift", stages=stages)
            return await look(
                ctx.warehouse,
                spec,
                destination,
                clock=ctx.clock,
                run_id=ctx.run_id,
                target=ctx.target,
                settle=request.decision,
                keys=request.keys,
                per_class=request.samples,
                progress=ctx.progress("reading"),
                wait_s=ctx.wait.seconds,
                on_wait=ctx.wait.on_wait,
            )
