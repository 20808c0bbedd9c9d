"""`revetl disconnect`: a destination is left, also where no file declares the sync any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, GuardrailError, did_you_mean
from revetl.model import SyncSpec
from revetl.project.dbt import DbtFailed
from revetl.project.exposures import set_aside, write_exposures
from revetl.state import disconnections, forgetting, sagas, syncs
from revetl.state.schema import create_all
from revetl.state.syncs import RememberedSync
from revetl.sync.disconnect.disconnecting import DisconnectOptions, DisconnectReport, disconnect
from revetl.sync.disconnect.taking_back import Leaving
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.renames import stay_left

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class Reconnected:
    """`sync` may be sent again. `was`: it had been disconnected."""

    sync: str
    was: bool


def leave(project: Project, sync: str, options: DisconnectOptions, caller: Caller) -> DisconnectReport:
    """Leaves the destination of one sync, by its name. Safe to repeat, and to repeat after a crash at any point.

    Raises ConfigError for a sync that is not known, or of which nothing tells where it sends; GuardrailError where it
    is not confirmed or a saga of it is not ended; LeaseError where a run works on it; CallError where the destination
    can't be asked; OSError where the mapping can't be written.
    """
    declared = _declared(project)
    with caller.warehouse(project) as warehouse:
        known = _known(warehouse, declared, sync, options.way)
        _refuse_half_done(warehouse, project, sync)
        if not options.dry_run:
            audited(warehouse, caller, "disconnect", [sync], way=str(options.way))
        report = asyncio.run(_leave(project, warehouse, known, options, caller))
    if report.disconnected and project.exposures_file is not None and declared:
        set_aside(project.exposures_file)
        others = [spec for name, spec in declared.items() if name != sync]
        write_exposures(project.exposures_file, others, project.settings.owner)
    if report.disconnected and sync in declared:
        caller.note(
            f"{sync} is still declared in {declared[sync].where}: runs leave it out. Take `revetl:` out of its meta, or"
            f" `revetl disconnect {sync} --reconnect` lets runs send it again."
        )
    return report


def reconnect(project: Project, sync: str, caller: Caller) -> Reconnected:
    """Runs may send it again: it begins anew, and finds by `match_on` what stands there. Safe to repeat. ConfigError
    where no model declares it."""
    declared = _declared(project)
    if sync not in declared:
        raise ConfigError(f"no model declares the sync {sync!r}", hint=did_you_mean(sync, [*declared]))
    with caller.warehouse(project) as warehouse:
        stay_left(project, warehouse, [declared[sync]])
        was = bool(disconnections.of_syncs(warehouse, project.state_dir, [sync]))
        if was:
            audited(warehouse, caller, "reconnect", [sync])
            if syncs.disconnected(warehouse, [sync]):
                syncs.reconnect(warehouse, sync)
            disconnections.forget(project.state_dir, sync)
    return Reconnected(sync, was)


async def _leave(
    project: Project, warehouse: Warehouse, known: RememberedSync, options: DisconnectOptions, caller: Caller
) -> DisconnectReport:
    stop = asyncio.Event()
    with caller.stoppable(stop), caller.stages(known.sync) as stages:
        ctx = caller.context(project, warehouse, "disconnect", stop=stop, stages=stages)
        if options.way is Leaving.LEAVE:  # asks nothing of it: the account may be gone
            return await disconnect(ctx, known, None, options)
        async with project.destination(known.destination, caller.clock) as destination:
            return await disconnect(ctx, known, destination, options)


def _declared(project: Project) -> dict[str, SyncSpec]:
    """By name; none where dbt can't read the project: what is left does not depend on it."""
    try:
        return {spec.name: spec for spec in project.syncs(verified=False)}
    except (ConfigError, DbtFailed):
        return {}


def _known(warehouse: Warehouse, declared: dict[str, SyncSpec], sync: str, way: Leaving) -> RememberedSync:
    """As it last ran; else as it is declared."""
    create_all(warehouse)
    remembered = syncs.read(warehouse, sync)
    if remembered is not None:
        return remembered
    if sync in declared:
        return syncs.as_declared(declared[sync])
    if not forgetting.left_of(warehouse, sync):
        names = sorted({*syncs.names(warehouse), *declared})
        raise ConfigError(f"no sync {sync!r} is declared, and none was ever run", hint=did_you_mean(sync, names))
    if way is not Leaving.LEAVE:
        raise ConfigError(
            f"{sync}: no model declares it, and it last ran with a version that did not write down where it sends",
            hint="Declare it once more, or `--leave` what stands there.",
        )
    return RememberedSync(sync, "", "", None, None)


def _refuse_half_done(warehouse: Warehouse, project: Project, sync: str) -> None:
    """What the others wrote could not be taken back together with it any more."""
    for row in sagas.unfinished(warehouse):
        if any(run.sync == sync for run in sagas.runs_of(warehouse, row.saga_id)):
            half = "done" if row.step == "applying" else "undone"
            raise GuardrailError(
                f"{sync}: the saga {row.saga} is half {half}; nothing was changed\n  `revetl run` ends it."
            )
