"""`revetl rollback`: what a run, or a whole invocation of several syncs, wrote is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, GuardrailError, did_you_mean
from revetl.model import RunRecord, SyncSpec
from revetl.state.runs import of_invocation
from revetl.sync.rollback.rolling_back import (
    RollbackChoices,
    RollbackOptions,
    RollbackPlan,
    RollbackReport,
    roll_back,
)
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.record_names import record_keys
from revetl.usecases.renames import take_over_renamed
from revetl.usecases.run_names import find_runs

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

# Shown the plans of all syncs before anything is sent; False ends it there.
Agree = Callable[[Sequence[RollbackPlan]], bool]


@dataclass(frozen=True, slots=True)
class _Undone:
    """A run of a sync that is to be taken back."""

    run: RunRecord
    spec: SyncSpec


def rollback(
    project: Project,
    run_id: str,
    choices: RollbackChoices,
    options: RollbackOptions,
    caller: Caller,
    *,
    sync: str | None = None,
    agree: Agree | None = None,
) -> list[RollbackReport]:
    """Takes back one run, or all syncs of the invocation that is named, the newest first; or of either only `sync`.
    `run_id`: whatever names a run or an invocation. Of a run that others belong to, `caller.note` hears which they are.
    Safe to repeat; a rollback is a run and can be rolled back. A stop, a plan that is not agreed to, or a sync that
    fails ends the rest.

    `options.confirm` is shown each plan before it is sent. `agree` is shown those of all syncs together before the
    first is sent; what stands there is read again then, and nothing is sent beyond what was agreed to.

    Raises ConfigError for a run that is not there or not of a sync, GuardrailError where it is not confirmed,
    LeaseError and WarehouseError.
    """
    with caller.warehouse(project) as warehouse:
        choices = replace(choices, keys=record_keys(project, warehouse, choices.keys))
        undone = asyncio.run(_undone(project, warehouse, run_id, sync, caller))
        how = {"archive_created": choices.archive_created, "recreate_archived": choices.recreate_archived}
        runs = [each.run.run_id for each in undone]
        if not options.dry_run:
            audited(warehouse, caller, "rollback", runs, sync=sync, **how, keys=len(choices.keys) or None)
        return asyncio.run(_Rollback(project, warehouse, choices, caller).all_of(undone, options, agree))


async def _undone(
    project: Project, warehouse: Warehouse, run_id: str, only: str | None, caller: Caller
) -> list[_Undone]:
    """The newest first: what was written last is taken back first."""
    # A model whose build or tests failed since is no reason to keep what an earlier run wrote.
    specs = project.syncs(verified=False)
    # Before the runs are looked for: they are the old name's until the new one has taken them over.
    await take_over_renamed(project, warehouse, specs, caller)
    by_name = {spec.name: spec for spec in specs}
    named = find_runs(warehouse, run_id, wrote=True)
    newest = named.runs[0]
    together = of_invocation(warehouse, newest)
    candidates = together if only is not None else named.runs
    of_syncs = [_Undone(r, by_name[r.subject]) for r in candidates if r.subject in by_name]
    if not of_syncs:
        raise ConfigError(
            f"run {newest.run_id} ({newest.command} {newest.subject or ''}) is not of a sync"
            " that this project declares",
            hint="Only what a sync wrote to a destination can be rolled back.",
        )
    chosen = [u for u in of_syncs if only is None or u.spec.name == only]
    if not chosen:
        raise ConfigError(
            f"that run has no sync {only!r}", hint=did_you_mean(str(only), [u.spec.name for u in of_syncs])
        )
    _note_others(chosen, together, by_name, caller)
    return chosen


def _note_others(
    chosen: Sequence[_Undone], together: Sequence[RunRecord], specs: dict[str, SyncSpec], caller: Caller
) -> None:
    """What the same command did beside, and stays."""
    ids = {u.run.run_id for u in chosen}
    others = [r for r in together if r.run_id not in ids]
    syncs = [r for r in others if r.subject in specs]
    if syncs:
        named = ", ".join(f"{r.subject} ({r.run_id[-6:]})" for r in reversed(syncs))
        first = chosen[0].run
        invocation = (first.invocation_id or "")[-6:]
        caller.note(
            f"Not taken back: {named}, of the same `revetl {first.command}`."
            f" `revetl rollback {invocation}` takes back all of it."
        )
    spent = sum(r.spend_usd for r in others)
    if spent and not syncs:
        caller.note(f"What providers were asked stays: their values, and ${spent:,.2f} that they cost.")


class _Rollback:
    """One command over one or several runs."""

    def __init__(self, project: Project, warehouse: Warehouse, choices: RollbackChoices, caller: Caller) -> None:
        self._project, self._warehouse, self._choices, self._caller = project, warehouse, choices, caller

    async def all_of(
        self, undone: Sequence[_Undone], options: RollbackOptions, agree: Agree | None
    ) -> list[RollbackReport]:
        stop = asyncio.Event()
        with self._caller.stoppable(stop):
            if agree is None or options.dry_run:
                return await self._each(undone, options, stop)
            if len(undone) == 1:
                return await self._each(undone, replace(options, confirm=lambda plan: agree([plan])), stop)
            shown = await self._each(undone, replace(options, dry_run=True), stop)
            plans = {report.plan.undone_run: report.plan for report in shown}
            if stop.is_set():
                raise KeyboardInterrupt
            if any(plan.changes for plan in plans.values()) and not agree([*plans.values()]):
                raise GuardrailError("not confirmed; nothing was sent")
            within = replace(options, confirm=lambda plan: plan.changes <= plans[plan.undone_run].changes)
            return await self._each(undone, within, stop)

    async def _each(
        self, undone: Sequence[_Undone], options: RollbackOptions, stop: asyncio.Event
    ) -> list[RollbackReport]:
        project, caller = self._project, self._caller
        reports: list[RollbackReport] = []
        for run, spec in ((u.run, u.spec) for u in undone):
            async with project.destination(spec.destination, caller.clock) as destination:
                with caller.stages(spec.name) as stages:
                    ctx = caller.context(project, self._warehouse, "rollback", stop=stop, stages=stages)
                    report = await roll_back(ctx, spec, destination, run, self._choices, options)
            reports.append(report)
            if stop.is_set() or report.status == "failed":
                break
        return reports
