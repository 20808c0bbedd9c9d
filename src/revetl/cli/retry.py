"""`revetl retry`: let records that were refused be sent again."""

from __future__ import annotations

import rich_click as click

from revetl.cli.common import (
    ProjectOptions,
    console,
    emit_json,
    json_option,
    project_options,
    select_options,
)


@click.command(short_help="Send rejected records again.")
@project_options
@select_options
@click.option("--key", "keys", multiple=True, help="Only this record. May be repeated.")
@json_option
def command(
    options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], keys: tuple[str, ...], as_json: bool
) -> int:
    """Send again what a destination refused, without waiting for its row to change.

    A record whose creation could not be confirmed is created anew: by retrying it you say that it is not there.
    """
    from revetl.cli.show import report_document, show_reports
    from revetl.cli.sync import exit_code, push
    from revetl.state import links, snapshot
    from revetl.state.layout import resolve

    project = options.load()
    specs = project.syncs(select, exclude)
    warehouse = project.open_warehouse()
    try:
        due = []
        for spec in specs:
            layout = resolve(warehouse, spec)
            snapshot.prepare(warehouse, layout)
            if snapshot.release(warehouse, layout, keys) + links.release(warehouse, layout, keys):
                due.append(spec)
        reports = push(project, warehouse, due, command="retry")
    finally:
        warehouse.close()
    if as_json:
        emit_json([report_document(r) for r in reports])
    elif not reports:
        click.echo("No record and no link waits.")
    else:
        show_reports(console(), reports)
    return exit_code(reports)
