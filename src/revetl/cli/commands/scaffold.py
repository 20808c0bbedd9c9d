"""`revetl scaffold`: draft the sync of a model."""

from __future__ import annotations

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import ProjectOptions, emit_json, json_option, project_options
from revetl.cli.output import echo
from revetl.cli.waiting import wait_option


@click.command(short_help="Draft the sync of a model.")
@project_options
@click.argument("model")
@click.option(
    "--to",
    required=True,
    metavar="DESTINATION.OBJECT",
    shell_complete=completing.connections,
    help="Where its rows go: crm.contacts.",
)
@click.option(
    "--write", "writes", is_flag=True, help="Put both files into activation/ among the models; none is overwritten."
)
@wait_option
@json_option
def command(options: ProjectOptions, model: str, to: str, writes: bool, wait_s: float, as_json: bool) -> None:
    """Draft an activation model on top of MODEL, and its contract and sync, from the columns in the warehouse and the
    fields at the destination. Shown column by column: where it goes, what its type does there, and what has no field.

    Printed, unless --write puts it into the project. It is a draft: go over it, then `revetl build` and `revetl plan`.
    """
    from revetl.cli.terminal import Terminal
    from revetl.usecases.scaffold import draft, write

    project = options.load()
    drafted = draft(project, model, to, Terminal(wait_s).caller)
    written = write(project, drafted) if writes else []
    if as_json:
        emit_json(drafted)
        return
    echo(f"{model} → {to}", err=True)
    echo(f"  key {drafted.key}" + (f": {drafted.key_said}" if drafted.key_said else ""), err=True)
    for c in drafted.columns:
        said = f": {c.said}" if c.said else ""
        echo(f"  {'✓' if c.field else '✗'} {c.column} {c.type} → {c.field or 'nothing'}{said}", err=True)
    if not drafted.match_on:
        echo("  match_on: no column is one that records are looked for by", err=True)
    if written:
        echo("Wrote " + " and ".join(str(path) for path in written))
    else:
        echo(f"-- {drafted.name}.sql\n{drafted.sql}")
        echo(f"# {drafted.name}.yml\n{drafted.yml}")
