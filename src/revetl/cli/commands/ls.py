"""`revetl ls`: what the project declares."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    json_option,
    project_options,
    select_options,
)
from revetl.cli.output import echo
from revetl.cli.waiting import wait_option


@click.command(short_help="List what the project declares.")
@project_options
@select_options
@wait_option
@json_option
def command(
    options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], wait_s: float, as_json: bool
) -> None:
    """List syncs, waterfalls, providers and destinations. Selectors choose syncs."""
    from revetl.cli.render.declared import show_declared
    from revetl.cli.terminal import Terminal, note
    from revetl.errors import WarehouseError
    from revetl.usecases.ls import declared, orphans
    from revetl.usecases.renames import what_to_do

    project = options.load()
    listing = declared(project, select, exclude)
    try:
        left = orphans(project, Terminal(wait_s).caller)
    except WarehouseError as e:  # what is declared can be listed all the same
        left = []
        note(f"What the warehouse keeps was not looked at: {e}")
    if as_json:
        emit_json(listing | {"orphaned": left})
    else:
        show_declared(console(), listing)
        for orphan in left:
            echo(f"State of {orphan.sync}: {what_to_do(orphan)}")
    if not listing["syncs"]:
        note("No model declares a sync (config.meta.revetl), as far as `revetl build` has been told.")
