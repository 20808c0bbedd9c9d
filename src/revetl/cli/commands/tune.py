"""`revetl tune`: which order of a waterfall's providers is the cheapest, by what the ledger knows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import rich_click as click

from revetl.cli import completing
from revetl.cli.numbers import MOST_DAYS, MOST_USD, FiniteRange, whole_number
from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.enrich.ordering.compare import Objective
    from revetl.project import Project
    from revetl.usecases.tune import Tuning

OBJECTIVES = ("coverage", "cost", "net", "budget")


@click.command(short_help="Find the cheapest order of a waterfall's providers from the ledger.")
@click.argument("waterfall", shell_complete=completing.waterfalls)
@click.argument("file", required=False)
@project_options
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Look at this field only. May be repeated.")
@click.option("--segment", metavar="SQL", help="Also by the values of this expression, such as country.")
@click.option("--days", type=whole_number(most=MOST_DAYS), help="Only answers of the last so many days. Default: all.")
@click.option("--objective", type=click.Choice(OBJECTIVES), default="coverage", show_default=True, help="What is best.")
@click.option(
    "--at-least",
    type=FiniteRange(0, 1),
    default=1.0,
    help="coverage: the share of what all providers together fill that has to be filled. Default: 1.",
)
@click.option(
    "--value", "value_usd", type=FiniteRange(0, MOST_USD), metavar="USD", help="net: what one value is worth."
)
@click.option("--budget", "budget_usd", type=FiniteRange(0, MOST_USD), metavar="USD", help="budget: for one record.")
@click.option(
    "--within",
    type=FiniteRange(0.001, 0.5),
    default=0.05,
    show_default=True,
    help="Propose an audit that tells savings to within this share.",
)
@click.option("--plot", "plot_", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=".html or .svg.")
@click.option("--write", is_flag=True, help="Show the change to the waterfall's file, and make it when agreed to.")
@click.option("--yes", is_flag=True, help="With --write: agree to the change.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is written.")
@wait_option
@json_option
def command(
    waterfall: str,
    file: str | None,
    options: ProjectOptions,
    fields: tuple[str, ...],
    segment: str | None,
    days: int | None,
    objective: str,
    at_least: float,
    value_usd: float | None,
    budget_usd: float | None,
    within: float,
    plot_: Path | None,
    write: bool,
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> None:
    """Compare the order of WATERFALL with the best one and with the usual ones: cost per accepted value, coverage, how
    sure that is. Reads the ledger; asks nobody. Over the records of the model, or of the list in FILE, which needs no
    model.

    Objectives: coverage, the lowest cost at which as much is filled as by all providers together; cost, the lowest cost
    per value, however few; net, the most value less cost (--value); budget, the most values for a sum per record
    (--budget).

    Under one order the ledger shows a later provider only what the earlier ones missed, so what another order would
    find can't be told from it. Put `audit: {share: 0.02}` into the waterfall, and that share of its records is asked of
    everybody, within the budgets.
    """
    if plot_ is not None and plot_.suffix not in (".html", ".svg"):
        raise click.UsageError("--plot takes a file that ends with .html or .svg.")
    if write and fields:
        raise click.UsageError("--write changes the order for all fields: leave --field out.")
    from revetl.cli.render.documents import tuning_document
    from revetl.cli.render.tuning import draw, show_tuning
    from revetl.usecases.tune import TuneRequest, tune

    aim = _objective(objective, at_least, value_usd, budget_usd)
    project = options.load()
    request = TuneRequest(objective=aim, fields=fields, segment=segment, days=days, within=within)
    if file is not None:
        request = replace(request, list_file=file, stdin=sys.stdin.buffer)
    with Terminal(wait_s) as terminal:
        tuning = tune(project, waterfall, request, terminal.caller)
    if not as_json:
        show_tuning(console(), tuning, aim)
    if plot_ is not None:
        draw(plot_, tuning)
        err_console().print(f"Drawn to {plot_}")
    if write:
        _write(project, tuning, yes=yes, may_ask=not no_input, as_json=as_json)
    if as_json:  # last: what fails before it is the one document
        emit_json(tuning_document(tuning, aim))


def _objective(kind: str, at_least: float, value_usd: float | None, budget_usd: float | None) -> Objective:
    from revetl.enrich.ordering.compare import Objective, ObjectiveKind

    for option, given, needed in (("--value", value_usd, "net"), ("--budget", budget_usd, "budget")):
        if (given is not None) != (kind == needed):
            raise click.UsageError(f"{option} and --objective {needed} go together.")
    if at_least < 1 and kind != "coverage":
        raise click.UsageError("--at-least goes with --objective coverage.")
    found: ObjectiveKind = next(k for k in get_args(ObjectiveKind) if k == kind)
    return Objective(found, at_least, value_usd or 0.0, budget_usd or 0.0)


def _write(project: Project, tuning: Tuning, *, yes: bool, may_ask: bool, as_json: bool) -> None:
    """Prints the diff on stdout, beside a document on stderr; the file changes only when somebody agrees."""
    from revetl.usecases.tune import rewritten

    screen = err_console()
    change = rewritten(project, tuning)
    if change.before == change.after:
        screen.print("The file has the best order already: nothing to write.")
        return
    echo(change.diff(project.root), nl=False, err=as_json)
    if not tuning.whole.better and not tuning.whole.by_rule:
        screen.print("[yellow]What this brings is within chance.[/]")
    if yes or (may_ask and click.confirm("Write it?", err=True)):
        change.apply()
        screen.print(f"Written to {change.path}")
    else:
        screen.print("Nothing was written.")
