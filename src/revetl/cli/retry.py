"""`revetl retry`: let records that were refused be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.common import (
    ProjectOptions,
    console,
    emit_json,
    json_option,
    project_options,
    select_options,
)
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.warehouse.base import Warehouse


@click.command(short_help="Send rejected records again.")
@project_options
@select_options
@click.option("--key", "keys", multiple=True, help="Only this record. May be repeated.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    keys: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> int:
    """Send again what a destination refused, without waiting for its row to change.

    A record whose creation could not be confirmed is created anew: by retrying it you say that it is not there.
    """
    from revetl.cli.show import report_document, show_reports
    from revetl.cli.sync import exit_code, push

    project = options.load()
    specs = project.syncs(select, exclude)
    warehouse = open_warehouse(project, wait_s)
    try:
        due = asyncio.run(_release(warehouse, specs, keys, wait_s))
        reports = push(project, warehouse, due, command="retry", wait_s=wait_s)
    finally:
        warehouse.close()
    if as_json:
        emit_json([report_document(r) for r in reports])
    elif not reports:
        click.echo("No record and no link waits.")
    else:
        show_reports(console(), reports)
    return exit_code(reports)


async def _release(
    warehouse: Warehouse, specs: Sequence[SyncSpec], keys: Sequence[str], wait_s: float
) -> list[SyncSpec]:
    """The syncs in which anything waited."""
    from revetl.clock import SystemClock
    from revetl.state.runs import new_run_id
    from revetl.sync.retrying import release

    clock, due = SystemClock(), []
    for spec in specs:
        run_id = new_run_id(clock)
        if await release(warehouse, spec, keys, clock=clock, run_id=run_id, wait_s=wait_s, on_wait=say_waiting):
            due.append(spec)
    return due
