"""`revetl demo`: the main job from end to end, on made-up customers and local stand-ins for the vendors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import console, emit_json, err_console, json_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from revetl.usecases.demo import DemoResult


@click.command("demo")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where the project is written. An earlier demo there is replaced.",
)
@click.option(
    "--records",
    metavar="N",
    type=click.IntRange(100),
    default=1500,
    show_default=True,
    help="Source records to make up.",
)
@click.option("--seed", metavar="N", type=int, default=7, show_default=True, help="Another seed, other customers.")
@json_option
def command(directory: Path, records: int, seed: int, as_json: bool) -> None:
    """Run the whole job on made-up customers against local stand-ins for the vendors.

    Writes the starter project, makes four sources that disagree, builds golden records with dbt, fills gaps through a
    waterfall, plans and syncs to a HubSpot; then a second day of data, then a run with nothing to do.
    """
    from revetl.usecases.demo import run_demo

    err = err_console()
    result = run_demo(directory, records=records, seed=seed, say=lambda line: err.print(f"\n[bold]{line}[/bold]"))
    if as_json:
        emit_json(asdict(result))
    else:
        show(result, console())


def show(result: DemoResult, out: Console) -> None:
    """The summary; no wider than 80 columns."""
    out.print()
    stages = result.stages
    out.print(
        f"[bold]{stages['golden_members']:,}[/bold] source records became "
        f"[bold]{stages['golden_contacts']:,}[/bold] contacts and "
        f"[bold]{stages['golden_companies']:,}[/bold] companies."
    )
    out.print(_runs(result))
    out.print(_fills(result))
    spent = sum(result.spend.values())
    providers = ", ".join(f"{name} ${usd:,.2f}" for name, usd in result.spend.items())
    agreed = "the vendors billed the same" if abs(spent - result.invoiced_usd) < 0.005 else (
        f"but the vendors billed ${result.invoiced_usd:,.2f}"
    )  # fmt: skip
    out.print(f"Spent [bold]${spent:,.2f}[/bold] by our ledger, {agreed}: {providers}.", width=80)
    out.print(f"All of it took {result.seconds:.0f} s.\n")
    where = result.directory.name
    out.print("[bold]Look at next[/bold]")
    for line, what in (
        (f"cd {where}", "a project like any other"),
        ("revetl runs", "what each run did"),
        ("revetl explain KEY", "one record's sources, values and outcomes"),
        ("duckdb warehouse.duckdb", "schema revetl: plans, outcomes, provider calls"),
    ):
        out.print(f"  {line:<25}[dim]{what}[/dim]")


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, padding=(0, 1, 0, 0)
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def _runs(result: DemoResult) -> Table:
    table = _table("Three runs", "run", "created", "updated", "unchanged", "calls", "spent", "requests", "writes", "s")
    for run in result.runs:
        syncs = run.document["syncs"]
        table.add_row(
            run.title,
            *(f"{sum(int(s['plan'][k]) for s in syncs):,}" for k in ("create", "update", "unchanged")),
            f"{run.provider_calls:,}",
            f"${float(run.document['spend_usd']):,.2f}",
            f"{run.hubspot_requests:,}",
            f"{run.hubspot_writes:,}",
            f"{run.seconds:.1f}",
        )
    return table


def _fills(result: DemoResult) -> Table:
    table = _table("Fill rate", "field", "before", "after", "values by provider")
    table.columns[-1].justify = "left"
    for fill in result.fills:
        by = ", ".join(f"{name.partition('.')[0]} {n:,}" for name, n in fill.by_provider.items())
        entity = fill.entity.removeprefix("golden_")
        table.add_row(f"{entity} {fill.field}", f"{fill.before:.0%}", f"{fill.after:.0%}", by or "–")
    return table
