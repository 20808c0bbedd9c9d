"""`revetl debug`: is everything there, and does it let us in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, RevetlError
from revetl.usecases import exit_codes

if TYPE_CHECKING:
    from revetl.project import Project


@dataclass(frozen=True, slots=True)
class SetupCheck:
    """`exit_code` is 0 where it passed, otherwise what a command that needs it would end with."""

    what: str
    detail: str
    exit_code: int = 0

    @property
    def passed(self) -> bool:
        return self.exit_code == 0


def check_setup(project: Project) -> Iterator[SetupCheck]:
    """dbt, the warehouse, every destination (one cheap authenticated call) and every provider's key, one by one as they
    are done. Providers are not called: their calls cost money. A check that fails raises nothing."""
    yield _check("dbt", lambda: _dbt_versions(project))
    yield _check(f"warehouse ({project.profile.type})", lambda: _warehouse(project))
    yield _check("connectors", _connectors)
    for name in project.connections.names("destinations"):
        yield _check(f"destination {name}", partial(_destination, project, name))
    for vendor in dict.fromkeys(spec.vendor for spec in project.providers.values()):
        yield _check(f"provider {vendor}", partial(_provider, project, vendor))


def exit_code(checks: Iterable[SetupCheck]) -> int:
    return exit_codes.worst(check.exit_code for check in checks)


def _check(what: str, look: Callable[[], str]) -> SetupCheck:
    try:
        return SetupCheck(what, look())
    except RevetlError as e:
        return SetupCheck(what, str(e), e.exit_code)


def _dbt_versions(project: Project) -> str:
    """From the installed packages: importing dbt to ask it takes seconds."""
    found = []
    for package in ("dbt-core", f"dbt-{project.profile.type}"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            hint = f"pip install 'revetl[{project.profile.type}]'"
            raise ConfigError(f"{package} is not installed", hint=hint) from None
    return ", ".join(found)


def _warehouse(project: Project) -> str:
    warehouse = project.open_warehouse()
    try:
        warehouse.rows("SELECT 1")
    finally:
        warehouse.close()
    return f"target {project.target} opens"


def _connectors() -> str:
    """The types that connections.yml may name; of those that come with another package, which one."""
    from revetl.destinations.registry import connectors

    return ", ".join(c.type if c.entry is None else f"{c.type} ({c.brought_by})" for c in connectors().values())


def _destination(project: Project, name: str) -> str:
    async def check() -> str:
        async with project.destination(name) as destination:
            return await destination.check()

    return asyncio.run(check())


def _provider(project: Project, vendor: str) -> str:
    account = project.connections.provider_account(vendor)
    return f"key present, {account.base_url or 'the vendor’s own address'}"
