"""`revetl schema`: JSON Schema of what an operator writes, for editors that check YAML while it is typed."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import console, emit_json

KINDS = ("project", "connections", "sync", "provider", "waterfall")


@click.command(short_help="Print a JSON Schema.")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--markdown", is_flag=True, help="A page to read instead: every part, key, kind and default.")
def command(kind: str, markdown: bool) -> None:
    """Print the JSON Schema of a file: project (revetl.yml), connections (connections.yml), sync (config.meta.revetl
    of a model), provider or waterfall (a file under enrichment/)."""
    from revetl.usecases.schema import json_schema

    if markdown:
        from revetl.cli.render.schema_page import page

        written = page(json_schema(kind), f"Reference: {kind}", f"revetl schema {kind} --markdown")
        console().out(written, highlight=False, end="")
        return
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(kind)})
