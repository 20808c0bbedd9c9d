"""`revetl tune`: which order of a waterfall's providers is the cheapest, by what the ledger knows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click

from revetl.cli.common import ProjectOptions, console, emit_json, err_console, json_option, project_options

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.enrich.order.compare import Comparison, Line, Objective
    from revetl.enrich.order.estimate import Figure
    from revetl.enrich.order.learn import History
    from revetl.enrich.spec import WaterfallSpec
    from revetl.project import Project

OBJECTIVES = ("coverage", "cost", "net", "budget")
SHOWN_SEGMENTS = 12


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
    from revetl.enrich.order.solve import MOST_ARMS
    from revetl.errors import ConfigError

    project = options.load()
    spec = _named(project, waterfall, fields)
    aim = _objective(objective, at_least, value_usd, budget_usd)
    history = _history(project, spec, fields, segment, days)
    if len(history.arms) > MOST_ARMS:
        raise ConfigError(
            f"{spec.name} asks {len(history.arms)} providers; the most whose order can be solved are {MOST_ARMS}",
            hint="Look at one field at a time with --field.",
        )
    told, parts = _compared(history, aim, within)
    if as_json:
        emit_json({"waterfall": spec.name, "objective": asdict(aim), **_document(told, parts, history)})
    else:
        _show(console(), spec.name, history, told, parts, aim)
    if plot_ is not None:
        from revetl.enrich.order import plot

        draw = plot.html if plot_.suffix == ".html" else plot.svg
        plot_.write_text(draw(told, f"{spec.name}: what a filled blank costs"), encoding="utf-8")
        err_console().print(f"Drawn to {plot_}")
    if write:
        _write(project, spec, told, yes=yes)


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
    from revetl.enrich.order.compare import Objective, ObjectiveKind

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
    from revetl.enrich.engine import check_columns
    from revetl.enrich.order.learn import learn
    from revetl.errors import ConfigError
    from revetl.state.schema import create_all

    warehouse = project.open_warehouse()
    try:
        create_all(warehouse)
        relation = project.relation(spec.entity)
        check_columns(warehouse, spec, relation)
        now = SystemClock().now()
        since = None if days is None else now - timedelta(days=days)
        history = learn(
            warehouse, spec, project.providers, relation, now=now, segment=segment, fields=fields, since=since
        )
    finally:
        warehouse.close()
    if not history.cases:
        raise ConfigError(
            f"the ledger holds no answer for {spec.name}{'' if days is None else f' of the last {days} days'}:"
            " there is nothing to learn from",
            hint=f"Run it first: revetl enrich --waterfall {spec.name}",
        )
    return history


def _compared(history: History, aim: Objective, within: float) -> tuple[Comparison, list[Comparison]]:
    """All records, and each segment where there are several."""
    from revetl.enrich.order.compare import compare

    told = compare(history, history.cases, aim, within=within)
    if len(history.segments) < 2:
        return told, []
    parts = [compare(history, cases, aim, segment=name, within=within) for name, cases in history.segments.items()]
    return told, parts


def _document(told: Comparison, parts: list[Comparison], history: History) -> dict[str, Any]:
    return {
        "fields": list(history.fields),
        "providers": [
            {"name": arm.name, **asdict(price)} for arm, price in zip(history.arms, history.prices, strict=True)
        ],
        "all": _plain(told),
        "segments": [_plain(part) for part in parts],
    }


def _plain(told: Comparison) -> dict[str, Any]:
    """JSON has no infinity: a bound that is none is null."""
    document = {**asdict(told), "better": told.better}
    for line in document["lines"]:
        if line["bounds_usd"] is not None:
            line["bounds_usd"] = [None if usd == float("inf") else usd for usd in line["bounds_usd"]]
    return document


def _show(
    screen: Console, name: str, history: History, told: Comparison, parts: list[Comparison], aim: Objective
) -> None:
    from rich.table import Table

    places = {arm.name: i for i, arm in enumerate(history.arms, 1)}
    screen.print(f"[bold]{name}[/]: {', '.join(history.fields)}")
    screen.print(f"{told.records:,.0f} records were asked of somebody; {told.audited:,.0f}, drawn by lot, of all.")
    screen.print("± is one side of a 95% interval.\n")
    table = Table(box=None, pad_edge=False)
    table.add_column("order", no_wrap=True)
    for heading in ("cost per value", "filled", "value cheaper by"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("asks", overflow="fold")
    for line in told.lines:
        asks = "all orders" if line.label == "random" else _order(line.order, places) or "nobody"
        table.add_row(line.label, *_cells(line), asks)
    screen.print(table)
    screen.print()
    _show_providers(screen, history)
    screen.print()
    for sentence in _verdict(told, aim, places):
        screen.print(sentence)
    if parts:
        _show_segments(screen, parts, places)


def _show_providers(screen: Console, history: History) -> None:
    """Rates are of those that were asked: under a cascade, of what the earlier ones left."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("provider", overflow="fold")
    for heading in ("asked", "found", "useful", "a call", "a hit, more"):
        table.add_column(heading, justify="right", no_wrap=True)
    for i, (arm, price) in enumerate(zip(history.arms, history.prices, strict=True)):
        known = [(c.weight, r) for c in history.cases if (r := c.replies[i]) is not None and r.able]
        asked = sum(weight for weight, _ in known)
        found, useful = (
            f"{sum(weight for weight, r in known if good(r)) / asked:.0%}" if asked else ""
            for good in (lambda r: r.hit, lambda r: bool(r.fills))
        )
        prices = (f"${price.per_call:.4g}", f"${price.per_hit:.4g}")
        table.add_row(str(i + 1), arm.name, f"{asked:,.0f}", found, useful, *prices)
    screen.print(table)


