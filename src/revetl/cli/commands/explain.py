"""`revetl explain`: all that is known of one record, from its sources to every destination."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="Tell one record's story: sources, values, enrichment, last outcomes.")
@project_options
@click.argument("text", metavar="RECORD")
@wait_option
@json_option
def command(options: ProjectOptions, text: str, wait_s: float, as_json: bool) -> None:
    """Show all that is known of one record: the golden record and the source records in it, what joins them and
    without what they would be several, the values that providers gave with their price, and what each destination
    holds.

    RECORD is a key (a golden id, or the key of a sync) or its beginning, an email, a phone as the golden record has it,
    a source record (system:object:id, or its id), another value that records are matched by, or the id that a
    destination gave. Several records that fit are listed, and the command ends with 2.
    """
    from revetl.cli.render.explain import show_record
    from revetl.usecases.explain import explain

    project = options.load()
    with Terminal(wait_s) as terminal:
        key, found = explain(project, text, terminal.caller)
    if as_json:
        emit_json({"key": key, **found})
        return
    show_record(console(), key, found)
