"""`revetl schema`: JSON Schema of what an operator writes, for editors that check YAML while it is typed."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from revetl.cli.options import console, emit_json
from revetl.cli.output import echo

KINDS = ("project", "connections", "sync", "matching", "survivorship", "provider", "waterfall", "alerts", "model")


@click.command(short_help="Print a JSON Schema.")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option(
    "--write",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file of each kind there. The YAML files of a project name those in .revetl/schemas.",
)
@click.option("--markdown", is_flag=True, help="A page to read instead: every part, key, kind and default.")
def command(kind: str | None, folder: Path | None, markdown: bool) -> None:
    """Print the JSON Schema of a file: project (revetl.yml), connections (connections.yml), sync (config.meta.revetl
    of a model), matching (config.meta.matching of a model), provider or waterfall (a file under enrichment/), alerts
    (alerts.yml), model (a yml of dbt models, for the sync and the matching in it).

    Editors with a YAML language server check a file whose first lines name its schema. The files that revetl writes
    name those in .revetl/schemas, which `revetl schema --write .revetl/schemas` fills; do it again after an upgrade.
    """
    from revetl.usecases.schema import json_schema, schema_document, write_schemas

    if folder is not None:
        if kind is not None or markdown:
            raise click.UsageError("--write writes every kind: it takes no KIND and no --markdown.")
        written = write_schemas(folder)
        echo(f"Wrote {len(written)} schemas into {folder}")
        return
    if kind is None:
        raise click.UsageError(f"say of which kind of file, or --write DIR. Kinds: {', '.join(KINDS)}")
    if markdown:
        from revetl.cli.render.schema_page import page

        text = page(json_schema(kind), f"Reference: {kind}", f"revetl schema {kind} --markdown")
        console().out(text, highlight=False, end="")
        return
    emit_json(schema_document(kind))
