"""`revetl init`: into a dbt project that exists, or the starter project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.output import echo

if TYPE_CHECKING:
    from revetl.usecases.init import IntoProject

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Set up revetl in a dbt project, or write the starter project.")
@click.argument("directory", type=_DIRECTORY, required=False)
@click.option("--starter", type=_DIRECTORY, metavar="NAME", help="Write the starter project into this new directory.")
@click.option("--profiles-dir", type=_DIRECTORY, help="Where profiles.yml is. Default: looked for as dbt does.")
@click.option("--profile", help="The profile in it. Default: the one that dbt_project.yml names.")
@click.option("-t", "--target", help="The target of profiles.yml. Default: the profile's own.")
def command(
    directory: Path | None, starter: Path | None, profiles_dir: Path | None, profile: str | None, target: str | None
) -> None:
    """In a folder with a dbt_project.yml: write revetl.yml, connections.yml and a commented example beside it, and
    touch no other file. DIRECTORY is that folder; left out, the present one.

    With --starter NAME, or where DIRECTORY is new or empty: write a whole project to begin from.
    """
    from revetl.usecases.init import into_project, is_dbt_project, write_starter

    if starter is not None and directory is not None:
        raise click.UsageError("--starter names the directory already.")
    here = directory or Path()
    if starter is None and is_dbt_project(here):
        _say_written(into_project(here, profiles_dir, profile, target))
        return
    new = starter or directory
    if new is None:
        raise click.UsageError(
            "there is no dbt_project.yml here. Run it in the folder of a dbt project, or begin with the starter:"
            " revetl init --starter NAME"
        )
    write_starter(new)
    inside = new.resolve() == Path.cwd()
    echo(f"Wrote the starter project {'here' if inside else f'to {new}'}. Next:")
    if not inside:
        echo(f"  cd {new}")
    echo("  revetl demo     the whole job on made-up customers, on this machine")
    echo("  revetl debug    what is missing for your own accounts")


def _say_written(written: IntoProject) -> None:
    echo(f"Wrote {', '.join(written.files)}.")
    if written.warehouse:
        echo(f"Warehouse: {written.warehouse}.")
    if written.problem:
        echo(f"The warehouse is not found yet: {written.problem}", err=True)
    echo("Next:")
    if written.directory.resolve() != Path.cwd():
        echo(f"  cd {written.directory}")
    echo("  revetl debug                                   dbt, the warehouse, the accounts")
    echo("  revetl scaffold MODEL --to hubspot.contacts    draft a sync of one of your models")
    echo("  revetl plan                                    exactly what it would send; nothing is sent")
