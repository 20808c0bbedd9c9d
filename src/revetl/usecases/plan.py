"""`revetl plan`: exactly what syncs would change, down to single lines, and the plan as a file; nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, RevetlError, WarehouseError, did_you_mean, of_whole_destination
from revetl.model import SyncSpec
from revetl.state.sync_tables import resolve
from revetl.sync import PlanLine, PlanSummary, SyncOptions, plan_sync
from revetl.sync.links import link_plan
from revetl.sync.links.link_plan import LinkChange
from revetl.sync.plan import lines, saved
from revetl.sync.sagas.failures import why_not_undone
from revetl.sync.sagas.held_back import held_back_of
from revetl.usecases.caller import Caller
from revetl.usecases.exit_codes import ExitCode, detailed, worst
from revetl.usecases.failed_syncs import gravest
from revetl.usecases.record_names import record_keys
from revetl.usecases.refused_access import refused_access
from revetl.usecases.renames import links_left, orphaned, take_over_renamed, what_to_do
from revetl.usecases.saga_plans import judge
from revetl.usecases.sagas import connected, note_incomplete, said_of
from revetl.usecases.sync import note_edited

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines are wanted one by one: `rows` at most (None: not said; 0: all), of `keys`, that change `fields`."""

    rows: int | None = None
    keys: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        return self.rows is not None or bool(self.keys) or bool(self.fields)

    @property
    def limit(self) -> int | None:
        return None if self.rows == 0 or self.keys else 20 if self.rows is None else self.rows


@dataclass(frozen=True, slots=True)
class PlannedSync:
    """One sync that was planned. Its lines are read from the warehouse when they are asked for, so that a plan of
    millions of lines needs no memory: only inside the block of `planned`."""

    spec: SyncSpec
    summary: PlanSummary
    warehouse: Warehouse

    def lines(self, wanted: LineFilter) -> Iterator[PlanLine]:
        """None of a sync that sends none of the fields that were asked for."""
        tables = resolve(self.warehouse, self.spec)
        fields = [f.name for f in tables.fields if f.name in wanted.fields]
        if wanted.fields and not fields:
            return iter(())
        return lines.read(tables, keys=wanted.keys, fields=fields, limit=wanted.limit)

    def link_changes(self, wanted: LineFilter) -> Iterator[LinkChange]:
        """None where fields were asked for: a link is no field."""
        if wanted.fields:
            return iter(())
        return link_plan.read(resolve(self.warehouse, self.spec), keys=wanted.keys, limit=wanted.limit)

    def has_line(self, key: str) -> bool:
        return any(True for _ in lines.read(resolve(self.warehouse, self.spec), keys=[key]))

    def why_no_line(self, key: str) -> str | None:
        """Of a record that the sync knows and does not plan; None where it knows no such record."""
        return lines.why_not_planned(resolve(self.warehouse, self.spec), key)


@dataclass(frozen=True, slots=True)
class Planned:
    """`keys`: of the records that were asked for one by one, however they were named. `errors`: sync → why it could
    not be planned; the plans of the others hold all the same."""

    syncs: Sequence[PlannedSync]
    keys: tuple[str, ...] = ()
    errors: Mapping[str, RevetlError] = field(default_factory=dict)

    @property
    def summaries(self) -> list[PlanSummary]:
        return [planned.summary for planned in self.syncs]

    def exit_code(self, *, tells_differences: bool) -> int:
        """That of the gravest error; 4 where the account would refuse what is planned, 3 where a guardrail would stop a
        sync. `tells_differences` (--detailed-exitcode): 2 where there are any."""
        stopped = [ExitCode.STOPPED for plan in self.summaries if plan.violations]
        refused = [ExitCode.CREDENTIALS for plan in self.summaries if plan.refused_access]
        code = worst([*refused, *stopped, *(error.exit_code for error in self.errors.values())])
        differs = any(plan.changes or plan.links.changes for plan in self.summaries)
        return detailed(code, differences=tells_differences and differs)


