"""`revetl rollback`: take back what a run wrote."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from revetl.context import Meter
    from revetl.model import RunRecord, SyncSpec
    from revetl.project import Project
    from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackPlan, RollbackReport
    from revetl.warehouse.base import Warehouse


@click.command(short_help="Take back what a run wrote, field by field.")
@project_options
@click.argument("run_id", metavar="RUN")
@click.option("--sync", "only", metavar="SYNC", help="Of a `revetl run`: only this sync. Default: all of them.")
@click.option("--key", "keys", multiple=True, help="Only this record. May be repeated.")
@click.option("--archive-created", is_flag=True, help="Archive what the run created, if nobody has touched it since.")
@click.option("--recreate-archived", is_flag=True, help="Make anew what the run archived, with a new id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and send nothing.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    run_id: str,
    only: str | None,
    keys: tuple[str, ...],
    archive_created: bool,
    recreate_archived: bool,
    yes: bool,
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Restore what the run RUN overwrote (its last six characters do; `revetl runs` lists them).

    Every record is read first. What still stands as the run wrote it gets back what stood before; what somebody has
    edited since, or a later run has written, is left and told. The plan is shown before anything is sent. Safe to
    repeat; a rollback is a run and can be rolled back.

    What was undone is not sent again by the next sync: it waits until its row changes, or for
    `revetl retry --status rolled_back`.
    """
    from revetl.cli.render.rollback import rollback_document, show_rollback_plan, show_rollbacks
    from revetl.sync.rollback.rolling_back import RollbackChoices

    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask: add --yes or --dry-run.")
    project = options.load()
    warehouse = open_warehouse(project, wait_s)
    try:
        runs = _runs(project, warehouse, run_id, only)
        choices = RollbackChoices(keys, archive_created, recreate_archived)
        ask = None if as_json or dry_run else _confirmation(agreed=yes)
        reports = asyncio.run(_roll_back(project, warehouse, runs, choices, dry_run, ask, wait_s))
    finally:
        warehouse.close()
    if as_json:
        emit_json([rollback_document(r) for r in reports])
    elif dry_run:
        for report in reports:
            show_rollback_plan(console(), report.plan)
    else:
        for report in reports:
            if not report.plan.changes:  # nothing was asked for it
                show_rollback_plan(console(), report.plan)
        show_rollbacks(console(), reports)
    codes = {130 if r.status == "interrupted" else r.exit_code for r in reports}
    return next((code for code in (4, 3, 130, 1) if code in codes), 0)


def _runs(project: Project, warehouse: Warehouse, run_id: str, only: str | None) -> list[tuple[RunRecord, SyncSpec]]:
    """The runs to undo with their syncs, the newest first: what was written last is undone first."""
    from revetl.errors import ConfigError, did_you_mean
    from revetl.state.runs import get_run, of_job

    run = get_run(warehouse, run_id)
    if run is None:
        raise ConfigError(f"no run, or more than one, has the id {run_id!r}", hint="`revetl runs` lists them.")
    # A model whose build or tests failed since is no reason to keep what an earlier run wrote.
    specs = {spec.name: spec for spec in project.syncs(verified=False)}
    job = [r for r in of_job(warehouse, run) if r.subject in specs]
    if not job:
        raise ConfigError(
            f"run {run.run_id} ({run.command} {run.subject or ''}) is not of a sync that this project declares",
            hint="Only what a sync wrote to a destination can be undone.",
        )
    chosen = [r for r in job if only is None or r.subject == only]
    if not chosen:
        names = [str(r.subject) for r in job]
        raise ConfigError(f"that run has no sync {only!r}", hint=did_you_mean(str(only), names))
    return [(r, specs[str(r.subject)]) for r in chosen]


async def _roll_back(
    project: Project,
    warehouse: Warehouse,
    runs: Sequence[tuple[RunRecord, SyncSpec]],
    choices: RollbackChoices,
    dry_run: bool,
    ask: Callable[[RollbackPlan], bool] | None,
    wait_s: float,
) -> list[RollbackReport]:
    from revetl.cli.signals import stop_on_signals
    from revetl.clock import SystemClock
    from revetl.context import LeaseWait, RunContext
    from revetl.state.runs import new_run_id
    from revetl.sync.rollback.rolling_back import RollbackOptions, roll_back

    clock, stop = SystemClock(), asyncio.Event()
    reports: list[RollbackReport] = []
    with stop_on_signals(stop):
        for run, spec in runs:
            async with project.destination(spec.destination, clock) as destination:
                with Bars(spec.name) as bars:
                    ctx = RunContext(
                        warehouse=warehouse,
                        clock=clock,
                        run_id=new_run_id(clock),
                        command="rollback",
                        target=project.target,
                        stop=stop,
                        progress=bars.begin,
                        wait=LeaseWait(wait_s, say_waiting),
                    )
                    confirm = None if ask is None else bars.ended_before(ask)
                    options = RollbackOptions(dry_run=dry_run, confirm=confirm)
                    report = await roll_back(ctx, spec, destination, run, choices, options)
            reports.append(report)
            if stop.is_set() or report.status == "failed":
                break
    return reports


def _confirmation(*, agreed: bool) -> Callable[[RollbackPlan], bool]:
    def ask(plan: RollbackPlan) -> bool:
        from revetl.cli.render.rollback import show_rollback_plan

        show_rollback_plan(console(), plan)
        if agreed:
            return True
        if not sys.stdin.isatty():
            click.echo("--yes agrees to it where nobody can be asked.", err=True)
            return False
        return click.confirm("Send it?", err=True)

    return ask


class Bars:
    """One progress bar after the other on stderr; none where nobody looks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._present = ExitStack()

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._present.close()

    def begin(self, what: str) -> Meter | None:
        from revetl.cli.commands.sync import progress_bar

        self._present.close()
        return self._present.enter_context(progress_bar(f"{self._name}: {what}"))

    def ended_before(self, ask: Callable[[RollbackPlan], bool]) -> Callable[[RollbackPlan], bool]:
        def asking(plan: RollbackPlan) -> bool:
            self._present.close()
            return ask(plan)

        return asking
