"""`revetl plan`: exactly what a sync would change; nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.common import ProjectOptions, console, emit_json, json_option, project_options, select_options

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project
    from revetl.sync import PlanSummary
    from revetl.warehouse.base import Warehouse


@click.command(short_help="Show exactly what a sync would change, and send nothing.")
@project_options
@select_options
@click.option("--limit", type=click.IntRange(min=1), help="Plan at most N records of each sync.")
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there are changes, 0 where there are none.")
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: int | None,
    detailed_exitcode: bool,
    as_json: bool,
) -> int:
    """Compare the activation models with what the destinations are known to hold, and look up what is new there.

    create: is not there yet. adopt: is there, and new to us. update, delete, same: as they say. held: not sent, with
    the reason. waiting: was refused before. The lines stand in the table plan__<sync> until the next plan.
    """
    from revetl.cli.show import plan_document, show_plans

    project = options.load()
    specs = project.syncs(select, exclude)
    warehouse = project.open_warehouse()
    try:
        plans = asyncio.run(_plan(project, warehouse, specs, limit))
    finally:
        warehouse.close()
    if as_json:
        emit_json([plan_document(p) for p in plans])
    else:
        show_plans(console(), plans)
    return 2 if detailed_exitcode and any(p.changes for p in plans) else 0


async def _plan(
    project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], limit: int | None
) -> list[PlanSummary]:
    from revetl.clock import SystemClock
    from revetl.state.runs import new_run_id
    from revetl.sync import plan_sync

    clock = SystemClock()
    plans = []
    for spec in specs:
        async with project.destination(spec.destination, clock) as destination:
            plans.append(
                await plan_sync(warehouse, spec, destination, clock=clock, run_id=new_run_id(clock), limit=limit)
            )
    return plans
