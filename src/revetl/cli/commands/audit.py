"""`revetl audit`: who did what, when, from where, and why."""

from __future__ import annotations

import rich_click as click

from revetl.cli.numbers import whole_number
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="List who did what, and why.")
@project_options
@click.option("--actor", default="", metavar="NAME", help="Only what this user or holder of a token did.")
@click.option("--subject", default="", metavar="NAME", help="Only what was done to this sync, run, plan or waterfall.")
@click.option(
    "--limit", metavar="N", type=whole_number(most=10_000), default=50, show_default=True, help="Rows to show."
)
@wait_option
@json_option
def command(options: ProjectOptions, actor: str, subject: str, limit: int, wait_s: float, as_json: bool) -> None:
    """List the audit log, the newest first: acts of the command line, of the Python API, and of the service's API and
    page. A row is written before its act begins; `revetl runs` says what became of it."""
    from revetl.cli.render.access import show_audit
    from revetl.usecases.access import audit

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = audit(project, limit, terminal.caller, subject=subject, actor=actor)
    if as_json:
        emit_json(found)
    elif not found:
        echo("Nothing was done yet.")
    else:
        show_audit(console(), found)
