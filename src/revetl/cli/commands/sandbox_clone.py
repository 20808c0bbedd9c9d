"""`revetl sandbox clone`: copy what an account is made of."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import rich_click as click

from revetl.cli.options import ProjectOptions, emit_json, json_option, project_options
from revetl.cli.output import echo


@click.command("clone")
@project_options
@click.argument("destination")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; DESTINATION.portal.json without it.",
)
@json_option
def clone_account(options: ProjectOptions, destination: str, output: Path | None, as_json: bool) -> None:
    """Copy what the account DESTINATION of connections.yml is made of into a file: objects, properties, pipelines,
    owners and labels. No record of it.

    `revetl sandbox start --set VENDOR.portal=FILE` then serves a portal that is made as the account is, so that a
    rehearsal is of that account. Only reads are sent. The file names the account's users.
    """
    from revetl.clock import SystemClock
    from revetl.usecases.sandbox_clone import clone

    made = clone(options.load(), destination, output or Path(f"{destination}.portal.json"), SystemClock())
    if as_json:
        emit_json({**asdict(made), "path": str(made.path)})
        return
    echo(f"{made.path}: {made.objects} objects, {made.owners} owners, no records")
    for said in made.left_out:
        echo(f"left out: {said}")
    echo(f"Serve it: revetl sandbox start --set {made.option}")
