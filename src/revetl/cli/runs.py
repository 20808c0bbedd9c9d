"""`revetl runs`: what ran, and down to one record what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.common import ProjectOptions, console, emit_json, json_option, project_options

if TYPE_CHECKING:
    from revetl.model import RunRecord
    from revetl.warehouse.base import Warehouse


@click.command(short_help="List past runs and what became of their records.")
@project_options
@click.argument("run_id", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Runs or records to show.")
@json_option
def command(options: ProjectOptions, run_id: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs; with RUN_ID (its last six characters do) show that run and the records that did not
    go through, with the reason."""
    project = options.load()
    warehouse = project.open_warehouse()
    try:
        if run_id is None:
            _list(warehouse, limit, as_json)
        else:
            _show(warehouse, run_id, limit, as_json)
    finally:
        warehouse.close()


def _list(warehouse: Warehouse, limit: int, as_json: bool) -> None:
    from revetl.cli.show import status, table
    from revetl.state.runs import list_runs

    found = list_runs(warehouse, limit)
    if as_json:
        emit_json(found)
        return
    if not found:
        click.echo("Nothing has run yet.")
        return
    right = ["records", "not ok", "requests", "spend"]
    listing = table("run", "started (UTC)", "command", "subject", "status", *right, right=right)
    for run in found:
        records = sum(run.counts.values())
        failed = run.counts.get("rejected", 0) + run.counts.get("unknown", 0)
        spend = f"${run.spend_usd:,.2f}" if run.spend_usd else ""
        listing.add_row(
            run.run_id[-6:],
            f"{run.started_at:%m-%d %H:%M}",
            run.command,
            run.subject or "",
            status(run.status),
            f"{records:,}",
            f"{failed:,}" if failed else "",
            f"{run.requests:,}",
            spend,
        )
    console().print(listing)


def _show(warehouse: Warehouse, run_id: str, limit: int, as_json: bool) -> None:
    from revetl.cli.show import short, status, table
    from revetl.errors import ConfigError
    from revetl.state import outcomes
    from revetl.state.runs import get_run

    run = get_run(warehouse, run_id)
    if run is None:
        raise ConfigError(f"no run, or more than one, has the id {run_id!r}", hint="`revetl runs` lists them.")
    records = outcomes.of_run(warehouse, run.run_id, statuses=("rejected", "unknown", "skipped"), limit=limit)
    reasons = outcomes.reasons(warehouse, run.run_id)
    if as_json:
        emit_json({"run": run, "reasons": reasons, "records": records})
        return
    screen = console()
    for line in _lines(run):
        screen.print(line)
    if reasons:
        why = table("status", "code", "records", "for example", right=["records"])
        for word, code, message, count in reasons:
            why.add_row(status(word), code, f"{count:,}", short(message, 60))
        screen.print(why)
        listing = table("record", "op", "status", "reason")
        for record in records:
            listing.add_row(short(record.key, 30), record.op, status(record.status), short(record.message, 60))
        screen.print(listing)


def _lines(run: RunRecord) -> list[str]:
    from revetl.cli.show import short, status

    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    took = f"{seconds:.1f} s" if seconds is not None else "not finished"
    counts = ", ".join(f"{n:,} {word}" for word, n in sorted(run.counts.items())) or "no records"
    lines = [
        f"[bold]{run.run_id}[/]  {run.command} {run.subject or ''}  {status(run.status)}",
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, {took}, target {run.target}",
        f"{counts}; {run.requests:,} requests, {run.retries:,} of them retries",
    ]
    if run.spend_usd:
        lines.append(f"spent ${run.spend_usd:,.4f}")
    if run.error:
        lines.append(f"[red]{short(run.error, 400)}[/]")
    return lines
