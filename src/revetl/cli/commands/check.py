"""`revetl check`: the project as it is now, held against the warehouse and the destinations."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import ProjectOptions, emit_json, json_option, project_options, select_options
from revetl.cli.output import echo
from revetl.cli.waiting import wait_option


@click.command(short_help="Hold each sync against the warehouse and its destination.")
@project_options
@select_options
@wait_option
@json_option
def command(
    options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], wait_s: float, as_json: bool
) -> int:
    """Let dbt parse the project where it changed, then look at each sync: did its model build and pass its tests, are
    its columns in the warehouse, are there such fields at the destination, and are the types theirs. Sends nothing.

    Ends with 2 where a file is to be mended, 3 where a model failed, 4 where credentials are refused.
    """
    from revetl.cli.terminal import Terminal
    from revetl.usecases.check import check, exit_code

    checks = check(options.load(), Terminal(wait_s).caller, select=select, exclude=exclude)
    if as_json:
        emit_json(checks)
        return exit_code(checks)
    for found in checks:
        echo(f"{'✗' if found.problems else '✓'} {found.sync}: {found.sends}")
        for line in (*found.problems, *found.notes):
            echo("\n".join(f"    {part}" for part in line.splitlines()))
    if not checks:
        echo("No model declares a sync: `revetl scaffold MODEL --to crm.contacts` drafts one.", err=True)
    return exit_code(checks)
