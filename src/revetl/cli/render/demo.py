"""What the demo did, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from revetl.usecases.demo import DemoResult


def show_demo(out: Console, result: DemoResult) -> None:
    """The summary; no wider than 80 columns."""
    out.print()
    stages = result.stages
    out.print(
        f"[bold]{stages['golden_members']:,}[/bold] source records became "
        f"[bold]{stages['golden_contacts']:,}[/bold] contacts and "
        f"[bold]{stages['golden_companies']:,}[/bold] companies."
    )
    out.print(_runs(result))
    if result.runs:
        standing = result.runs[-1].by_destination().items()
        out.print(
            "Stand there now: " + ", ".join(f"{name} [bold]{n:,}[/bold]" for name, n in standing) + ".\n", width=80
        )
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
        ("revetl serve", "the same as a page, at http://127.0.0.1:8420"),
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
    counts = {"created": [run.created for run in result.runs], "updated": [run.updated for run in result.runs]}
    counts["unchanged"] = [run.unchanged for run in result.runs]
    if any(run.not_sent for run in result.runs):
        counts["not sent"] = [run.not_sent for run in result.runs]
    table = _table("Three runs", "run", *counts, "calls", "spent", "requests", "writes", "s")
    for run, numbers in zip(result.runs, zip(*counts.values(), strict=True), strict=True):
        table.add_row(
            run.title,
            *(f"{number:,}" for number in numbers),
            f"{run.provider_calls:,}",
            f"${float(run.document['spend_usd']):,.2f}",
            f"{run.requests:,}",
            f"{run.writes:,}",
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