def _cells(line: Line) -> tuple[str, str, str]:
    if line.usd_per_value is None or line.coverage is None:
        if line.bounds_usd is None:
            return "", "not identified", ""
        low, high = line.bounds_usd
        return f"${low:.3f} to {'any' if high == float('inf') else f'${high:.3f}'}", "not identified", ""
    cost, share = line.usd_per_value, line.coverage
    around = f"${cost.value:.3f} ±{_half(cost):.3f}"
    return around, f"{share.value:.1%} ±{_half(share):.1%}", "" if line.saved is None else _short(line.saved)


def _half(figure: Figure) -> float:
    """Of the 95 % interval, one side."""
    return (figure.high - figure.low) / 2


def _short(figure: Figure) -> str:
    return f"{figure.value:.1%} ±{_half(figure):.1%}"


def _percent(figure: Figure) -> str:
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


def _order(order: tuple[str, ...], places: dict[str, int]) -> str:
    return "→".join(str(places[name]) for name in order)


def _verdict(told: Comparison, aim: Objective, places: dict[str, int]) -> list[str]:
    found: list[str] = []
    today = told.lines[0].order
    best = " → ".join(told.best) or "asking nobody"
    if told.identified:
        if told.best == today:
            found.append("Today's order is the best.")
        elif told.gain is not None:
            gain = _gain(told.gain, aim)
            found.append(f"Best: [bold]{best}[/].")
            found.append(f"On records that it was not chosen on it brings {gain}.")
            if not told.better:
                found.append("[yellow]That is within chance: no reason to change anything yet.[/]")
    else:
        why = (
            f"{told.incomplete:,.0f} drawn records are not asked of everybody yet"
            if told.incomplete and told.audited
            else f"only {told.audited:,.0f} records were asked of everybody"
        )
        found.append(f"[yellow]Other orders can't be told from this ledger[/] ({why}); where to stop can.")
        if told.by_rule and told.by_rule != today:
            found.append(
                "But everybody is paid by the hit alone, and every hit counted: then ascending price is the cheapest "
                f"order, whoever knows what: [bold]{' → '.join(told.by_rule)}[/]."
            )
        if told.best != today:
            found.append(f"Best stop in today's order: [bold]{best}[/].")
            if told.gain is not None:
                found.append(f"On records that it was not chosen on it brings {_gain(told.gain, aim)}.")
    if told.audit is not None and told.audit.more:
        found += _audit(told)
    return found


def _gain(figure: Figure, aim: Objective) -> str:
    if aim.kind == "net":
        return f"${figure.value:.4f} more per record (${figure.low:.4f} to ${figure.high:.4f})"
    if aim.kind == "budget":
        return f"{figure.value:+.3f} values per record ({figure.low:+.3f} to {figure.high:+.3f})"
    return f"{_percent(figure)} off the cost of a value"


def _audit(told: Comparison) -> list[str]:
    plan = told.audit
    if plan is None:
        return []
    if plan.share > 1:
        return [f"These are too few records to tell savings to within {plan.within:.0%}: it takes {plan.records:,}."]
    return [
        f"To tell savings to within {plan.within:.0%}, have {plan.records:,} records asked of everybody, for about "
        f"${plan.usd:,.2f} more than today's order (planned on {plan.planned_on}). In the waterfall:",
        f"  audit: {{share: {plan.share:.2g}}}",
    ]


def _show_segments(screen: Console, parts: list[Comparison], places: dict[str, int]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("segment", box=None, pad_edge=False)
    for heading in ("records", "audited", "today", "best", "cheaper by"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("best asks", overflow="fold")
    for part in parts[:SHOWN_SEGMENTS]:
        today, best = part.lines[0].usd_per_value, part.lines[1].usd_per_value
        costs = ("" if cost is None else f"${cost.value:.3f}" for cost in (today, best))
        saved = part.lines[1].saved
        order = _order(part.best, places) if part.identified else "not identified"
        gain = "" if saved is None or not part.identified else _short(saved)
        table.add_row(
            escape(part.segment) or "(none)", f"{part.records:,.0f}", f"{part.audited:,.0f}", *costs, gain, order
        )
    screen.print()
    screen.print(table)
    if len(parts) > SHOWN_SEGMENTS:
        screen.print(f"and {len(parts) - SHOWN_SEGMENTS} smaller segments: --json shows all")


def _write(project: Project, spec: WaterfallSpec, told: Comparison, *, yes: bool) -> None:
    """Prints the diff on stdout; the file changes only when somebody agrees."""
    from revetl.enrich.order.rewrite import find, reorder

    screen = err_console()
    others = tuple(s.provider for s in spec.stages if s.provider not in {n for line in told.lines for n in line.order})
    path = find(project.root / project.settings.enrichment / "waterfalls", spec.name)
    change = reorder(path, (*(told.by_rule or told.best), *others))
    if change.before == change.after:
        screen.print("The file has the best order already: nothing to write.")
        return
    click.echo(change.diff(project.root), nl=False)
    if not told.better and not told.by_rule:
        screen.print("[yellow]What this brings is within chance.[/]")
    if yes or click.confirm("Write it?", err=True):
        change.apply()
        screen.print(f"Written to {path}")
    else:
        screen.print("Nothing was written.")
