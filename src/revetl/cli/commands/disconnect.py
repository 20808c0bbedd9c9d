"""`revetl disconnect`: leave a destination."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.sync.disconnect.disconnecting import DisconnectPlan


@click.command(short_help="Leave a destination: what stands there because of a sync, and its state.")
@project_options
@click.argument("sync", metavar="SYNC", shell_complete=completing.syncs)
@click.option("--leave", "way", flag_value="leave", default=True, help="Leave it as it stands. The default.")
@click.option(
    "--clear", "way", flag_value="clear", help="Give fields that we wrote what stood before; remove our links."
)
@click.option(
    "--archive",
    "way",
    flag_value="archive",
    help="Archive what we created, if its fields of SYNC stand as we sent them.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write which record each key is: .csv or .ndjson.",
)
@click.option("--reconnect", is_flag=True, help="Let runs send a disconnected sync again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is changed.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    sync: str,
    way: str,
    mapping: Path | None,
    reconnect: bool,
    yes: bool,
    no_input: bool,
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """End SYNC cleanly: an old one too, that no model declares any more.

    Shows what stands at the destination because of it: records that it created, fields that it wrote on records of
    others, links that it made. Then nothing is sent of it any more, and its state goes: snapshot, links, what waits,
    saved plans, its exposure. What its runs did stays in `revetl runs`.

    What somebody has edited since is left, whichever way is chosen. Only the fields of SYNC are looked at: a record
    that it created is archived though a person has filled another field, or linked it to a deal.

    Safe to repeat: killed anywhere, the same command goes on. Ends with 1 where something was refused or not answered;
    the state stays then, for the next try.
    """
    from revetl.cli.render.disconnect import show_disconnect, show_disconnect_plan
    from revetl.cli.render.documents import disconnect_document
    from revetl.sync.disconnect.disconnecting import DisconnectOptions
    from revetl.sync.disconnect.taking_back import Leaving
    from revetl.usecases import disconnect
    from revetl.usecases.exit_codes import of_reports

    if reconnect and (way != "leave" or mapping or dry_run):
        raise click.UsageError("--reconnect goes with no other way.")
    if as_json and not (yes or dry_run or reconnect):
        raise click.UsageError("--json can't ask: add --yes or --dry-run.")
    project = options.load()
    with Terminal(wait_s) as terminal:
        if reconnect:
            done = disconnect.reconnect(project, sync, terminal.caller)
            if as_json:
                emit_json(done)
            else:
                said = "runs send it again" if done.was else "it was not disconnected"
                console().print(f"[bold]{done.sync}[/]: {said}")
            return 0

        def ask(plan: DisconnectPlan) -> bool:
            if not as_json:
                show_disconnect_plan(console(), plan)
            return yes or _asked(plan, may_ask=not no_input)

        wanted = DisconnectOptions(
            way=Leaving(way), mapping=mapping, dry_run=dry_run, confirm=terminal.without_bars(ask)
        )
        report = disconnect.leave(project, sync, wanted, terminal.caller)
    if as_json:
        emit_json(disconnect_document(report))
    elif dry_run and not report.already:
        show_disconnect_plan(console(), report.plan)
    else:
        show_disconnect(console(), report, mapping)
    return of_reports([report])


def _asked(plan: DisconnectPlan, *, may_ask: bool) -> bool:
    if not (may_ask and sys.stdin.isatty()):
        echo("--yes agrees to it where nobody can be asked.", err=True)
        return False
    return click.confirm(f"Disconnect {plan.sync}?", err=True)
