"""`revetl drift`: what others changed at a destination, which value stands from now on, and perhaps a sync at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, did_you_mean
from revetl.model import SyncSpec
from revetl.sync import SyncOptions
from revetl.sync.drift.reading import DriftOptions, DriftReport, find_drift
from revetl.usecases import exit_codes
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.record_names import record_keys
from revetl.usecases.renames import take_over_renamed
from revetl.usecases.sagas import with_their_sagas
from revetl.usecases.sync import push

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import SyncReport
    from revetl.warehouse.base import Warehouse


@dataclass(slots=True)
class DriftResult:
    drift: DriftReport
    syncs: list[SyncReport] = field(default_factory=list)

    def exit_code(self, *, tells_differences: bool) -> int:
        """That of the sync, if there was one. `tells_differences` (--detailed-exitcode): 2 where there is drift."""
        code = exit_codes.of_reports(self.syncs)
        return exit_codes.detailed(code, differences=tells_differences and bool(self.drift.drifted))


def drift(
    project: Project, sync: str, options: DriftOptions, caller: Caller, *, sync_after: bool = False
) -> DriftResult:
    """Reads back what the sync is known to have written, and compares. Nothing is written to the destination but by
    `sync_after`: after values of ours were reasserted, they are sent at once. Safe to repeat.

    Raises ConfigError for a sync or a field that is not there, GuardrailError where the model to sync after failed its
    tests (before anything is read), CallError where the destination is away, LeaseError and WarehouseError.
    """
    spec = _named(project, sync)
    due = with_their_sagas(project, project.syncs((sync,))) if sync_after else []
    with caller.warehouse(project) as warehouse:
        if options.resolution is not None:
            fields = options.resolution.fields
            side = {"side": options.resolution.side, "fields": None if fields is None else list(fields)}
            audited(warehouse, caller, "drift", [spec.name], **side, sync_after=sync_after)
        result = DriftResult(asyncio.run(_look(project, warehouse, spec, options, caller)))
        if due:
            result.syncs = push(project, warehouse, due, "sync", SyncOptions(), caller)
    return result


def _named(project: Project, sync: str) -> SyncSpec:
    specs = {spec.name: spec for spec in project.syncs(verified=False)}
    if sync not in specs:
        raise ConfigError(f"no sync {sync!r}", hint=did_you_mean(sync, [*specs]))
    return specs[sync]


async def _look(
    project: Project, warehouse: Warehouse, spec: SyncSpec, options: DriftOptions, caller: Caller
) -> DriftReport:
    await take_over_renamed(project, warehouse, [spec], caller)
    options = replace(options, keys=record_keys(project, warehouse, options.keys, sync=spec.name))
    async with project.destination(spec.destination, caller.clock) as destination:
        with caller.stages(spec.name) as stages:
            ctx = caller.context(project, warehouse, "drift", stages=stages)
            return await find_drift(ctx, spec, destination, options)
