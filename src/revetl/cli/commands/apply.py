"""`revetl apply`: send a saved plan, exactly as it was. Guide: docs/guides/review-a-plan.md."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from revetl.cli.options import (
    ProjectOptions,
    allow_option,
    console,
    emit_json,
    json_option,
    notes_console,
    project_options,
)
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="Send a plan that `revetl plan --out` saved.")
@project_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@allow_option
@click.option("--yes", is_flag=True, help="Do not ask before records are deleted.")
@click.option("--no-input", is_flag=True, help="Never ask: naming the file agrees to its deletions.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    file: Path,
    allow: tuple[str, ...],
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send exactly what FILE planned, all of its syncs in their order.

    Refused before anything is sent: a plan that was altered (ends with 2), one that was applied already or is stale
    since a run or a recovery changed what is known (ends with 3). What changed in the model since the plan was made is
    not sent: the next sync does that. A plan that broke off is not taken up: make a new one of what remains.
    """
    from revetl.cli.render.documents import report_document
    from revetl.cli.render.reports import show_reports
    from revetl.sync import SyncOptions
    from revetl.usecases.apply import apply
    from revetl.usecases.exit_codes import of_reports
    from revetl.usecases.sync import agrees, asks_before_deleting

    project = options.load()
    with Terminal(wait_s) as terminal:
        ask = None if yes or no_input or as_json else terminal.delete_question()
        # Saving it was for looking at it: where nobody can be asked, naming the file agrees.
        wanted = SyncOptions(allow=allow, confirm=asks_before_deleting(ask) or agrees)
        reports = apply(project, file, wanted, terminal.caller)
    code = of_reports(reports)
    if as_json:
        emit_json([report_document(r) for r in reports])
    else:
        show_reports(console(), reports)
        if code == 0:
            notes_console().print("What changed in the models since the plan was made is sent by the next sync.")
    return code
