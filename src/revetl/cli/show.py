"""How plans, reports and outcomes look on a terminal: within 80 columns, and as plain data for --json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

    from revetl.model import Scalar
    from revetl.sync import PlanSummary, SyncReport

_STYLES = {"create": "green", "adopt": "cyan", "update": "yellow", "delete": "red"}
_STATUS_STYLES = {"done": "green", "ok": "green", "partial": "yellow", "skipped": "dim"}


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    from rich import box
    from rich.table import Table

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, column in enumerate(columns):
        # The first column names the row: it is what a person copies, so it is never broken.
        justify: JustifyMethod = "right" if column in right else "left"
        out.add_column(column, justify=justify, overflow="fold", no_wrap=not i or column in right)
    return out


def short(value: Scalar, width: int = 28) -> str:
    """A value for people; escaped, so that brackets in a name are not read as markup."""
    from rich.markup import escape

    if value is None:
        return "∅"
    text = str(value).replace("\n", "⏎")
    return escape(text if len(text) <= width else text[: width - 1] + "…")


def status(word: str) -> str:
    return f"[{_STATUS_STYLES.get(word, 'red')}]{word}[/]"


def show_plans(console: Console, plans: Sequence[PlanSummary]) -> None:
    """Counts of each sync in one table, then what is worth a look in each."""
    counts = ["create", "adopt", "update", "delete", "same"]
    overview = table("sync", *counts, "held", "waiting", "requests", right=[*counts, "held", "waiting", "requests"])
    for p in plans:
        numbers = (p.create, p.adopt, p.update, p.delete, p.unchanged, p.held, p.waiting, p.requests)
        overview.add_row(p.sync, *(f"{n:,}" for n in numbers))
    console.print(overview)
    for plan in plans:
        _show_details(console, plan)


def _show_details(console: Console, plan: PlanSummary) -> None:
    from rich.markup import escape

    if not plan.lines and not plan.waiting:
        return
    console.print(f"[bold]{plan.sync}[/] → {plan.destination} {plan.object}")
    if plan.fields:
        most = sorted(plan.fields.items(), key=lambda item: -item[1])
        console.print("  fields to send: " + ", ".join(f"{escape(name)} {n:,}" for name, n in most))
    if plan.in_doubt:
        console.print(f"  {plan.in_doubt:,} in doubt after a run that broke off: sent whole")
    if plan.left:
        console.print(f"  {plan.left:,} no longer in the model")
    if plan.waiting:
        console.print(f"  {plan.waiting:,} refused before: waiting for a change of the row, or for `revetl retry`")
    shown: dict[str, int] = {}
    for sample in plan.samples:
        kind = f"{sample.op}{sample.note or ''}"
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > 3:
            continue
        style = _STYLES.get(sample.op, "default")
        note = f"  [dim]not sent: {escape(sample.note)}[/]" if sample.note else ""
        console.print(f"  [{style}]{sample.op:<6}[/] {short(sample.key, 40)}{note}")
        if sample.note or sample.op == "delete":
            continue
        for name, (before, after) in list(sample.fields.items())[:6]:
            change = short(after) if sample.op == "create" else f"{short(before)} → {short(after)}"
            console.print(f"         {escape(name)}: {change}")
        if len(sample.fields) > 6:
            console.print(f"         … {len(sample.fields) - 6} more")
    console.print()


def show_reports(console: Console, reports: Sequence[SyncReport]) -> None:
    counts = ["create", "adopt", "update", "delete", "not ok", "requests", "s"]
    overview = table("sync", "status", *counts, right=counts)
    for r in reports:
        p, c = r.plan, r.counts
        numbers = (p.create, p.adopt, p.update, p.delete, c.get("rejected", 0) + c.get("unknown", 0), r.requests)
        overview.add_row(r.sync, status(r.status), *(f"{n:,}" for n in numbers), f"{r.seconds:.1f}")
    console.print(overview)
    for r in reports:
        if r.recovered:
            console.print(f"{r.sync}: healed {r.recovered:,} record(s) that a run left in doubt")
        if r.error:
            console.print(f"[red]{r.sync} stopped:[/] {short(r.error, 400)}")
        if r.not_sent:
            console.print(f"{r.sync}: {r.not_sent:,} record(s) not sent; the same command takes up from there")
        if r.counts.get("rejected") or r.counts.get("unknown"):
            console.print(f"{r.sync}: why records did not go through: [bold]revetl runs {r.run_id}[/]")


def plan_document(plan: PlanSummary) -> dict[str, Any]:
    return {**asdict(plan), "changes": plan.changes}


def report_document(report: SyncReport) -> dict[str, Any]:
    return {**asdict(report), "plan": plan_document(report.plan)}
