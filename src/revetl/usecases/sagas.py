"""Sagas over the syncs of one command: who belongs together, held for as long as they run, judged and undone.

A saga is held by a lease of its own. It begins when the first of its syncs does: all of them are planned before
anything is sent, and what would stop one stops all. After each run it is judged; past its failures, or where a run does
not come to its end, what all of them wrote is taken back. A saga that an earlier command left unfinished is ended
first, or gone on with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from revetl.context import Offload, RunContext, no_meter
from revetl.errors import ConfigError, GuardrailError
from revetl.model import SagaSpec, SyncSpec
from revetl.state import disconnections, sagas
from revetl.state.runs import new_run_id
from revetl.state.sagas import SagaRow
from revetl.state.schema import create_all
from revetl.sync import SyncOptions
from revetl.sync.leasing import leased_saga
from revetl.sync.report import SagaEnd
from revetl.sync.sagas.undoing import Undoing
from revetl.usecases.caller import Caller, Stages
from revetl.usecases.renames import stay_left
from revetl.usecases.saga_in_progress import SagaInProgress, told
from revetl.usecases.stopped_syncs import StoppedSyncs

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class Together:
    """The syncs of one command, and what all of them are given."""

    project: Project
    warehouse: Warehouse
    specs: Sequence[SyncSpec]
    caller: Caller
    stop: asyncio.Event


def connected(project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], caller: Caller) -> list[SyncSpec]:
    """Without those whose destination was left: `caller.note` hears of them."""
    stay_left(project, warehouse, specs)
    names = [spec.name for spec in specs]
    gone = disconnections.of_syncs(warehouse, project.state_dir, names)
    older = disconnections.forgotten(warehouse, project.state_dir, names)
    for name, since in gone.items():
        caller.note(f"{name}: left out, for it was disconnected on {since:%Y-%m-%d %H:%M} UTC.")
        if name in older:
            caller.note(
                f"{name}: the warehouse is older than that and has its state again: `revetl disconnect {name}` removes"
                " it once more, `--reconnect` lets runs send it."
            )
    return [spec for spec in specs if spec.name not in gone]


def note_incomplete(project: Project, caller: Caller) -> None:
    """What a saga of revetl.yml no longer selects is told with every plan and every run: nothing else would."""
    for sentence in project.incomplete_sagas():
        caller.note(sentence)


def require_whole(project: Project, specs: Sequence[SyncSpec]) -> None:
    """ConfigError where some syncs of a saga are to run without the others."""
    names = {spec.name for spec in specs}
    for saga in project.sagas():
        missing = [name for name in saga.syncs if name not in names]
        if missing and names.intersection(saga.syncs):
            chosen = ", ".join(name for name in saga.syncs if name in names)
            raise ConfigError(
                f"{chosen} stands or falls with {', '.join(missing)} (the saga {saga.name})",
                hint="Select all of them: " + " ".join(f"-s {name}" for name in saga.syncs),
            )


def with_their_sagas(project: Project, specs: Sequence[SyncSpec]) -> list[SyncSpec]:
    """These, and all that stand or fall with them, in their order."""
    names = {spec.name for spec in specs}
    more = {name for saga in project.sagas() if names.intersection(saga.syncs) for name in saga.syncs}
    return [*specs] if more <= names else [s for s in project.syncs() if s.name in more | names]


def said_of(saga: SagaSpec, spec: SyncSpec, why_not: str | None) -> str:
    """A sentence for the plan of one of its syncs."""
    others = ", ".join(name for name in saga.syncs if name != spec.name)
    most = "a failed record" if not saga.max_failures else f"{saga.max_failures:,} failed records"
    said = f"stands or falls with {others} (the saga {saga.name}): past {most} what they wrote in a run is taken back"
    return said if why_not is None else f"{said}, but nothing at {spec.destination} {spec.object}: {why_not}"


@asynccontextmanager
async def hold_sagas(
    together: Together, command: str, options: SyncOptions, stopped: StoppedSyncs, *, planned: bool
) -> AsyncIterator[HeldSagas]:
    """Holds the sagas of these syncs, with what earlier commands left unfinished ended where it was being undone.
    Nothing is held for a dry run. `planned`: the plans were made before. What could not be ended now is put into
    `stopped`. ConfigError as `require_whole`, LeaseError
    where another command holds one of them."""
    project, caller = together.project, together.caller
    if options.dry_run:
        yield HeldSagas(together)
        return
    require_whole(project, [*together.specs, *_disconnected(together)])
    names = {spec.name for spec in together.specs}
    declared = project.sagas()
    concerned = [saga for saga in declared if names.intersection(saga.syncs)]
    left = {row.saga for row in sagas.unfinished(together.warehouse)} - {saga.name for saga in declared}
    if not concerned and not left:
        yield HeldSagas(together)
        return
    async with AsyncExitStack() as stack:
        ctx = caller.context(project, together.warehouse, command, stop=together.stop)
        for name in sorted({saga.name for saga in concerned} | left):
            ctx = await stack.enter_async_context(leased_saga(replace(ctx, run_id=new_run_id(caller.clock)), name))
        await ctx.offload(create_all, ctx.warehouse)
        held = HeldSagas(together, ctx)
        for name in sorted(left):
            await _end_undeclared(held, ctx, name, stopped)
        for saga in concerned:
            begun = SagaInProgress(held, ctx, saga, options, planned)
            try:
                await begun.take_up()
            except GuardrailError as e:
                stopped.stop(saga.syncs, f"the saga {saga.name} could not be undone yet", e)
            held.running[saga.name] = begun
        yield held


def _disconnected(together: Together) -> list[SyncSpec]:
    """Of a saga whose one destination was left, the others go on."""
    project, warehouse = together.project, together.warehouse
    members = {name for saga in project.sagas() for name in saga.syncs}
    gone = disconnections.of_syncs(warehouse, project.state_dir, members) if members else {}
    return [spec for spec in project.syncs(verified=False) if spec.name in gone] if gone else []


async def _end_undeclared(held: HeldSagas, ctx: RunContext, saga: str, stopped: StoppedSyncs) -> None:
    """One that no file declares any more, and that an earlier command left unfinished. As long as it is half undone
    nothing of its syncs is sent: an undoing would take what a run wrote since for a person's."""
    note = held.together.caller.note
    row: SagaRow = await ctx.offload(sagas.latest, ctx.warehouse, saga)
    if row.step != "undoing":  # nothing binds its syncs to each other any more
        note(
            f"Saga {saga}: an earlier run left it half sent, and revetl.yml no longer declares it: what it sent stays."
        )
        await ctx.offload(sagas.end, ctx.warehouse, row.saga_id, "done", ctx.clock.now())
        return
    note(f"Saga {saga}: an earlier run left it half undone, and revetl.yml no longer declares it: that is ended first.")
    done = await held.undoing().undo(ctx, row)
    step = "undone" if done.ended else "undoing"
    for sentence in told(SagaEnd(saga, step, row.cause, done.restored, done.left, done.stays), done.error):
        note(f"Saga {saga}: {sentence}")
    if not done.ended:
        of_it = {run.sync for run in await ctx.offload(sagas.runs_of, ctx.warehouse, row.saga_id)}
        error = GuardrailError(f"saga {saga}: it could not be undone yet; nothing more of its syncs was sent")
        stopped.stop(of_it, f"the saga {saga} could not be undone yet", error)


