"""`revetl init`: writes the starter project, the one that stands at the top of revetl's own repository."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command(short_help="Write the starter project.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write the starter project into DIRECTORY, which may exist but must not hold any of its parts."""
    from revetl.usecases.init import write_starter

    write_starter(directory)
    here = directory.resolve() == Path.cwd()
    click.echo(f"Wrote the starter project {'here' if here else f'to {directory}'}. Next:")
    if not here:
        click.echo(f"  cd {directory}")
    click.echo("  revetl demo     the whole job on made-up customers, on this machine")
    click.echo("  revetl debug    what is missing for your own accounts")
