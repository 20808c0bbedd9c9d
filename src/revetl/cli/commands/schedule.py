"""`revetl schedule`: what runs next, what was missed, and why one waits."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="List scheduled runs: next, missed, waiting.")
@project_options
@wait_option
@json_option
def command(options: ProjectOptions, wait_s: float, as_json: bool) -> None:
    """List the schedules of syncs and waterfalls: their next times, what was missed in the last seven days, and why one
    waits. `revetl serve` runs them; where none serves, nothing is due.
    """
    from revetl.cli.render.schedules import show_schedules
    from revetl.usecases.schedule import view

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = view(project, terminal.caller)
    if as_json:
        emit_json(found)
    elif not found:
        echo('No sync and no waterfall has a `schedule:`. Such as: schedule: {cron: "15 5 * * *"}')
    else:
        show_schedules(console(), found)
