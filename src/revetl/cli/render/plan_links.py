"""The changes of links in a plan, for people: a line each, on a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from revetl.cli.render.reports import cut, short, show_item
from revetl.safe_text import for_markdown, for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.sync import PlanSummary
    from revetl.sync.links.link_plan import LinkChange

_STYLES = {"link": "green", "unlink": "red"}


def show_link_samples(console: Console, plan: PlanSummary, samples: int) -> None:
    """`samples` changes of each kind, and how many more are to be made or removed."""
    for op, total in (("unlink", plan.links.unlink), ("link", plan.links.link)):
        shown = show_links(console, (change for change in _few_of_each_kind(plan, samples) if change.op == op))
        if samples and total > shown:
            show_item(console, f"… {total - shown:,} more", indent=9, style="dim")


def show_links(console: Console, changes: Iterable[LinkChange]) -> int:
    """Every change; returns how many there were."""
    shown = 0
    for change in changes:
        style, kind = _STYLES[change.op], for_markup(_kind(change))
        ends = f"{short(change.key, 60)} → {short(change.to_key, 60)}"
        console.print(f"  [{style}]{change.op:<6}[/] {ends}  [dim]{kind}[/]", soft_wrap=True)
        shown += 1
    return shown


def link_rows(plan: PlanSummary, samples: int, *, width: int) -> Iterator[str]:
    """A Markdown table of `samples` changes of each kind; nothing where there are none. `width`: of a cell, at most."""
    changes = list(_few_of_each_kind(plan, samples))
    if not changes:
        return
    yield "| record | what | to | kind |"
    yield "|---|---|---|---|"
    for change in changes:
        key, to_key = (for_markdown(cut(text, width)) for text in (change.key, change.to_key))
        yield f"| {key} | {change.op} | {to_key} | {for_markdown(_kind(change))} |"
    yield ""


def _few_of_each_kind(plan: PlanSummary, most: int) -> Iterator[LinkChange]:
    shown: dict[tuple[str, str, int], int] = {}
    for change in plan.link_samples:
        kind = (change.op, change.to_sync, change.type)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] <= most:
            yield change


def _kind(change: LinkChange) -> str:
    return f"{change.to_sync}, type {change.type}"
