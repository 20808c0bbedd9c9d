"""`revetl sync`: send what changed. `push` is the part that `revetl run` and the demo share with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from click import confirm

from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    err_console,
    full_refresh_option,
    json_option,
    project_options,
    say_if_edited,
    select_options,
)
from revetl.cli.signals import stop_on_signals
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option
from revetl.errors import RevetlError

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project
    from revetl.sync import PlanSummary, SyncReport
    from revetl.sync.plan.planner import Planner
    from revetl.warehouse.base import Warehouse

F = TypeVar("F", bound=Callable[..., Any])


def _guardrails(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    from revetl.sync.plan.guardrails import NAMES

    names = tuple(word.strip() for word in (value or "").split(",") if word.strip())
    for name in names:
        if name not in NAMES:
            raise click.BadParameter(f"{name!r} is no guardrail. Valid here: {', '.join(NAMES)}")
    return names


def allow_option(function: F) -> F:
    """Adds --allow as `allow`: guardrails that may be passed in this run."""
    return click.option(
        "--allow",
        callback=_guardrails,
        metavar="NAMES",
        help="Pass these guardrails, and record it: changed, deleted, creates, rows, fill. By commas.",
    )(function)


@click.command(short_help="Send what changed to the destinations.")
@project_options
@select_options
@click.option("--dry-run", is_flag=True, help="Plan, and send nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Send at most N records of each sync.")
@full_refresh_option
@allow_option
@click.option("--yes", is_flag=True, help="Do not ask before records are deleted.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    limit: int | None,
    full_refresh: bool,
    allow: tuple[str, ...],
    yes: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send what changed in the activation models since the last run, field by field.

    Ends with 1 where a record was rejected or its fate is not known, or where another run works on the sync; 3 where a
    guardrail stopped the run, 4 where the destination refused the credentials, 130 after ctrl-C or SIGTERM: requests
    in flight are awaited and written down. Safe to repeat after any failure.
    """
    from revetl.cli.render.plans import show_plans
    from revetl.cli.render.reports import report_document, show_reports

    project = options.load()
    specs = project.syncs(select, exclude)
    if not specs:
        err_console().print("No model declares a sync (config.meta.revetl): nothing to send.")
        return 0
    say_if_edited(project, specs)
    ask = None if yes or dry_run or as_json else confirm_deletes
    warehouse = open_warehouse(project, wait_s)
    try:
        reports = push(
            project,
            warehouse,
            specs,
            command="sync",
            dry_run=dry_run,
            limit=limit,
            full_refresh=full_refresh,
            confirm=ask,
            allow=allow,
            wait_s=wait_s,
        )
    finally:
        warehouse.close()
    if as_json:
        emit_json([report_document(r) for r in reports])
    elif dry_run:
        show_plans(console(), [r.plan for r in reports])
    else:
        show_reports(console(), reports)
    if dry_run and any(v.guardrail not in allow for r in reports for v in r.plan.violations):
        return 3
    return exit_code(reports)


def push(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    *,
    command: str,
    dry_run: bool = False,
    limit: int | None = None,
    full_refresh: bool = False,
    confirm: Callable[[PlanSummary], bool] | None = None,
    allow: Collection[str] = (),
    wait_s: float = 0.0,
    planners: Mapping[str, Planner] | None = None,
) -> list[SyncReport]:
    """Runs the syncs one after the other, with progress on stderr. The first that stops ends the rest: they may link
    to its records. ctrl-C and SIGTERM let what is in flight end and be written down. `planners`: sync → what gives its
    plan, where that is not made anew."""
    return asyncio.run(
        _push(project, warehouse, specs, command, dry_run, limit, full_refresh, confirm, allow, wait_s, planners or {})
    )


async def _push(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    command: str,
    dry_run: bool,
    limit: int | None,
    full_refresh: bool,
    confirm: Callable[[PlanSummary], bool] | None,
    allow: Collection[str],
    wait_s: float,
    planners: Mapping[str, Planner],
) -> list[SyncReport]:
    from revetl.clock import SystemClock
    from revetl.context import LeaseWait, RunContext
    from revetl.state.runs import new_run_id
    from revetl.sync import SyncOptions, run_sync

    clock, stop = SystemClock(), asyncio.Event()
    reports: list[SyncReport] = []
    with stop_on_signals(stop), _told_on_failure(reports):
        for spec in specs:
            async with project.destination(spec.destination, clock) as destination:
                with progress_bar(spec.name) as progress:
                    ctx = RunContext(
                        warehouse=warehouse,
                        clock=clock,
                        run_id=new_run_id(clock),
                        command=command,
                        target=project.target,
                        dbt_invocation_id=project.dbt_invocation_id,
                        stop=stop,
                        progress={"sending": progress}.get,
                        wait=LeaseWait(wait_s, say_waiting),
                    )
                    options = SyncOptions(
                        dry_run=dry_run,
                        limit=limit,
                        full_refresh=full_refresh,
                        allow=allow,
                        confirm=confirm,
                        planner=planners.get(spec.name),
                    )
                    report = await run_sync(ctx, spec, destination, options)
            reports.append(report)
            if stop.is_set() or report.status in ("failed", "stopped"):
                break
    return reports


def exit_code(reports: Sequence[SyncReport]) -> int:
    """The worst of them: 4 credentials, 3 stopped, 130 interrupted, 1 rejected, unknown or failed, 0 done."""
    codes = {130 if r.status == "interrupted" else r.exit_code for r in reports}
    return next((code for code in (4, 3, 130, 1) if code in codes), 0)


def confirm_deletes(plan: PlanSummary) -> bool:
    if not plan.delete or not sys.stdin.isatty():
        return True
    return confirm(f"{plan.sync}: delete {plan.delete:,} record(s) at {plan.destination}?", err=True)


@contextmanager
def _told_on_failure(reports: Sequence[SyncReport]) -> Iterator[None]:
    """A sync that can't begin ends the command, and those before it have already sent: what they did is shown."""
    try:
        yield
    except RevetlError:
        if reports:
            from revetl.cli.render.reports import show_reports

            show_reports(err_console(), reports)
        raise


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None] | None]:
    screen = err_console()
    if not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
