"""`revetl retry`: records that stand in the retry queue are released and sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from revetl.errors import GuardrailError
from revetl.model import SyncSpec
from revetl.sync import SyncOptions
from revetl.sync.release import RetryReport, release, take_back
from revetl.sync.retry.queue import QueueFilter
from revetl.usecases import exit_codes
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.record_names import record_keys
from revetl.usecases.renames import take_over_renamed
from revetl.usecases.run_names import find_run
from revetl.usecases.sagas import with_their_sagas
from revetl.usecases.sync import push

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import SyncReport
    from revetl.warehouse.base import Warehouse


@dataclass(slots=True)
class RetryResult:
    """What waited in each of the selected syncs, and the runs that sent it; no run of a sync where nothing waited."""

    released: list[RetryReport]
    syncs: list[SyncReport] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return exit_codes.of_reports(self.syncs)


def retry(
    project: Project,
    which: QueueFilter,
    caller: Caller,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    dry_run: bool = False,
) -> RetryResult:
    """Releases what `which` names, and syncs where anything was released. `which.run_id` may be
    whatever names a run. `dry_run`: only says what waits. Safe to repeat.

    Raises ConfigError for a run that is not there, and what a sync raises.
    """
    specs = project.syncs(select, exclude)
    with caller.warehouse(project) as warehouse:
        if which.run_id is not None:
            which = replace(which, run_id=find_run(warehouse, which.run_id).run_id)
        which = replace(which, keys=record_keys(project, warehouse, which.keys))
        if not dry_run:
            how = {"codes": list(which.codes), "statuses": list(which.statuses), "run": which.run_id}
            audited(warehouse, caller, "retry", [spec.name for spec in specs], **how, keys=len(which.keys) or None)
        report = RetryResult(asyncio.run(_release_all(project, warehouse, specs, which, caller, dry_run=dry_run)))
        if not dry_run:
            released = [s for s, found in zip(specs, report.released, strict=True) if found.records or found.links]
            due = with_their_sagas(project, released)
            since = caller.clock.now()
            try:
                report.syncs = push(project, warehouse, due, "retry", SyncOptions(), caller)
            except GuardrailError:
                # "Nothing was sent" must also mean that what a person holds back is held back still.
                asyncio.run(_take_back_all(project, warehouse, released, since, caller))
                raise
    return report


async def _take_back_all(
    project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], since: datetime, caller: Caller
) -> None:
    for spec in specs:
        await take_back(caller.context(project, warehouse, "retry"), spec, since)


async def _release_all(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    which: QueueFilter,
    caller: Caller,
    *,
    dry_run: bool,
) -> list[RetryReport]:
    released = []
    await take_over_renamed(project, warehouse, specs, caller)
    for spec in specs:
        ctx = caller.context(project, warehouse, "retry")
        released.append(await release(ctx, spec, which, dry_run=dry_run))
    return released
