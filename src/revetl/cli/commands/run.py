"""`revetl run`: the whole job."""

from __future__ import annotations

import sys
from decimal import Decimal

import rich_click as click

from revetl.cli.options import (
    ProjectOptions,
    allow_option,
    console,
    emit_json,
    json_option,
    max_spend_option,
    project_options,
    select_options,
    threads_option,
)
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="The whole job.")
@project_options
@select_options
@max_spend_option("The most that providers may cost in this run, all waterfalls together.")
@click.option("--yes", is_flag=True, help="Spend within the budgets, and delete, without asking.")
@click.option(
    "--no-input",
    is_flag=True,
    help="Never ask; without --yes or --max-spend nothing is spent, and at most a few records are deleted.",
)
@click.option(
    "--full-refresh",
    is_flag=True,
    help="Rebuild incremental models from nothing, then send every record whole, and every link.",
)
@click.option("--no-build", is_flag=True, help="Send what is built: dbt has run already, here or elsewhere.")
@threads_option
@allow_option
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    max_spend: Decimal | None,
    yes: bool,
    no_input: bool,
    full_refresh: bool,
    no_build: bool,
    threads: int | None,
    allow: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> int:
    """Build, enrich, build what depends on it, sync.

    Selectors choose syncs; then only their models are built, with all that they read from. Before providers are asked,
    the cost is shown and agreed to: by answering, by --yes, or by --max-spend. Stopping it with ctrl-C loses nothing:
    what was sent is checkpointed.
    """
    from revetl.cli.render.builds import node_printer
    from revetl.cli.render.documents import job_document
    from revetl.cli.render.estimates import say_cost
    from revetl.cli.render.reports import show_job
    from revetl.usecases.job import JobRequest, run_job
    from revetl.usecases.sync import agrees, asks_before_deleting

    project = options.load()
    terminal = Terminal(wait_s)
    ask_deletes = None if no_input or as_json else terminal.delete_question()
    request = JobRequest(
        select=select,
        exclude=exclude,
        max_spend_usd=max_spend,
        full_refresh=full_refresh,
        builds=not no_build,
        threads=threads,
        allow=allow,
        agreed=yes or max_spend is not None,
        confirm=agrees if yes else asks_before_deleting(ask_deletes),
        ask=lambda: _go_on(may_ask=not no_input),
        on_estimates=say_cost,
        on_node=node_printer(),
    )
    with terminal:
        report = run_job(project, request, terminal.caller)
    if as_json:
        emit_json(job_document(report))
    else:
        show_job(console(), report)
    return report.exit_code


def _go_on(*, may_ask: bool) -> bool:
    if not may_ask or not sys.stdin.isatty():
        echo("  --yes or --max-spend agrees to it where nobody can be asked.", err=True)
        return False
    return click.confirm("  Go on?", err=True)
