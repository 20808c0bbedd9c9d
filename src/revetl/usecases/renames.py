"""A sync that was renamed takes over the state of its old name; state that is nobody's is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from revetl.model import SyncSpec
from revetl.state import disconnections, renaming, syncs
from revetl.state.renaming import OrphanedState
from revetl.sync.leasing import leased
from revetl.sync.lost_connection import again
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


async def take_over_renamed(project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], caller: Caller) -> None:
    """Before anything is planned. Safe to repeat after any failure. GuardrailError where both names hold records,
    LeaseError where a run works on one of them."""
    for spec in specs:
        old = spec.renamed_from
        if old is None or not renaming.is_pending(warehouse, old):
            continue
        # One inside the other, so that no heartbeat writes while another statement runs; and a run of its own for each,
        # since a process knows its leases by their runs.
        async with leased(caller.context(project, warehouse, "rename"), old) as outer:
            own_id = caller.context(project, warehouse, "rename").run_id
            async with leased(replace(outer, run_id=own_id), spec.name) as ctx:
                await again(ctx, partial(ctx.offload, renaming.take_over, ctx.warehouse, old, spec.name))
        caller.note(f"{spec.name} has taken over the state of {old}.")


def stay_left(project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec]) -> None:
    """A sync that was disconnected is so under its new name. No state of it is left that a run could work on, so no
    lease is held. Safe to repeat, and at the same time."""
    for spec in specs:
        old = spec.renamed_from
        if old is None:
            continue
        left = disconnections.of_syncs(warehouse, project.state_dir, [old, spec.name])
        if old in left and spec.name not in left and syncs.read(warehouse, spec.name) is None:
            # The file first: wherever the process dies, one of both says that the sync was left.
            disconnections.copy(project.state_dir, old, spec.name)
            renaming.take_over(warehouse, old, spec.name)
            disconnections.forget(project.state_dir, old)


def orphaned(project: Project, warehouse: Warehouse) -> list[OrphanedState]:
    """State of syncs that no model declares, and that none is about to take over."""
    return renaming.orphans(warehouse, _declared(project))


def links_left(project: Project, warehouse: Warehouse, spec: SyncSpec) -> list[str]:
    """A sentence for each sync that is gone whose links to the records that this sync links to, too, stay: nobody
    compares them with a model any more."""
    if not spec.associate or spec.renamed_from is not None:
        return []
    said, declared = [], _declared(project)
    for orphan in renaming.orphans(warehouse, declared):
        if n := renaming.links_left(warehouse, orphan, declared, [a.to for a in spec.associate]):
            said.append(
                f"{n:,} link(s) of the sync {orphan.sync} that is gone stay; `renamed_from: {orphan.sync}` makes them"
                " this sync's"
            )
    return said


def _declared(project: Project) -> list[str]:
    """Every name that a sync has, or is about to take over."""
    specs = project.syncs(verified=False)
    return [spec.name for spec in specs] + [spec.renamed_from for spec in specs if spec.renamed_from]


def what_to_do(orphan: OrphanedState) -> str:
    """A sentence for a person."""
    return (
        f"{orphan.records:,} record(s) and {orphan.links:,} link(s) that no sync looks after any more. Was it renamed?"
        f" `renamed_from: {orphan.sync}` under config.meta.revetl of its model takes them over. Is it gone for good?"
        f" `revetl disconnect {orphan.sync}` shows what stands at the destination, and ends it."
    )
