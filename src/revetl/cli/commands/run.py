"""`revetl run`: the whole job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.commands.build import node_printer
from revetl.cli.commands.sync import allow_option
from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    err_console,
    json_option,
    project_options,
    select_options,
)
from revetl.cli.waiting import open_warehouse, wait_option

if TYPE_CHECKING:
    from revetl.enrich.report import EnrichReport, Estimate
    from revetl.usecases.job import JobReport


def usd(text: str) -> Decimal:
    """An amount of US dollars, exact."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except ArithmeticError:
        raise ValueError(text) from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return amount


@click.command(short_help="The whole job.")
@project_options
@select_options
@click.option(
    "--max-spend",
    type=usd,
    metavar="USD",
    help="The most that providers may cost in this run, all waterfalls together.",
)
@click.option("--yes", is_flag=True, help="Spend within the budgets without asking.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes or --max-spend nothing is spent.")
@click.option(
    "--full-refresh",
    is_flag=True,
    help="Rebuild incremental models from nothing, then send every record whole, and every link.",
)
@allow_option
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
    allow: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> int:
    """Build, enrich, build what depends on it, sync.

    Selectors choose syncs. Before providers are asked, the cost is shown and agreed to: by answering, by --yes, or by
    --max-spend. Stopping it with ctrl-C loses nothing: what was sent is checkpointed.
    """
    from revetl.cli.commands.sync import push
    from revetl.cli.signals import run_stoppable
    from revetl.usecases.job import Watch, run_job

    screen = err_console()
    project = options.load()
    if wait_s:
        open_warehouse(project, wait_s).close()  # dbt can't wait for the file
    watch = Watch(
        say=lambda line: screen.print(line, markup=False),
        on_node=node_printer(),
        agree=_agreement(agreed=yes or max_spend is not None, may_ask=not no_input),
        push=lambda warehouse, specs: push(
            project, warehouse, specs, command="run", full_refresh=full_refresh, allow=allow, wait_s=wait_s
        ),
        ask=run_stoppable,
    )
    report = run_job(project, watch, select=select, exclude=exclude, max_spend_usd=max_spend, full_refresh=full_refresh)
    if as_json:
        emit_json(document(report))
    else:
        _print(report)
    return report.exit_code


def _agreement(*, agreed: bool, may_ask: bool) -> Callable[[Sequence[Estimate]], bool]:
    def agree(estimates: Sequence[Estimate]) -> bool:
        expected = sum((e.expected_usd for e in estimates), Decimal(0))
        greatest = sum((e.greatest_usd for e in estimates), Decimal(0))
        lookups = sum(e.lookups for e in estimates)
        click.echo(f"  up to {lookups:,} lookups, expected ${expected:,.2f}, at most ${greatest:,.2f}", err=True)
        if agreed or not greatest:
            return True
        if not may_ask or not sys.stdin.isatty():
            click.echo("  --yes or --max-spend agrees to it where nobody can be asked.", err=True)
            return False
        return click.confirm("  Go on?", err=True)

    return agree


def document(report: JobReport) -> dict[str, Any]:
    """The JSON document of a run. Money is text, exact."""
    from dataclasses import asdict

    from revetl.cli.render.reports import report_document

    return {
        "exit_code": report.exit_code,
        "spend_usd": report.spend_usd,
        "stages": [asdict(s) for s in report.stages],
        "builds": [asdict(b) for b in report.builds],
        "waterfalls": [_waterfall(w) for w in report.waterfalls],
        "syncs": [report_document(s) for s in report.syncs],
    }


def _waterfall(report: EnrichReport) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(report), "asked": report.asked, "spent_usd": report.spent_usd, "exit_code": report.exit_code}


def _print(report: JobReport) -> None:
    from rich.markup import escape
    from rich.table import Table

    from revetl.cli.render.reports import show_reports

    screen = console()
    table = Table("stage", box=None, pad_edge=False)
    table.add_column("records", justify="right")
    table.add_column("seconds", justify="right")
    for stage in report.stages:
        table.add_row(escape(stage.stage), f"{stage.records:,}", f"{stage.seconds:.1f}")
    screen.print(table)
    if report.syncs:
        show_reports(screen, report.syncs)
    for waterfall in report.waterfalls:
        for reason in (waterfall.stopped, *waterfall.denied.values(), *waterfall.unavailable.values()):
            if reason:
                screen.print(f"[yellow]{escape(waterfall.waterfall)}[/]: {escape(reason)}")
    screen.print(f"Spent ${report.spend_usd:,.2f}.")
