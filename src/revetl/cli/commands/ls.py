"""`revetl ls`: what the project declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    err_console,
    json_option,
    project_options,
    select_options,
)

if TYPE_CHECKING:
    from revetl.project import Project


@click.command(short_help="List what the project declares.")
@project_options
@select_options
@json_option
def command(options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], as_json: bool) -> None:
    """List syncs, waterfalls, providers and destinations. Selectors choose syncs."""
    project = options.load()
    listing = _listing(project, select, exclude)
    if as_json:
        emit_json(listing)
        return
    for kind in ("syncs", "waterfalls", "providers", "destinations"):
        _print(kind, listing[kind])
    if not project.built:
        err_console().print("Syncs are known once the dbt project is built: `revetl build`.")


def _listing(project: Project, select: tuple[str, ...], exclude: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    # Before the first build everything but the syncs can be listed.
    syncs = project.syncs(select, exclude, verified=False) if project.built else []
    return {
        "syncs": [
            {
                "name": s.name,
                "destination": s.destination,
                "object": s.object,
                "mode": s.mode,
                "key": s.key,
                "match_on": s.match_on,
                "columns": list(s.sent_columns),
                "declared": s.where,
            }
            for s in syncs
        ],
        "waterfalls": [{"name": name, **_waterfall(w)} for name, w in project.waterfalls.items()],
        "providers": [{"name": name, "vendor": p.vendor} for name, p in project.providers.items()],
        "destinations": [
            {"name": name, **_destination(project.connections.destination_type(name))}
            for name in project.connections.names("destinations")
        ],
    }


def _destination(type_: str) -> dict[str, Any]:
    """`package` brings the connector; None where none that is installed does."""
    from revetl.destinations.registry import connectors

    connector = connectors().get(type_)
    return {"type": type_, "package": connector.package if connector else None}


def _waterfall(waterfall: Any) -> dict[str, Any]:
    return {"entity": waterfall.entity, "fields": list(waterfall.fields)}


def _print(kind: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    screen = console()
    screen.print(f"[bold]{kind}[/] ({len(rows)})")
    if not rows:
        return
    shown = [c for c in rows[0] if c not in ("columns", "declared")]
    table = Table(*shown, box=None, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(", ".join(map(str, v)) if isinstance(v, list) else str(v or "") for v in map(row.get, shown)))
    screen.print(table)
    screen.print()
