"""`revetl build`: dbt build, with the state tables that its models read made first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from revetl.errors import WarehouseBusy, WarehouseError
from revetl.project.dbt import BuildResult, DbtFailed, NodeResult, run_dbt
from revetl.state.schema import create_all

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.usecases.caller import Caller

STARTER = "revetl_starter"  # as its dbt_project.yml names it
_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """`select` and `exclude` go to dbt as they are. `full_refresh`: incremental models are rebuilt from nothing.
    `threads`: None is what the profile says. `unit_tests` False leaves out dbt's unit tests, which say whether the SQL
    is right and nothing about the data.
    `on_node` hears of every node as dbt is done with it."""

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    full_refresh: bool = False
    unit_tests: bool = True
    threads: int | None = None
    on_node: Callable[[NodeResult], None] | None = None

    @property
    def arguments(self) -> list[str]:
        """dbt's own flags."""
        found: list[str] = []
        for flag, words in (("--select", self.select), ("--exclude", self.exclude)):
            found += [flag, *words] if words else []
        found += ["--full-refresh"] if self.full_refresh else []
        found += ["--threads", str(self.threads)] if self.threads else []
        return found + ([] if self.unit_tests else ["--exclude-resource-type", "unit_test"])


def build(project: Project, request: BuildRequest, caller: Caller) -> BuildResult:
    """Creates the state tables, then runs `dbt build`. Safe to repeat. A DuckDB file that another process has open is
    waited for, and waited for again where one took it just before dbt did, which can't wait itself.

    No connection to a DuckDB warehouse may be open. Raises DbtFailed with the failed nodes named, and the sources that
    are not there, ConfigError and WarehouseError.
    """
    deadline = caller.clock.monotonic() + caller.wait_s
    while True:
        waiting = replace(caller, wait_s=max(0.0, deadline - caller.clock.monotonic()))
        with waiting.warehouse(project) as warehouse:
            create_all(warehouse)
        try:
            with project.building() as dbt:
                return run_dbt("build", dbt, arguments=request.arguments, on_node=request.on_node)
        except DbtFailed as e:
            # It ran no node, so nothing is done twice.
            taken = None if e.failed else _held_by_another(project)
            if taken is None:
                if cure := _missing_sources(project):
                    raise DbtFailed(f"{e}\n{cure}", e.failed) from None
                raise
            if caller.clock.monotonic() >= deadline:
                raise DbtFailed(f"{e}\n{taken}") from None


def _held_by_another(project: Project) -> WarehouseBusy | None:
    """Who has the file, now that dbt has ended. That it is held is seen, and not read out of dbt's text."""
    try:
        project.open_warehouse().close()
    except WarehouseBusy as e:
        return e
    return None


def _missing_sources(project: Project) -> str | None:
    """What to do where a build failed since a table is not there that other software fills; None where all are."""
    manifest = project.artifacts.parsed_before()
    if manifest is None or not (declared := manifest.sources()):
        return None
    try:
        with closing(project.open_warehouse()) as warehouse:
            missing = [source for source in declared if warehouse.kind(source) is None]
    except WarehouseError:
        return None  # dbt has said what is wrong with it
    if not missing:
        return None
    names = [f"{source.schema}.{source.name}" for source in missing]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    said = (
        f"Not in the warehouse: {', '.join(names[:_NAMED])}{more}. Load them, or say in the sources' yml where they are"
    )
    if manifest.project_name == STARTER:
        return f"{said}; `revetl sandbox generate -t {project.target}` makes some to play with."
    return f"{said}."
