"""`revetl retry`: let records that were refused be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options, select_options
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.model import SyncSpec
    from revetl.sync.retry.queue import QueueFilter
    from revetl.sync.retry.release import RetryReport
    from revetl.warehouse.base import Warehouse

_STATUSES = ("rejected", "skipped", "unknown", "rolled_back", "accepted")


@click.command(short_help="Send rejected records again.")
@project_options
@select_options
@click.option("--run", "run_id", metavar="RUN", help="Only what waits since this run; its last six characters do.")
@click.option("--key", "keys", multiple=True, help="Only this record. May be repeated.")
@click.option("--code", "codes", multiple=True, help="Only refusals with this error code. May be repeated.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only what waits for this reason. May be repeated. Default: what was refused.",
)
@click.option("--dry-run", is_flag=True, help="Show what waits and why, and send nothing.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    run_id: str | None,
    keys: tuple[str, ...],
    codes: tuple[str, ...],
    statuses: tuple[str, ...],
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send again what a destination refused, without waiting for its row to change.

    A record whose creation could not be confirmed (unknown) is created anew: by retrying it you say that it is not
    there. What a rollback restored, or `drift --accept` kept, is sent only where its key, run or status is named.
    """
    from revetl.cli.commands.sync import exit_code, push
    from revetl.cli.render.reports import report_document, show_reports
    from revetl.sync.retry.queue import QueueFilter

    project = options.load()
    specs = project.syncs(select, exclude)
    warehouse = open_warehouse(project, wait_s)
    try:
        which = QueueFilter(keys, _full_id(warehouse, run_id), codes, statuses)
        released = asyncio.run(_release(warehouse, specs, which, dry_run, wait_s))
        due = [spec for spec, found in zip(specs, released, strict=True) if found.records or found.links]
        reports = [] if dry_run else push(project, warehouse, due, command="retry", wait_s=wait_s)
    finally:
        warehouse.close()
    if dry_run:
        emit_json(released) if as_json else _show(console(), released)
    elif as_json:
        emit_json([report_document(r) for r in reports])
    elif not reports:
        click.echo("No record and no link waits.")
    else:
        show_reports(console(), reports)
    return exit_code(reports)


def _full_id(warehouse: Warehouse, run_id: str | None) -> str | None:
    from revetl.errors import ConfigError
    from revetl.state.runs import get_run

    if run_id is None:
        return None
    run = get_run(warehouse, run_id)
    if run is None:
        raise ConfigError(f"no run, or more than one, has the id {run_id!r}", hint="`revetl runs` lists them.")
    return run.run_id


async def _release(
    warehouse: Warehouse, specs: Sequence[SyncSpec], which: QueueFilter, dry_run: bool, wait_s: float
) -> list[RetryReport]:
    """What waited in each sync."""
    from revetl.clock import SystemClock
    from revetl.context import LeaseWait, RunContext
    from revetl.state.runs import new_run_id
    from revetl.sync.retry.release import release

    clock = SystemClock()
    return [
        await release(
            RunContext(
                warehouse=warehouse,
                clock=clock,
                run_id=new_run_id(clock),
                command="retry",
                target="",
                wait=LeaseWait(wait_s, say_waiting),
            ),
            spec,
            which,
            dry_run=dry_run,
        )
        for spec in specs
    ]


def _show(screen: Console, released: Sequence[RetryReport]) -> None:
    from revetl.cli.render.reports import short, status

    for found in released:
        for w in found.waiting:
            keys = ", ".join(short(key, 24) for key in w.keys) + (", …" if w.records > len(w.keys) else "")
            screen.print(f"[bold]{found.sync}[/]  {w.records:,} {status(w.status)} {short(w.code or '', 40)}")
            screen.print(f"  {keys}" + (f": {short(w.message, 120)}" if w.message else ""))
    if not any(found.records for found in released):
        screen.print("No record waits.")
