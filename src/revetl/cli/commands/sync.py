"""`revetl sync`: send what changed."""

from __future__ import annotations

import rich_click as click

from revetl.cli.numbers import whole_number
from revetl.cli.options import (
    ProjectOptions,
    allow_option,
    console,
    emit_json,
    err_console,
    full_refresh_option,
    json_option,
    project_options,
    select_options,
)
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="Send what changed to the destinations.")
@project_options
@select_options
@click.option("--dry-run", is_flag=True, help="Plan, and send nothing.")
@click.option("--limit", type=whole_number(), help="Send at most N records of each sync.")
@full_refresh_option
@allow_option
@click.option("--yes", is_flag=True, help="Do not ask before records are deleted.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes at most a few records are deleted.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    limit: int | None,
    full_refresh: bool,
    allow: tuple[str, ...],
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send what changed in the activation models since the last run, field by field.

    Ends with 1 where a record was rejected now or before and still waits, where its fate is not known, or where another
    run works on the sync; 3 where a guardrail stopped the run or a saga was undone, 4 where the destination refused the
    credentials, 130 after ctrl-C or SIGTERM: requests in flight are awaited and written down. Safe to repeat after any
    failure.
    """
    from revetl.cli.render.documents import report_document
    from revetl.cli.render.plans import show_plans
    from revetl.cli.render.reports import show_reports
    from revetl.sync import SyncOptions
    from revetl.usecases.ls import nothing_chosen
    from revetl.usecases.sync import agrees, asks_before_deleting, exit_code, sync

    project = options.load()
    with Terminal(wait_s) as terminal:
        ask = None if no_input or dry_run or as_json else terminal.delete_question()
        confirm = agrees if yes else asks_before_deleting(ask)
        wanted = SyncOptions(dry_run=dry_run, limit=limit, full_refresh=full_refresh, allow=allow, confirm=confirm)
        reports = sync(project, wanted, terminal.caller, select=select, exclude=exclude)
    if as_json:
        emit_json([report_document(r) for r in reports])
    elif not reports:
        err_console().print(nothing_chosen(project, select, exclude))
    elif dry_run:
        show_plans(console(), [r.plan for r in reports])
    else:
        show_reports(console(), reports)
    return exit_code(reports, wanted)
