"""`revetl invoices`: what a vendor bills, beside what the ledger says."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.group(short_help="Hold a vendor's invoice against the ledger.")
def command() -> None:
    """Hold a vendor's invoice against the ledger."""


@command.command("import", short_help="Compare an invoice with the ledger, line by line.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@project_options
@click.option("--provider", required=True, metavar="NAME", help="Whose invoice it is: a vendor, or one endpoint.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=PART",
    help="The column NAME of FILE is the day, the usd or the reference. May be repeated.",
)
@click.option("--sheet", metavar="NAME", help="The sheet of an .xlsx FILE. Default: the first one.")
@wait_option
@json_option
def import_(
    file: Path,
    options: ProjectOptions,
    provider: str,
    columns: tuple[str, ...],
    sheet: str | None,
    wait_s: float,
    as_json: bool,
) -> int:
    """Compare FILE (CSV or .xlsx), a vendor's invoice, with the calls of the ledger: line by line, by the vendor's
    reference, or by day and amount. Writes nothing. Exit code 1 where they differ."""
    from revetl.cli.render.invoices import show_invoice
    from revetl.enrich.invoices.reading import PARTS
    from revetl.enrich.lists.files import HowToRead
    from revetl.usecases.invoices import compare_invoice

    named = {}
    for text in columns:
        name, _, part = text.rpartition("=")
        if not name or part not in PARTS:
            raise click.UsageError(f"--column is NAME=day, NAME=usd or NAME=reference; this is {text!r}.")
        named[part] = name
    project = options.load()
    with Terminal(wait_s) as terminal:
        result = compare_invoice(project, terminal.caller, file, provider, named, HowToRead(sheet=sheet))
    if as_json:
        emit_json(result)
    else:
        show_invoice(console(), result)
    return result.exit_code
