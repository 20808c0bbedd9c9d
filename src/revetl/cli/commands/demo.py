"""`revetl demo`: the main job from end to end, on made-up customers and local stand-ins for the vendors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import rich_click as click

from revetl.cli.numbers import MOST, whole_number
from revetl.cli.options import console, emit_json, json_option, notes_console


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
    type=whole_number(100, 10**9),
    default=1500,
    show_default=True,
    help="Source records to make up.",
)
@click.option(
    "--seed", metavar="N", type=whole_number(-MOST), default=7, show_default=True, help="Another seed, other customers."
)
@json_option
def command(directory: Path, records: int, seed: int, as_json: bool) -> None:
    """Run the whole job on made-up customers against local stand-ins for the vendors.

    Writes the starter project, makes four sources that disagree, builds golden records with dbt, fills gaps through a
    waterfall, plans and syncs to a HubSpot; then a second day of data, then a run with nothing to do.
    """
    from revetl.cli.render.demo import show_demo
    from revetl.usecases.demo import run_demo

    err = notes_console()
    result = run_demo(directory, records=records, seed=seed, say=lambda line: err.print(f"\n[bold]{line}[/bold]"))
    if as_json:
        emit_json(asdict(result))
    else:
        show_demo(console(), result)
