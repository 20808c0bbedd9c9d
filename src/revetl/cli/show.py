"""How reports and outcomes look on a terminal, within 80 columns, and as plain data for --json. Plans: plan_text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

    from revetl.model import Scalar
    from revetl.sync import PlanSummary, SyncReport

_NOT_OK = ("rejected", "unknown", "links_rejected", "links_unknown")
_STATUS_STYLES = {"done": "green", "ok": "green", "partial": "yellow", "skipped": "dim"}


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Columns of numbers stand at the `right`; those and `whole` ones are never broken, nor is the first."""
    from rich import box
    from rich.table import Table

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, column in enumerate(columns):
        # The first column names the row: it is what a person copies, so it is never broken.
        justify: JustifyMethod = "right" if column in right else "left"
        out.add_column(column, justify=justify, overflow="fold", no_wrap=not i or column in right or column in whole)
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


def show_reports(console: Console, reports: Sequence[SyncReport]) -> None:
    def numbers(report: SyncReport) -> dict[str, int]:
        plan, not_ok = report.plan, sum(report.counts.get(word, 0) for word in _NOT_OK)
        ops = {"create": plan.create, "adopt": plan.adopt, "update": plan.update, "delete": plan.delete}
        links = {"links": report.counts.get("linked", 0) + report.counts.get("unlinked", 0)}
        return ops | links | {"not ok": not_ok, "requests": report.requests}

    every = [numbers(r) for r in reports]
    always = ("create", "update", "requests")
    counts = [n for n in (every[0] if every else ()) if n in always or any(row[n] for row in every)]
    overview = table("sync", "status", *counts, "s", right=[*counts, "s"], whole=["status"])
    for r, row in zip(reports, every, strict=True):
        overview.add_row(r.sync, status(r.status), *(f"{row[n]:,}" for n in counts), f"{r.seconds:.1f}")
    console.print(overview)
    for r in reports:
        if r.recovered:
            console.print(f"{r.sync}: healed {r.recovered:,} record(s) that a run left in doubt")
        if r.error:
            console.print(f"[red]{r.sync} stopped:[/] {short(r.error, 400)}")
        if r.not_sent:
            console.print(f"{r.sync}: {r.not_sent:,} record(s) not sent; the same command takes up from there")
        if r.links_not_sent:
            console.print(f"{r.sync}: {r.links_not_sent:,} link(s) not sent; the same command takes up from there")
        if r.links_waiting:
            console.print(f"{r.sync}: {r.links_waiting:,} link(s) wait for a record that is not there yet")
        if any(r.counts.get(word) for word in _NOT_OK):
            console.print(f"{r.sync}: why records did not go through: [bold]revetl runs show {r.run_id[-6:]}[/]")


def plan_document(plan: PlanSummary) -> dict[str, Any]:
    return {**asdict(plan), "changes": plan.changes}


def report_document(report: SyncReport) -> dict[str, Any]:
    return {**asdict(report), "plan": plan_document(report.plan)}
