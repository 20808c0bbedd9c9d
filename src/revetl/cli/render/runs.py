"""Runs on a terminal: a list of them, one of them, and one record in it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from revetl.cli.render.reports import NOT_OK, counted, fits, short, show_item, status, table
from revetl.cli.render.retry import show_awaited

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.model import RunRecord
    from revetl.state.outcomes import RecordOutcome
    from revetl.sync.record_history import RecordHistory
    from revetl.usecases.runs import Invocation, RunDetails

_MESSAGE = 400  # characters: the cure stands at a message's end, and a long name of a sync may be in it twice


def show_runs(screen: Console, found: Sequence[Invocation]) -> None:
    """A line each; of an invocation of several runs a line in all, and theirs below it. Where the table is wider than
    the screen the numbers of each stand in a line of their own, without those that are none: no name is ever cut."""
    if not found:
        screen.print("Nothing has run yet.")
        return
    every = [run for invocation in found for run in invocation.runs]
    spends = any(run.spend_usd for run in every)
    accepts = any(run.counts.get("accepted") for run in every)
    waits = any(run.waiting for run in every)
    right = ["records", *(["accepted"] if accepts else []), "not ok"]
    right += [*(["waiting"] if waits else []), *(["spend"] if spends else [])]
    whole = ["UTC", "command", "subject", "status"]
    listing = table("run", "UTC", "command", "subject", "status", *right, right=right, whole=whole)

    def numbers(runs: Sequence[RunRecord]) -> list[str]:
        cells = [f"{sum(n for run in runs for word, n in run.counts.items() if 'link' not in word):,}"]
        if accepts:
            cells.append(f"{sum(run.counts.get('accepted', 0) for run in runs):,}")
        failed = sum(run.counts.get(word, 0) for run in runs for word in NOT_OK)
        cells.append(f"{failed:,}" if failed else "")
        if waits:
            waiting = sum(sum(run.waiting.values()) for run in runs)
            cells.append(f"{waiting:,}" if waiting else "")
        if spends:
            spend = sum((run.spend_usd for run in runs), Decimal(0))
            cells.append(f"${spend:,.2f}" if spend else "")
        return cells

    rows: list[tuple[list[str], list[str]]] = []
    for invocation in found:
        first = invocation.runs[0]
        began = f"{first.started_at:%m-%d %H:%M}"
        if invocation.invocation_id is None:
            words = [first.run_id[-6:], began, _command(first), first.subject or "", status(first.status)]
            rows.append((words, numbers([first])))
            continue
        words = [invocation.invocation_id[-6:], began, first.command, f"{len(invocation.runs)} runs"]
        rows.append(([*words, status(invocation.status)], numbers(invocation.runs)))
        for run in invocation.runs:
            own = _command(run) if run.command != first.command else ""
            words = [f"  {run.run_id[-6:]}", "", own, run.subject or "", status(run.status)]
            rows.append((words, numbers([run])))
    for words, cells in rows:
        listing.add_row(*words, *cells)
    if fits(screen, listing):
        screen.print(listing)
        return
    for words, cells in rows:
        screen.print("  ".join(word for word in words if word), soft_wrap=True)
        said = ", ".join(f"{n} {what}" for n, what in zip(cells, right, strict=True) if n)
        screen.print(f"{' ' * 8}{said}", soft_wrap=True)


def _command(run: RunRecord) -> str:
    """A rollback with the run that it takes back."""
    return run.command if run.undoes is None else f"{run.command} of {run.undoes[-6:]}"


def show_details(screen: Console, details: Sequence[RunDetails]) -> None:
    """One run after the other."""
    for i, one in enumerate(details):
        if i:
            screen.print()
        show_run(screen, one)


def show_run(screen: Console, details: RunDetails) -> None:
    """The run, and the records that did not go through, with the reason."""
    for line in _lines(details.run):
        screen.print(line)
    if details.planned is not None:
        done = ", ".join(f"{n:,} {op} {word}" for op, word, n in details.done) or "nothing"
        rest = f"; {details.not_sent:,} not sent" if details.not_sent else ""
        show_item(screen, f"planned {details.planned:,}; done: {done}{rest}", indent=0)
    if details.in_doubt:
        usd = sum((call.usd for call in details.in_doubt), Decimal(0))
        said = f"{len(details.in_doubt):,} calls in doubt, at most ${usd:,.4f}; what next: revetl enrich --in-doubt"
        screen.print(said, markup=False)
    if details.undone_by:
        screen.print(f"rolled back by {', '.join(details.undone_by)}", markup=False)
    if details.reasons:
        why = table("status", "code", "records", "for example", right=["records"])
        for word, code, message, count in details.reasons:
            why.add_row(status(word), short(code, 24), f"{count:,}", short(message, _MESSAGE))
        screen.print(why)
        listing = table("record", "op", "status", "reason")
        for record in details.records:
            reason = short(record.message, _MESSAGE)
            listing.add_row(short(record.key, 30), record.op, status(record.status), reason)
        screen.print(listing)
        screen.print(f"One of them in full: revetl runs show {details.run.run_id[-6:]} --key RECORD", markup=False)
    if details.awaited:
        screen.print("now:")
        show_awaited(screen, str(details.run.subject), details.awaited)


def show_record(screen: Console, run: RunRecord, record: RecordHistory) -> None:
    """What the run did to one record, and what happens next."""
    screen.print(f"[bold]{short(record.key, 60)}[/] in run {run.run_id[-6:]} ({run.command} {run.subject})")
    for o in record.outcomes:
        code = f" {o.error_code}" if o.error_code else ""
        tries = f", {o.attempts} attempts" if o.attempts > 1 else ""
        screen.print(f"  {_done(o)} {status(o.status)}{code}, {o.at:%Y-%m-%d %H:%M:%S} UTC{tries}", soft_wrap=True)
        if o.destination_id:
            screen.print(f"  record {short(o.destination_id, 60)} at the destination")
        if o.message:
            screen.print(f"  {short(o.message, 300)}")
        if o.done != o.op:
            screen.print("  it stood there when the create arrived: what it held before is not known")
        for name in o.changed_fields:
            before = "" if o.op == "create" else f"{short(o.before.get(name))} → "
            screen.print(f"    {short(name, 40)}: {before}{short(o.after.get(name))}", soft_wrap=True)
    if not record.outcomes:
        screen.print("  not touched by this run: unchanged, waiting, or the run ended before it")
    screen.print(f"  now: {record.next}", markup=False)
    if record.others:
        screen.print("  in other runs:")
    for o in record.others:
        screen.print(
            f"    {o.at:%Y-%m-%d %H:%M} {o.run_id[-6:]} {_done(o)} {status(o.status)} {short(o.message or '', 40)}"
        )


def _done(outcome: RecordOutcome) -> str:
    return outcome.op if outcome.done == outcome.op else f"found, {outcome.done}d"


def _lines(run: RunRecord) -> list[str]:
    from revetl.safe_text import for_markup
    from revetl.state.runs import OF_LINKS

    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    took = f"{seconds:.1f} s" if seconds is not None else "not finished"
    counts = ", ".join(f"{n:,} {word}" for word, n in sorted(run.counts.items())) or "no records"
    lines = [
        f"[bold]{run.run_id}[/]  {run.command} {run.subject or ''}  {status(run.status)}",
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, {took}, target {run.target}",
        f"{counts}; {run.requests:,} requests, {run.retries:,} of them retries",
    ]
    if run.waiting:
        what = "record(s) and link(s)" if any(word.endswith(OF_LINKS) for word in run.waiting) else "record(s)"
        lines.append(f"{sum(run.waiting.values()):,} {what} wait: {for_markup(counted(run.waiting))}")
    if run.undoes:
        lines.append(f"takes back run {run.undoes}")
    if run.spend_usd:
        lines.append(f"spent ${run.spend_usd:,.4f}")
    lines += [f"guardrail passed by --allow {name}: {short(what, 200)}" for name, what in run.overrides.items()]
    if run.error:
        lines.append(f"[red]{short(run.error, 400)}[/]")
    return lines
