"""`revetl runs`: what ran, and down to one record what became of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options

if TYPE_CHECKING:
    from revetl.model import RunRecord
    from revetl.warehouse.base import Warehouse

_MESSAGE = 200  # characters


@click.command(short_help="List past runs and what became of their records.")
@project_options
@click.argument("words", nargs=-1, metavar="[[show] RUN_ID]")
@click.option("--key", help="Tell this record's story: what the run did to it, and what happens next.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="Runs or records to show."
)
@json_option
def command(options: ProjectOptions, words: tuple[str, ...], key: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs; `revetl runs show RUN_ID` (its last six characters do) tells of one run and the records
    that did not go through, with the reason; with --key of one record in it."""
    rest = words[1:] if words[:1] == ("show",) else words
    if len(rest) > 1 or (not rest and (words or key is not None)):
        raise click.UsageError("one run is shown: revetl runs show RUN_ID [--key KEY]")
    project = options.load()
    warehouse = project.open_warehouse()
    try:
        if not rest:
            _list(warehouse, limit, as_json)
        elif key is None:
            _show(warehouse, rest[0], limit, as_json)
        else:
            _tell(warehouse, rest[0], key, as_json)
    finally:
        warehouse.close()


def _list(warehouse: Warehouse, limit: int, as_json: bool) -> None:
    from revetl.cli.render.reports import NOT_OK, status, table
    from revetl.state.runs import list_runs

    found = list_runs(warehouse, limit)
    if as_json:
        emit_json(found)
        return
    if not found:
        click.echo("Nothing has run yet.")
        return
    spends = any(run.spend_usd for run in found)
    accepts = any(run.counts.get("accepted") for run in found)
    right = ["records", *(["accepted"] if accepts else []), "not ok", *(["spend"] if spends else [])]
    whole = ["UTC", "command", "status"]
    listing = table("run", "UTC", "command", "subject", "status", *right, right=right, whole=whole)
    for run in found:
        records = sum(n for word, n in run.counts.items() if "link" not in word)
        failed = sum(run.counts.get(word, 0) for word in NOT_OK)
        spend = [f"${run.spend_usd:,.2f}" if run.spend_usd else ""] if spends else []
        listing.add_row(
            run.run_id[-6:],
            f"{run.started_at:%m-%d %H:%M}",
            run.command,
            run.subject or "",
            status(run.status),
            f"{records:,}",
            *([f"{run.counts.get('accepted', 0):,}"] if accepts else []),
            f"{failed:,}" if failed else "",
            *spend,
        )
    console().print(listing)


def _find(warehouse: Warehouse, run_id: str) -> RunRecord:
    from revetl.errors import ConfigError
    from revetl.state.runs import get_run

    run = get_run(warehouse, run_id)
    if run is None:
        raise ConfigError(f"no run, or more than one, has the id {run_id!r}", hint="`revetl runs` lists them.")
    return run


def _show(warehouse: Warehouse, run_id: str, limit: int, as_json: bool) -> None:
    from revetl.cli.render.reports import short, status, table
    from revetl.clock import SystemClock
    from revetl.enrich.execution.in_doubt import in_doubt
    from revetl.state import outcomes, runs

    run = _find(warehouse, run_id)
    doubtful = in_doubt(warehouse, SystemClock().now(), run_id=run.run_id)
    records = outcomes.of_run(warehouse, run.run_id, statuses=("rejected", "unknown", "skipped"), limit=limit)
    reasons = outcomes.reasons(warehouse, run.run_id)
    undone_by = [r.run_id for r in runs.rollbacks_of(warehouse, run.run_id)]
    if as_json:
        emit_json({"run": run, "undone_by": undone_by, "reasons": reasons, "records": records, "in_doubt": doubtful})
        return
    screen = console()
    for line in _lines(run):
        screen.print(line)
    if doubtful:
        usd = sum((call.usd for call in doubtful), Decimal(0))
        told = f"{len(doubtful):,} calls in doubt, at most ${usd:,.4f}; what next: revetl enrich --in-doubt"
        screen.print(told, markup=False)
    if undone_by:
        screen.print(f"rolled back by {', '.join(undone_by)}", markup=False)
    if reasons:
        why = table("status", "code", "records", "for example", right=["records"])
        for word, code, message, count in reasons:
            why.add_row(status(word), short(code, 24), f"{count:,}", short(message, _MESSAGE))
        screen.print(why)
        listing = table("record", "op", "status", "reason")
        for record in records:
            reason = short(record.message, _MESSAGE)
            listing.add_row(short(record.key, 30), record.op, status(record.status), reason)
        screen.print(listing)
        screen.print(f"One of them in full: revetl runs show {run.run_id[-6:]} --key KEY", markup=False)


def _tell(warehouse: Warehouse, run_id: str, key: str, as_json: bool) -> None:
    from revetl.cli.render.reports import short, status
    from revetl.errors import ConfigError
    from revetl.sync import record_history

    run = _find(warehouse, run_id)
    if run.subject is None:
        raise ConfigError(f"run {run.run_id} is not one of a sync")
    told = record_history.of_record(warehouse, run.run_id, run.subject, key)
    if as_json:
        emit_json({"run": run, "record": told, "next": told.next})
        return
    screen = console()
    screen.print(f"[bold]{short(key, 60)}[/] in run {run.run_id[-6:]} ({run.command} {run.subject})")
    for o in told.outcomes:
        code = f" {o.error_code}" if o.error_code else ""
        tries = f", {o.attempts} attempts" if o.attempts > 1 else ""
        screen.print(f"  {o.op} {status(o.status)}{code}, {o.at:%Y-%m-%d %H:%M:%S} UTC{tries}", soft_wrap=True)
        if o.destination_id:
            screen.print(f"  record {short(o.destination_id, 60)} at the destination")
        if o.message:
            screen.print(f"  {short(o.message, 300)}")
        for name in o.changed_fields:
            before = "" if o.op == "create" else f"{short(o.before.get(name))} → "
            screen.print(f"    {short(name, 40)}: {before}{short(o.after.get(name))}", soft_wrap=True)
    if not told.outcomes:
        screen.print("  not touched by this run: unchanged, waiting, or the run ended before it")
    screen.print(f"  now: {told.next}", markup=False)
    if told.others:
        screen.print("  in other runs:")
    for o in told.others:
        screen.print(
            f"    {o.at:%Y-%m-%d %H:%M} {o.run_id[-6:]} {o.op} {status(o.status)} {short(o.message or '', 40)}"
        )


def _lines(run: RunRecord) -> list[str]:
    from revetl.cli.render.reports import short, status

    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    took = f"{seconds:.1f} s" if seconds is not None else "not finished"
    counts = ", ".join(f"{n:,} {word}" for word, n in sorted(run.counts.items())) or "no records"
    lines = [
        f"[bold]{run.run_id}[/]  {run.command} {run.subject or ''}  {status(run.status)}",
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, {took}, target {run.target}",
        f"{counts}; {run.requests:,} requests, {run.retries:,} of them retries",
    ]
    if run.undoes:
        lines.append(f"takes back run {run.undoes}")
    if run.spend_usd:
        lines.append(f"spent ${run.spend_usd:,.4f}")
    lines += [f"guardrail passed by --allow {name}: {short(what, 200)}" for name, what in run.overrides.items()]
    if run.error:
        lines.append(f"[red]{short(run.error, 400)}[/]")
    return lines
