"""`revetl plan`: exactly what a sync would change; nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import (
    ProjectOptions,
    console,
    err_console,
    full_refresh_option,
    json_option,
    project_options,
    say_if_edited,
    select_options,
)
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project
    from revetl.sync import PlanLine, PlanSummary
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class Look:
    """Which lines are shown one by one: `rows` at most (None: samples; 0: all), of `keys`, that change `fields`."""

    rows: int | None
    keys: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def wanted(self) -> bool:
        return self.rows is not None or bool(self.keys) or bool(self.fields)

    @property
    def limit(self) -> int | None:
        return None if self.rows == 0 or self.keys else 20 if self.rows is None else self.rows


def _rows(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    if value is None or value == "all":
        return None if value is None else 0
    if not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number nor `all`")
    return int(value)


@click.command(short_help="Show exactly what a sync would change, and send nothing.")
@project_options
@select_options
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Plan at most N records of each sync.")
@full_refresh_option
@click.option("--rows", callback=_rows, metavar="N|all", help="Show this many lines, with every field.")
@click.option("--field", "fields", multiple=True, help="Show lines that change this field. May be repeated.")
@click.option("--show", "keys", multiple=True, metavar="KEY", help="Show this record. May be repeated.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `revetl apply`.")
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
@click.option(
    "--samples", metavar="N", type=click.IntRange(min=0), help="Sample lines of each kind. Default: 3; markdown: none."
)
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there are changes, 0 where there are none.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: int | None,
    full_refresh: bool,
    rows: int | None,
    fields: tuple[str, ...],
    keys: tuple[str, ...],
    out: Path | None,
    form: str,
    samples: int | None,
    detailed_exitcode: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Compare the activation models with what the destinations are known to hold, and look up what is new there.

    create: is not there yet. adopt: is there, and new to us. update, delete, same: as they say. matched: is there and
    equal. withheld: not sent, with the reason. waiting: was refused before. The lines stand in the table plan__<sync>
    until the next plan. Ends with 3 where a guardrail would stop the sync.
    """
    look = Look(rows, keys, fields)
    project = options.load()
    specs = project.syncs(select, exclude)
    say_if_edited(project, specs)
    warehouse = open_warehouse(project, wait_s)
    try:
        _check_fields(warehouse, specs, look)
        plans = asyncio.run(_plan(project, warehouse, specs, limit, full_refresh, wait_s))
        if out is not None:
            _save(project, warehouse, specs, plans, out)
        _show(warehouse, specs, plans, look, "json" if as_json else form, samples, project.target)
    finally:
        warehouse.close()
    if any(p.violations for p in plans):
        return 3
    return 2 if detailed_exitcode and any(p.changes or p.links.changes for p in plans) else 0


async def _plan(
    project: Project,
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    limit: int | None,
    full_refresh: bool,
    wait_s: float,
) -> list[PlanSummary]:
    from revetl.clock import SystemClock
    from revetl.context import LeaseWait, RunContext
    from revetl.state.runs import new_run_id
    from revetl.sync import SyncOptions, plan_sync

    clock = SystemClock()
    plans: list[PlanSummary] = []
    for spec in specs:
        async with project.destination(spec.destination, clock) as destination:
            ctx = RunContext(
                warehouse=warehouse,
                clock=clock,
                run_id=new_run_id(clock),
                command="plan",
                target=project.target,
                wait=LeaseWait(wait_s, say_waiting),
            )
            options = SyncOptions(limit=limit, full_refresh=full_refresh)
            plans.append(await plan_sync(ctx, spec, destination, options))
    return plans


def _save(
    project: Project, warehouse: Warehouse, specs: Sequence[SyncSpec], plans: Sequence[PlanSummary], out: Path
) -> None:
    from revetl.clock import SystemClock
    from revetl.sync.plan import saved

    clock = SystemClock()
    entries = [saved.entry(warehouse, spec, plan, clock) for spec, plan in zip(specs, plans, strict=True)]
    saved.write_file(out, project.target, entries, clock)
    said = f"Saved to {out}. `revetl apply {out}` sends exactly this."
    err_console().print(said, markup=False, soft_wrap=True)