@contextmanager
def planned(
    project: Project,
    options: SyncOptions,
    caller: Caller,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    fields: Sequence[str] = (),
    records: Sequence[str] = (),
    out: Path | None = None,
) -> Iterator[Planned]:
    """Plans the selected syncs in their order; their lines can be read while the block lasts. Of `options` a plan takes
    `limit` and `full_refresh`. `records`: whatever names records; their keys are in what is given. `out`: saved
    there for `revetl apply`, where every sync could be planned. Safe to repeat.

    A sync that can't be planned stands in `Planned.errors`: ConfigError, CallError where its destination can't be
    asked, LeaseError where another run works on it. Raises the gravest of them where none could be; ConfigError for one
    of `fields` that no sync sends or one of `records` that names several (before the time for a plan is spent), and
    WarehouseError.
    """
    specs = project.syncs(select, exclude)
    note_edited(project, specs, caller)
    with caller.warehouse(project) as warehouse:
        specs = connected(project, warehouse, specs, caller)
        note_incomplete(project, caller)
        _check_fields(warehouse, specs, fields)
        keys = record_keys(project, warehouse, records)
        plans, errors = asyncio.run(_plan_all(project, warehouse, specs, options, caller))
        if errors and not plans:
            raise gravest(errors, caller.note)
        if out is not None and errors:
            caller.note(f"Not saved to {out}: {', '.join(errors)} could not be planned.")
        elif out is not None:
            _save(project, warehouse, specs, plans, out, caller)
        planned_specs = [spec for spec in specs if spec.name not in errors]
        yield Planned([PlannedSync(s, p, warehouse) for s, p in zip(planned_specs, plans, strict=True)], keys, errors)


def _check_fields(warehouse: Warehouse, specs: Sequence[SyncSpec], fields: Sequence[str]) -> None:
    if not fields:
        return
    names = {f.name for spec in specs for f in resolve(warehouse, spec).fields}
    said = specs[0].name if len(specs) == 1 else "no sync that is planned"
    for name in fields:
        if name not in names:
            message = f"{said} sends no field {name!r}" if len(specs) == 1 else f"{said} sends the field {name!r}"
            raise ConfigError(message, hint=did_you_mean(name, sorted(names)))


async def _plan_all(
    project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], options: SyncOptions, caller: Caller
) -> tuple[list[PlanSummary], dict[str, RevetlError]]:
    """Also: sync → why it has no plan. What concerns a whole destination is asked of it once."""
    plans: list[PlanSummary] = []
    errors: dict[str, RevetlError] = {}
    away: dict[str, RevetlError] = {}  # destination → its error
    await take_over_renamed(project, warehouse, specs, caller)
    released = held_back_of(warehouse, specs)
    for spec in specs:
        if spec.destination in away:
            errors[spec.name] = away[spec.destination]
            continue
        try:
            own = replace(options, released=released.get(spec.name, ()))
            plans.append(await _plan_one(project, warehouse, spec, own, caller))
        except WarehouseError:
            raise
        except RevetlError as e:
            errors[spec.name] = e
            if of_whole_destination(e):
                away[spec.destination] = e
    judge(warehouse, project.sagas(), plans, options.allow)
    for saga in project.sagas():
        if without := [name for name in errors if name in saga.syncs]:
            said = f"nothing of saga {saga.name} is sent: {', '.join(without)} can't be planned"
            for plan in plans:
                plan.notes += [said] if plan.sync in saga.syncs else []
    return plans, errors


async def _plan_one(
    project: Project, warehouse: Warehouse, spec: SyncSpec, options: SyncOptions, caller: Caller
) -> PlanSummary:
    async with project.destination(spec.destination, caller.clock) as destination:
        plan = await plan_sync(caller.context(project, warehouse, "plan"), spec, destination, options)
        plan.refused_access += await refused_access(spec, plan, destination)
        saga = next((saga for saga in project.sagas() if spec.name in saga.syncs), None)
        if saga is not None:
            plan.consequences.append(said_of(saga, spec, await why_not_undone(destination, spec.object)))
    if (built_at := project.built_at(spec)) is not None:
        plan.notes.append(f"the model's table is {_age(caller.clock.now() - built_at)} old")
    plan.notes += links_left(project, warehouse, spec)
    if not plan.snapshot_rows:
        plan.notes += [f"state of {o.sync} is nobody's: {what_to_do(o)}" for o in orphaned(project, warehouse)]
    return plan


def _age(passed: timedelta) -> str:
    """In the largest unit of which two have passed."""
    minutes = int(passed.total_seconds() // 60)
    for size, word in ((60 * 24, "days"), (60, "hours"), (1, "minutes")):
        if minutes >= 2 * size:
            return f"{minutes // size} {word}"
    return "at most 2 minutes"


def _save(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    plans: Sequence[PlanSummary],
    out: Path,
    caller: Caller,
) -> None:
    entries = [saved.entry(warehouse, spec, plan, caller.clock) for spec, plan in zip(specs, plans, strict=True)]
    saved.write_file(warehouse, out, project.target, entries, caller.clock)
    caller.note(f"Saved to {out}. `revetl apply {out}` sends exactly this.")
