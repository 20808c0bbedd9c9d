"""`revetl schema`: JSON Schema of what an operator writes, for editors that check YAML while it is typed."""

from __future__ import annotations

from typing import Any

import rich_click as click

from revetl.cli.options import console, emit_json

KINDS = ("project", "connections", "sync", "provider", "waterfall")


@click.command(short_help="Print a JSON Schema.")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--markdown", is_flag=True, help="A page to read instead: every part, key, kind and default.")
def command(kind: str, markdown: bool) -> None:
    """Print the JSON Schema of a file: project (revetl.yml), connections (connections.yml), sync (config.meta.revetl
    of a model), provider or waterfall (a file under enrichment/)."""
    if markdown:
        from revetl.cli.render.schema_page import page

        written = page(json_schema(kind), f"Reference: {kind}", f"revetl schema {kind} --markdown")
        console().out(written, highlight=False, end="")
        return
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(kind)})


def json_schema(kind: str) -> dict[str, Any]:
    """One of `KINDS`. The same models that read the files describe them, so the two can't drift apart."""
    from pydantic import BaseModel

    from revetl.enrich.waterfall import WaterfallSpec
    from revetl.project.connections import ConnectionsFile
    from revetl.project.manifest import SyncMeta
    from revetl.project.settings import Settings
    from revetl.providers.grammar import VendorFile

    models: dict[str, type[BaseModel]] = {
        "project": Settings,
        "connections": ConnectionsFile,
        "sync": SyncMeta,
        "provider": VendorFile,
        "waterfall": WaterfallSpec,
    }
    return models[kind].model_json_schema()
