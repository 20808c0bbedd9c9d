"""`revetl retry`: let records that were refused be sent again."""

from __future__ import annotations

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    json_option,
    project_options,
    record_key,
    select_options,
)
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

# Why a record stands in the retry queue.
STATUSES = ("rejected", "skipped", "unknown", "rolled_back", "accepted")


@click.command(short_help="Send rejected records again.")
@project_options
@select_options
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    shell_complete=completing.run_ids,
    help="Only what waits since this run: its beginning, its last six characters, or `latest`.",
)
@click.option(
    "--key", "keys", metavar="RECORD", multiple=True, callback=record_key, help="Only this record. May be repeated."
)
@click.option("--code", "codes", multiple=True, help="Only refusals with this error code. May be repeated.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Only what waits for this reason. May be repeated. Default: what was refused.",
)
@click.option("--dry-run", is_flag=True, help="Show what waits and why, and send nothing.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    run_id: str | None,
    keys: tuple[str, ...],
    codes: tuple[str, ...],
    statuses: tuple[str, ...],
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send again what a destination refused, at once: without waiting for its row to change, or for its next try.

    A record whose creation could not be confirmed (unknown) is created anew: by retrying it you say that it is not
    there. What a rollback restored, or `drift --accept` kept, is sent only where its key, run or status is named.
    """
    from revetl.cli.render.documents import report_document
    from revetl.cli.render.reports import show_reports
    from revetl.cli.render.retry import show_waiting
    from revetl.sync.retry.queue import QueueFilter
    from revetl.usecases.retry import retry

    project = options.load()
    with Terminal(wait_s) as terminal:
        which = QueueFilter(keys, run_id, codes, statuses)
        report = retry(project, which, terminal.caller, select=select, exclude=exclude, dry_run=dry_run)
    if dry_run:
        emit_json(report.released) if as_json else show_waiting(console(), report.released)
    elif as_json:
        emit_json([report_document(r) for r in report.syncs])
    elif not report.syncs:
        echo("No record and no link waits.")
    else:
        show_reports(console(), report.syncs)
    return report.exit_code
