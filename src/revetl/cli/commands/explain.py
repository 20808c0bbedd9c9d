"""`revetl explain`: all that is known of one record, from its sources to every destination."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option
from revetl.safe_text import for_markup


@click.command(short_help="Tell one record's story: sources, values, enrichment, last outcomes.")
@project_options
@click.argument("text", metavar="RECORD")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw what joins its source records."
)
@wait_option
@json_option
def command(options: ProjectOptions, text: str, svg: Path | None, wait_s: float, as_json: bool) -> None:
    """Show all that is known of one record: the golden record and the source records in it, what joins them and
    without what they would be several, what each of its values beat, the values that providers gave with their price,
    and what each destination holds. Of records that a configuration in matching/ makes one: the bits that each field
    gives to each pair, and which of them would part first.

    RECORD is a key (a golden id, or the key of a sync) or its beginning, an email or a phone of any of its source
    records, spelt as a golden record has it, a source record (system:object:id, or its id), another value that records
    are matched by, or the id that a destination gave. Several records that fit are listed, and the command ends with 2.
    """
    from revetl.cli.render.explain import evidence_picture, show_record
    from revetl.usecases.explain import explain

    project = options.load()
    with Terminal(wait_s) as terminal:
        key, found = explain(project, text, terminal.caller)
    if svg is not None:
        svg.write_text(evidence_picture(key, found), encoding="utf-8")
        err_console().print(f"Drawn to {for_markup(str(svg))}", soft_wrap=True)
    if as_json:
        emit_json({"key": key, **found})
        return
    show_record(console(), key, found)
