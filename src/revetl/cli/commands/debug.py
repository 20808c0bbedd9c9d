"""`revetl debug`: is everything there, and does it let us in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.errors import ConfigError, RevetlError

if TYPE_CHECKING:
    from revetl.project import Project


@dataclass(frozen=True, slots=True)
class Check:
    """`exit_code` is 0 where it passed, otherwise what a command that needs it would end with."""

    what: str
    detail: str
    exit_code: int = 0


@click.command(short_help="Check the set-up.")
@project_options
@json_option
def command(options: ProjectOptions, as_json: bool) -> int:
    """Check dbt, the warehouse, every destination (one cheap authenticated call) and every provider's key.

    Nothing is sent but that, and providers are not called: their calls cost money. Ends with 4 where credentials are
    refused, 2 where configuration is missing, 1 for anything else that does not work.
    """
    project = options.load()
    checks = list(_checks(project))
    if as_json:
        emit_json([{"check": c.what, "ok": c.exit_code == 0, "detail": c.detail} for c in checks])
    else:
        _print(project, checks)
    return max(c.exit_code for c in checks)


def _checks(project: Project) -> Iterator[Check]:
    yield _check("dbt", lambda: _dbt_versions(project))
    yield _check(f"warehouse ({project.profile.type})", lambda: _warehouse(project))
    yield _check("connectors", _connectors)
    for name in project.connections.names("destinations"):
        yield _check(f"destination {name}", partial(_destination, project, name))
    for vendor in dict.fromkeys(spec.vendor for spec in project.providers.values()):
        yield _check(f"provider {vendor}", partial(_provider, project, vendor))


def _check(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, look())
    except RevetlError as e:
        return Check(what, str(e), e.exit_code)


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


def _print(project: Project, checks: list[Check]) -> None:
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    screen.print(f"[bold]{escape(project.name)}[/] in {escape(str(project.root))}, target {escape(project.target)}")
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        table.add_row("[green]✓[/]" if check.exit_code == 0 else "[red]✗[/]", escape(check.what), escape(check.detail))
    screen.print(table)
