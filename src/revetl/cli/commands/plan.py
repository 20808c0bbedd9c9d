"""`revetl plan`: exactly what a sync would change; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.numbers import MOST, whole_number
from revetl.cli.options import (
    ProjectOptions,
    console,
    err_console,
    full_refresh_option,
    json_option,
    project_options,
    record_key,
    select_options,
)
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.usecases.plan import LineFilter, Planned


def _rows(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    if value is None or value == "all":
        return None if value is None else 0
    if not value.isdecimal() or not 1 <= int(value) <= MOST:
        raise click.BadParameter(f"{value!r} is neither a number nor `all`")
    return int(value)


@click.command(short_help="Show exactly what a sync would change, and send nothing.")
@project_options
@select_options
@click.option("--limit", metavar="N", type=whole_number(), help="Plan at most N records of each sync.")
@full_refresh_option
@click.option("--rows", callback=_rows, metavar="N|all", help="Show this many lines, with every field.")
@click.option("--field", "fields", multiple=True, help="Show lines that change this field. May be repeated.")
@click.option(
    "--show", "keys", multiple=True, metavar="RECORD", callback=record_key, help="Show this record. May be repeated."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `revetl apply`.")
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
@click.option(
    "--samples", metavar="N", type=whole_number(0), help="Sample lines of each kind. Default: 3; markdown: none."
)
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there are changes, 0 where there are none.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: int | None,
    full_refresh: bool,
    rows: int | None,
    fields: tuple[str, ...],
    keys: tuple[str, ...],
    out: Path | None,
    form: str,
    samples: int | None,
    detailed_exitcode: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Compare the activation models with what the destinations are known to hold, and look up what is new there.

    create: is not there yet. adopt: is there, and new to us. update, delete, same: as they say. matched: is there and
    equal. withheld: not sent, with the reason. waiting: was refused before. The lines stand in the table plan__<sync>
    until the next plan. --show takes a key or its beginning, an email, or an id of the destination. A sync that can't
    be planned is named with its error after the plans of the others. Ends with the code of the gravest error, with 4
    where the account would refuse what is planned, and with 3 where a guardrail would stop a sync.
    """
    from revetl.sync import SyncOptions
    from revetl.usecases.ls import nothing_chosen
    from revetl.usecases.plan import LineFilter, planned

    wanted = SyncOptions(limit=limit, full_refresh=full_refresh)
    project = options.load()
    with (
        Terminal(wait_s) as terminal,
        planned(
            project, wanted, terminal.caller, select=select, exclude=exclude, fields=fields, records=keys, out=out
        ) as plans,
    ):
        lines = LineFilter(rows, plans.keys, fields)
        if not plans.syncs:
            err_console().print(nothing_chosen(project, select, exclude))
        _show(plans, lines, "json" if as_json else form, samples, project.target)
    return plans.exit_code(tells_differences=detailed_exitcode)


def _show(plans: Planned, lines: LineFilter, form: str, samples: int | None, target: str) -> None:
    from revetl.cli.failures import failure_of

    if form == "json":
        from revetl.cli.render.plans_json import emit_plans

        emit_plans(plans, lines)
    elif form == "markdown":
        from revetl.cli.render.plans_markdown import markdown

        echo(markdown(plans.summaries, target=target, samples=samples or 0, errors=plans.errors))
    else:
        from revetl.cli.render.plans import show_plan_lines, show_plans

        show_plans(console(), plans.summaries, samples=0 if lines.wanted else 3 if samples is None else samples)
        if lines.wanted:
            show_plan_lines(console(), plans, lines)
    if form != "json":
        for sync, error in plans.errors.items():
            echo(f"{sync} could not be planned. {failure_of(error).text()}", err=True)
