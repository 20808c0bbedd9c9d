"""`revetl debug`: is everything there, and does it let us in."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.waiting import wait_option


@click.command(short_help="Check the set-up.")
@project_options
@wait_option
@json_option
def command(options: ProjectOptions, wait_s: float, as_json: bool) -> int:
    """Check dbt, the warehouse, every destination (one cheap authenticated call) and every provider's key.

    Nothing is sent but that, and providers are not called: their calls cost money. Ends with 4 where credentials are
    refused, 2 where configuration is missing, 1 for anything else that does not work.
    """
    from revetl.cli.render.checks import show_checks
    from revetl.cli.render.documents import checks_document
    from revetl.cli.terminal import Terminal
    from revetl.usecases.debug import check_setup, exit_code

    project = options.load()
    checks = list(check_setup(project, Terminal(wait_s).caller))
    if as_json:
        emit_json(checks_document(checks))
    else:
        show_checks(console(), project, checks)
    return exit_code(checks)