@dataclass(slots=True)
class HeldSagas:
    """`ctx` is of their leases; None where none is held."""

    together: Together
    ctx: RunContext | None = None
    running: dict[str, SagaInProgress] = field(default_factory=dict)

    def of(self, spec: SyncSpec) -> SagaInProgress | None:
        return next((saga for saga in self.running.values() if spec.name in saga.spec.syncs), None)

    @property
    def offload(self) -> Offload:
        """How blocking work leaves the event loop: never beside a heartbeat of these leases."""
        return asyncio.to_thread if self.ctx is None else self.ctx.offload

    def context(self, command: str, *, stages: Stages = no_meter, dbt_invocation_id: str | None = None) -> RunContext:
        """The surroundings of one run, with an id of its own, through the leases of all sagas."""
        at = self.together
        if self.ctx is None:
            made: RunContext = at.caller.context(
                at.project, at.warehouse, command, stop=at.stop, stages=stages, dbt_invocation_id=dbt_invocation_id
            )
            return made
        own = new_run_id(at.caller.clock)
        return replace(self.ctx, run_id=own, command=command, progress=stages, dbt_invocation_id=dbt_invocation_id)

    def undoing(self) -> Undoing:
        at = self.together
        specs = {spec.name: spec for spec in [*at.project.syncs(verified=False), *at.specs]}
        return Undoing(specs, self.context, lambda name: at.project.destination(name, at.caller.clock))
