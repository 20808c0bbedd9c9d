"""`revetl tune`: which order of a waterfall's providers is the cheapest, by what the ledger knows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options

if TYPE_CHECKING:
    from revetl.enrich.ordering.compare import Comparison, Objective
    from revetl.enrich.ordering.history import History
    from revetl.enrich.waterfall import WaterfallSpec
    from revetl.project import Project

OBJECTIVES = ("coverage", "cost", "net", "budget")


@click.command(short_help="Find the cheapest order of a waterfall's providers from the ledger.")
@click.argument("waterfall")
@project_options
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Look at this field only. May be repeated.")
@click.option("--segment", metavar="SQL", help="Also by the values of this expression, such as country.")
@click.option("--days", type=click.IntRange(min=1), help="Only answers of the last so many days. Default: all.")
@click.option("--objective", type=click.Choice(OBJECTIVES), default="coverage", show_default=True, help="What is best.")
@click.option(
    "--at-least",
    type=click.FloatRange(0, 1),
    default=1.0,
    help="coverage: the share of what all providers together fill that has to be filled. Default: 1.",
)
@click.option("--value", "value_usd", type=click.FloatRange(min=0), metavar="USD", help="net: what one value is worth.")
@click.option("--budget", "budget_usd", type=click.FloatRange(min=0), metavar="USD", help="budget: for one record.")
@click.option(
    "--within",
    type=click.FloatRange(0.001, 0.5),
    default=0.05,
    show_default=True,
    help="Propose an audit that tells savings to within this share.",
)
@click.option("--plot", "plot_", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=".html or .svg.")
@click.option("--write", is_flag=True, help="Show the change to the waterfall's file, and make it when agreed to.")
@click.option("--yes", is_flag=True, help="With --write: agree to the change.")
@json_option
def command(
    waterfall: str,
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
    as_json: bool,
) -> None:
    """Compare the order of WATERFALL with the best one and with the usual ones: cost per accepted value, coverage, how
    sure that is. Reads the ledger; asks nobody.

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
    from revetl.cli.render.tuning import show
    from revetl.enrich.ordering.solve import MAX_CANDIDATES
    from revetl.errors import ConfigError

    project = options.load()
    spec = _named(project, waterfall, fields)
    aim = _objective(objective, at_least, value_usd, budget_usd)
    history = _history(project, spec, fields, segment, days)
    if len(history.candidates) > MAX_CANDIDATES:
        raise ConfigError(
            f"{spec.name} asks {len(history.candidates)} providers;"
            f" the most whose order can be solved are {MAX_CANDIDATES}",
            hint="Look at one field at a time with --field.",
        )
    comparison, segments = _compared(history, aim, within)
    if as_json:
        emit_json({"waterfall": spec.name, "objective": asdict(aim), **_document(comparison, segments, history)})
    else:
        show(console(), spec.name, history, comparison, segments, aim)
    if plot_ is not None:
        from revetl.enrich.ordering import plot

        draw = plot.html if plot_.suffix == ".html" else plot.svg
        plot_.write_text(draw(comparison, f"{spec.name}: what a filled blank costs"), encoding="utf-8")
        err_console().print(f"Drawn to {plot_}")
    if write:
        _write(project, spec, comparison, yes=yes)


def _named(project: Project, name: str, fields: tuple[str, ...]) -> WaterfallSpec:
    from revetl.errors import ConfigError, did_you_mean

    spec = project.waterfalls.get(name)
    if spec is None:
        raise ConfigError(f"no waterfall {name!r}", hint=did_you_mean(name, list(project.waterfalls)))
    for each in fields:
        if each not in spec.fields:
            raise ConfigError(f"{name} has no field {each!r}", hint=did_you_mean(each, list(spec.fields)))
    return spec


def _objective(kind: str, at_least: float, value_usd: float | None, budget_usd: float | None) -> Objective:
    from revetl.enrich.ordering.compare import Objective, ObjectiveKind

    for option, given, needed in (("--value", value_usd, "net"), ("--budget", budget_usd, "budget")):
        if (given is not None) != (kind == needed):
            raise click.UsageError(f"{option} and --objective {needed} go together.")
    if at_least < 1 and kind != "coverage":
        raise click.UsageError("--at-least goes with --objective coverage.")
    found: ObjectiveKind = next(k for k in get_args(ObjectiveKind) if k == kind)
    return Objective(found, at_least, value_usd or 0.0, budget_usd or 0.0)


def _history(
    project: Project, spec: WaterfallSpec, fields: tuple[str, ...], segment: str | None, days: int | None
) -> History:
    from datetime import timedelta

    from revetl.clock import SystemClock
    from revetl.enrich.ordering.history import HistoryFilter, read_history
    from revetl.enrich.selection.columns import check_columns
    from revetl.errors import ConfigError
    from revetl.state.schema import create_all

    warehouse = project.open_warehouse()
    try:
        create_all(warehouse)
        relation = project.relation(spec.entity)
        check_columns(warehouse, spec, relation)
        now = SystemClock().now()
        since = None if days is None else now - timedelta(days=days)
        only = HistoryFilter(segment=segment, fields=fields, since=since)
        history = read_history(warehouse, spec, project.providers, relation, now=now, only=only)
    finally:
        warehouse.close()
    if not history.asked_records:
        raise ConfigError(
            f"the ledger holds no answer for {spec.name}{'' if days is None else f' of the last {days} days'}:"
            " there is nothing to learn from",
            hint=f"Run it first: revetl enrich --waterfall {spec.name}",
        )
    return history


def _compared(history: History, aim: Objective, within: float) -> tuple[Comparison, list[Comparison]]:
    """All records, and each segment where there are several."""
    from revetl.enrich.ordering.compare import compare

    comparison = compare(history, history.asked_records, aim, within=within)
    if len(history.segments) < 2:
        return comparison, []
    parts = [
        compare(history, asked_records, aim, segment=name, within=within)
        for name, asked_records in history.segments.items()
    ]
    return comparison, parts


def _document(comparison: Comparison, parts: list[Comparison], history: History) -> dict[str, Any]:
    return {
        "fields": list(history.fields),
        "providers": [
            {"name": candidate.name, **asdict(price)}
            for candidate, price in zip(history.candidates, history.prices, strict=True)
        ],
        "all": _plain(comparison),
        "segments": [_plain(part) for part in parts],
    }


def _plain(comparison: Comparison) -> dict[str, Any]:
    """JSON has no infinity: a bound that is none is null."""
    document = {**asdict(comparison), "better": comparison.better}
    for line in document["lines"]:
        if line["bounds_usd"] is not None:
            line["bounds_usd"] = [None if usd == float("inf") else usd for usd in line["bounds_usd"]]
    return document


def _write(project: Project, spec: WaterfallSpec, comparison: Comparison, *, yes: bool) -> None:
    """Prints the diff on stdout; the file changes only when somebody agrees."""
    from revetl.enrich.ordering.rewrite import find, reorder

    screen = err_console()
    others = tuple(
        s.provider for s in spec.stages if s.provider not in {n for line in comparison.lines for n in line.order}
    )
    path = find(project.root / project.settings.enrichment / "waterfalls", spec.name)
    change = reorder(path, (*(comparison.by_rule or comparison.best), *others))
    if change.before == change.after:
        screen.print("The file has the best order already: nothing to write.")
        return
    click.echo(change.diff(project.root), nl=False)
    if not comparison.better and not comparison.by_rule:
        screen.print("[yellow]What this brings is within chance.[/]")
    if yes or click.confirm("Write it?", err=True):
        change.apply()
        screen.print(f"Written to {path}")
    else:
        screen.print("Nothing was written.")
