"""`revetl alerts`: incidents, a check now, a try of the channels."""

from __future__ import annotations

import rich_click as click

from revetl.cli.numbers import whole_number
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.group(short_help="List incidents, check for them now, try a channel.")
def command() -> None:
    """What is wrong and who was told, as alerts.yml beside revetl.yml asks for. `revetl serve` checks by itself."""


@command.command("list")
@project_options
@click.option("--limit", metavar="N", type=whole_number(), default=20, show_default=True, help="Incidents to show.")
@wait_option
@json_option
def list_(options: ProjectOptions, limit: int, wait_s: float, as_json: bool) -> None:
    """List the newest incidents, those that are over among them."""
    from revetl.cli.render.alerts import show_incidents
    from revetl.usecases.alerts import incidents

    project = options.load()
    with Terminal(wait_s) as terminal:
        found = incidents(project, terminal.caller, limit)
    if as_json:
        emit_json(found)
    elif not found:
        echo("No incident yet.")
    else:
        show_incidents(console(), found)


@command.command("check")
@project_options
@wait_option
@json_option
def check_(options: ProjectOptions, wait_s: float, as_json: bool) -> int:
    """Look what is wrong now, and tell each incident once when it begins and once when it is over. For cron users,
    after each run. Ends with 0 although something is wrong: that was told; 1 where a channel did not take it.
    """
    from revetl.cli.render.alerts import show_check
    from revetl.usecases.alerts import check

    project = options.load()
    with Terminal(wait_s) as terminal:
        done = check(project, terminal.caller)
    emit_json(done) if as_json else show_check(console(), done)
    return done.exit_code


@command.command("test")
@project_options
@click.argument("channels", nargs=-1, metavar="[CHANNEL]…")
@json_option
def test_(options: ProjectOptions, channels: tuple[str, ...], as_json: bool) -> int:
    """Send a message that says it is a test through each channel of alerts.yml, or through those named. Ends with 1
    where one did not take it.
    """
    from revetl.usecases.alerts import try_channels

    project = options.load()
    with Terminal() as terminal:
        found = try_channels(project, terminal.caller, channels)
    if as_json:
        emit_json(found)
    elif not found:
        echo("alerts.yml declares no channel.")
    else:
        for name, error in found.items():
            echo(f"{name}: {error or 'took it'}")
    return int(any(error is not None for error in found.values()))
