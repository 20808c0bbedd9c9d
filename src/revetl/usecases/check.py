"""`revetl check`: the project as it is now, each sync held against the warehouse and its destination. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revetl.errors import RevetlError
from revetl.model import SyncSpec
from revetl.project.matching_meta import check_matching
from revetl.state.sync_tables import SyncTables, resolve
from revetl.sync.plan import consequences, key_property, new_fields
from revetl.sync.plan.drafting import check_declared, check_required
from revetl.sync.plan.field_types import of_types, refuse, strange_options_of_model
from revetl.usecases import exit_codes
from revetl.usecases.caller import Caller
from revetl.usecases.provider_examples import refuse_dead_pointers

if TYPE_CHECKING:
    from revetl.project import Project


@dataclass(slots=True)
class SyncCheck:
    """One sync. `problems` keep it from being sent; `notes` are worth knowing."""

    sync: str
    sends: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0


def check(
    project: Project, caller: Caller, *, select: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[SyncCheck]:
    """dbt parses the project first where it changed. Then of each selected sync: was it built and did its tests pass,
    are its columns in the warehouse, has the destination such fields, and are the types those of the fields. None
    where there is no sync. Safe to repeat.

    Raises DbtFailed with dbt's reason where the project can't be parsed, ConfigError with every mistake in what syncs
    declare, in how records are matched or in where answers of providers are read, and WarehouseError. What is wrong
    with one sync stands in its check.
    """
    check_matching(project.dbt_dir)
    refuse_dead_pointers(project, [name for spec in project.waterfalls.values() for name in spec.provider_names])
    specs = project.syncs(select, exclude, verified=False)
    project.sagas()
    project.schedules()
    if not specs:
        return []
    found = [SyncCheck(spec.name, f"{project.named(spec)} → {spec.destination} {spec.object}") for spec in specs]
    with caller.warehouse(project) as warehouse:
        for spec, said in zip(specs, found, strict=True):
            with _kept_in(said):
                project.syncs([f"fqn:{spec.name}"])
            with _kept_in(said):
                asyncio.run(_of_destination(project, resolve(warehouse, spec), spec, said, caller))
    return found


def exit_code(checks: Iterable[SyncCheck]) -> int:
    return exit_codes.worst(check.exit_code for check in checks)


async def _of_destination(
    project: Project, tables: SyncTables, spec: SyncSpec, said: SyncCheck, caller: Caller
) -> None:
    async with project.destination(spec.destination, caller.clock) as destination:
        schema = await destination.describe(spec.object)
        known = new_fields.described(tables, destination, schema.fields)
        refuse(tables, known)
        said.notes += check_declared(tables, destination, schema)
        check_required(tables, schema)
        said.notes += await key_property.to_make(spec, destination)
        said.notes += new_fields.said(await new_fields.to_make(tables, destination, schema.fields))
        by_id = consequences.finds_by_id(spec, destination)
    sent = [f for f in tables.fields if not (by_id and f.name == spec.match_on)]
    clashes = ((f.name, of_types(f.type, known[f.name])) for f in sent)
    said.notes += [f"{name}: {clash}" for name, clash in clashes if clash is not None]
    said.notes += [note.sentence for note in strange_options_of_model(tables, known)]


@contextmanager
def _kept_in(said: SyncCheck) -> Iterator[None]:
    """What goes wrong inside stands in the check, and the next sync is looked at."""
    try:
        yield
    except RevetlError as e:
        said.problems.append(str(e))
        said.exit_code = exit_codes.worst([said.exit_code, e.exit_code])
