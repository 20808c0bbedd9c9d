"""`revetl rollback`: take back what a run wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options, record_key
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.sync.rollback.rolling_back import RollbackPlan


@click.command(short_help="Take back what a run wrote, field by field.")
@project_options
@click.argument("run_id", metavar="RUN", shell_complete=completing.run_ids)
@click.option(
    "--sync",
    "only",
    metavar="SYNC",
    shell_complete=completing.syncs,
    help="Of what RUN names, or belongs to: only this sync.",
)
@click.option(
    "--key", "keys", metavar="RECORD", multiple=True, callback=record_key, help="Only this record. May be repeated."
)
@click.option("--archive-created", is_flag=True, help="Archive what the run created, if nobody has touched it since.")
@click.option("--recreate-archived", is_flag=True, help="Make anew what the run archived, with a new id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is changed.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and send nothing.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    run_id: str,
    only: str | None,
    keys: tuple[str, ...],
    archive_created: bool,
    recreate_archived: bool,
    yes: bool,
    no_input: bool,
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Restore what RUN overwrote: an id that `revetl runs` lists, its beginning or its last characters (six do), or
    `latest`, the last one that wrote anything. The id of a `revetl run` takes back all of its syncs; that of one sync
    says which others belong to it.

    Every record is read first. What still stands as the run wrote it gets back what stood before; what somebody has
    edited since, or a later run has written, is left. The plan is shown before anything is sent: what comes back, what
    is left and why, and what can't be taken back (archived records, links). Safe to repeat; a rollback is a run and
    can be rolled back.

    What was rolled back is not sent again by the next sync: it waits until its row changes, or for
    `revetl retry --status rolled_back`.
    """
    from revetl.cli.render.documents import rollback_document
    from revetl.cli.render.rollback import show_rollback_plans, show_rollbacks
    from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions
    from revetl.usecases.exit_codes import of_reports
    from revetl.usecases.rollback import rollback

    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask: add --yes or --dry-run.")
    project = options.load()
    with Terminal(wait_s) as terminal:
        ask = _shown_and_asked(agreed=yes, may_ask=not no_input)
        agree = None if as_json or dry_run else terminal.without_bars(ask)
        choices = RollbackChoices(keys, archive_created, recreate_archived)
        wanted = RollbackOptions(dry_run=dry_run)
        reports = rollback(project, run_id, choices, wanted, terminal.caller, sync=only, agree=agree)
    if as_json:
        emit_json([rollback_document(r) for r in reports])
    else:
        if dry_run or not any(report.plan.changes for report in reports):  # nothing was asked
            show_rollback_plans(console(), [report.plan for report in reports])
        if not dry_run:
            show_rollbacks(console(), reports)
    return of_reports(reports)


def _shown_and_asked(*, agreed: bool, may_ask: bool) -> Callable[[Sequence[RollbackPlan]], bool]:
    def ask(plans: Sequence[RollbackPlan]) -> bool:
        from revetl.cli.render.rollback import show_rollback_plans

        show_rollback_plans(console(), plans)
        if agreed:
            return True
        if not (may_ask and sys.stdin.isatty()):
            echo("--yes agrees to it where nobody can be asked.", err=True)
            return False
        return click.confirm("Send it?", err=True)

    return ask
