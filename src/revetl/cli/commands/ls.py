"""`revetl ls`: what the project declares."""

from __future__ import annotations

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


@click.command(short_help="List what the project declares.")
@project_options
@select_options
@json_option
def command(options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], as_json: bool) -> None:
    """List syncs, waterfalls, providers and destinations. Selectors choose syncs."""
    from revetl.cli.render.declared import show_declared
    from revetl.usecases.ls import declared

    project = options.load()
    listing = declared(project, select, exclude)
    if as_json:
        emit_json(listing)
        return
    show_declared(console(), listing)
    if not project.built:
        err_console().print("Syncs are known once the dbt project is built: `revetl build`.")
