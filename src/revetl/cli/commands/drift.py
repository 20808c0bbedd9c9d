"""`revetl drift`: what others changed at the destination, and whose value holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project
    from revetl.sync.drift.reading import DriftReport
    from revetl.sync.drift.resolution import DriftResolution
    from revetl.warehouse.base import Warehouse


@click.command(short_help="Compare what stands at the destination with what was written.")
@project_options
@click.argument("sync")
@click.option("--accept", multiple=True, metavar="FIELD", help="Keep theirs until our row changes. May be repeated.")
@click.option("--accept-all", is_flag=True, help="The same for every field; what is missing or untied there stays so.")
@click.option("--reassert", multiple=True, metavar="FIELD", help="Let the next sync write ours again. May be repeated.")
@click.option(
    "--reassert-all",
    is_flag=True,
    help="The same for every field; what is missing or untied is made again.",
)
@click.option("--sync", "send", is_flag=True, help="After --reassert: sync at once.")
@click.option("--key", "keys", multiple=True, help="Only this record. May be repeated.")
@click.option("--sample", type=click.IntRange(min=0), default=3, show_default=True, help="Records to show per kind.")
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there is drift, 0 where there is none.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    sync: str,
    accept: tuple[str, ...],
    accept_all: bool,
    reassert: tuple[str, ...],
    reassert_all: bool,
    send: bool,
    keys: tuple[str, ...],
    sample: int,
    detailed_exitcode: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Read back every record that SYNC holds and every link that it made, and compare three ways: what we last wrote,
    what we would write, and what stands there. Without --accept or --reassert nothing is changed anywhere.

    theirs: changed there. conflict: changed there and here. missing: archived or deleted there. merged: its id leads
    to another record. untied: a link of ours was removed there. pending: changed here, the next sync sends it. same:
    no sync would write over it. All lines stand in the table drift__<sync>.
    """
    from revetl.cli.commands.sync import exit_code, push
    from revetl.cli.render.reports import report_document, show_reports
    from revetl.cli.render.rollback import show_drift

    settle = _settle(accept, accept_all, reassert, reassert_all)
    if send and (settle is None or settle.side != "reassert"):
        raise click.UsageError("--sync goes with --reassert.")
    project = options.load()
    spec = _spec(project, sync)
    due = project.syncs((sync,)) if send else []
    warehouse = open_warehouse(project, wait_s)
    try:
        report = asyncio.run(_look(project, warehouse, spec, settle, keys, sample, wait_s))
        sent = push(project, warehouse, due, command="sync", wait_s=wait_s) if due else []
    finally:
        warehouse.close()
    if as_json:
        emit_json({"drift": report.document(), "syncs": [report_document(r) for r in sent]})
    else:
        show_drift(console(), report)
        if sent:
            show_reports(console(), sent)
    return exit_code(sent) or (2 if detailed_exitcode and report.drifted else 0)


def _settle(
    accept: tuple[str, ...], accept_all: bool, reassert: tuple[str, ...], reassert_all: bool
) -> DriftResolution | None:
    from revetl.sync.drift.resolution import DriftResolution

    theirs, ours = bool(accept) or accept_all, bool(reassert) or reassert_all
    if theirs and ours:
        raise click.UsageError("Accept or reassert, one at a time.")
    if theirs:
        return DriftResolution("accept", None if accept_all else accept)
    return DriftResolution("reassert", None if reassert_all else reassert) if ours else None


def _spec(project: Project, sync: str) -> SyncSpec:
    from revetl.errors import ConfigError, did_you_mean

    specs = {spec.name: spec for spec in project.syncs(verified=False)}
    if sync not in specs:
        raise ConfigError(f"no sync {sync!r}", hint=did_you_mean(sync, [*specs]))
    return specs[sync]


async def _look(
    project: Project,
    warehouse: Warehouse,
    spec: SyncSpec,
    settle: DriftResolution | None,
    keys: tuple[str, ...],
    sample: int,
    wait_s: float,
) -> DriftReport:
    from revetl.cli.commands.sync import progress_bar
    from revetl.clock import SystemClock
    from revetl.context import LeaseWait, RunContext
    from revetl.state.runs import new_run_id
    from revetl.sync.drift.reading import DriftOptions, find_drift

    clock = SystemClock()
    async with project.destination(spec.destination, clock) as destination:
        with progress_bar(f"{spec.name}: reading") as progress:
            ctx = RunContext(
                warehouse=warehouse,
                clock=clock,
                run_id=new_run_id(clock),
                command="drift",
                target=project.target,
                progress=lambda _: progress,
                wait=LeaseWait(wait_s, say_waiting),
            )
            asked = DriftOptions(resolution=settle, keys=keys, per_class=sample)
            return await find_drift(ctx, spec, destination, asked)