def _show(
    warehouse: Warehouse,
    specs: Sequence[SyncSpec],
    plans: Sequence[PlanSummary],
    look: Look,
    form: str,
    samples: int | None,
    target: str,
) -> None:
    if form == "json":
        _emit(warehouse, specs, plans, look)
    elif form == "markdown":
        from revetl.cli.render.plans_markdown import markdown

        click.echo(markdown(plans, target=target, samples=samples or 0))
    else:
        from revetl.cli.render.plans import show_plans

        show_plans(console(), plans, samples=0 if look.wanted else 3 if samples is None else samples)
        if look.wanted:
            _show_lines(warehouse, specs, look)


def _show_lines(warehouse: Warehouse, specs: Sequence[SyncSpec], look: Look) -> None:
    """Sync by sync, those that have something to tell; at the end the keys that none of them knows."""
    from revetl.cli.render.plans import show_lines
    from revetl.cli.render.reports import short
    from revetl.state.sync_tables import resolve
    from revetl.sync.plan import lines

    screen, strangers = console(), set(look.keys)
    for spec in specs:
        tables = resolve(warehouse, spec)
        planned = {key for key in look.keys if any(True for _ in lines.read(tables, keys=[key]))}
        reasons = {key: lines.why_not_planned(tables, key) for key in look.keys if key not in planned}
        told = {key: why for key, why in reasons.items() if why is not None}
        strangers -= planned | told.keys()
        if len(specs) > 1 and (planned or told or not look.keys):
            screen.print(f"[bold]{spec.name}[/]")
        number = show_lines(screen, _lines(warehouse, spec, look))
        if look.limit is not None and number == look.limit:
            screen.print("  … there may be more: --rows N or --rows all shows them")
        for key, why in told.items():
            screen.print(f"  {short(key, 60)} {why}", soft_wrap=True)
    for key in (key for key in look.keys if key in strangers):
        screen.print(f"  {short(key, 60)} is neither in the model nor known at the destination", soft_wrap=True)


def _lines(warehouse: Warehouse, spec: SyncSpec, look: Look) -> Iterator[PlanLine]:
    """None of a sync that sends none of the fields that were asked for."""
    from revetl.state.sync_tables import resolve
    from revetl.sync.plan import lines

    tables = resolve(warehouse, spec)
    fields = [f.name for f in tables.fields if f.name in look.fields]
    if look.fields and not fields:
        return iter(())
    return lines.read(tables, keys=look.keys, fields=fields, limit=look.limit)


def _check_fields(warehouse: Warehouse, specs: Sequence[SyncSpec], look: Look) -> None:
    """ConfigError for a field that none of the syncs sends, before the time for a plan is spent."""
    from revetl.errors import ConfigError, did_you_mean
    from revetl.state.sync_tables import resolve

    if not look.fields:
        return
    names = {f.name for spec in specs for f in resolve(warehouse, spec).fields}
    said = specs[0].name if len(specs) == 1 else "no sync that is planned"
    for field in look.fields:
        if field not in names:
            message = f"{said} sends no field {field!r}" if len(specs) == 1 else f"{said} sends the field {field!r}"
            raise ConfigError(message, hint=did_you_mean(field, sorted(names)))


def _emit(warehouse: Warehouse, specs: Sequence[SyncSpec], plans: Sequence[PlanSummary], look: Look) -> None:
    """One JSON document: a list of plans, `rows` of each streamed line by line where they were asked for."""
    from revetl.cli.options import as_json_text
    from revetl.cli.render.reports import plan_document

    click.echo("[")
    for i, (spec, plan) in enumerate(zip(specs, plans, strict=True)):
        document = as_json_text(plan_document(plan))
        last = "" if i == len(plans) - 1 else ","
        if not look.wanted:
            click.echo(document + last)
            continue
        click.echo(document.rstrip().removesuffix("}").rstrip() + ',\n  "rows": [', nl=False)
        comma = ""
        for line in _lines(warehouse, spec, look):
            click.echo(f"{comma}\n    {as_json_text(line, indent=None)}", nl=False)
            comma = ","
        click.echo("\n  ]\n}" + last)
    click.echo("]")
