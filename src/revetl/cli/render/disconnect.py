"""How leaving a destination looks on a terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.cli.render.reports import cut, short, show_field_table, show_item, status
from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.sync.disconnect.disconnecting import DisconnectPlan, DisconnectReport

_WAYS = {
    "leave": "all of it is left as it stands",
    "clear": "fields that we wrote get back what stood before us, and our links go",
    "archive": "what we created is archived where this sync's fields stand as sent; others are not looked at",
}


def show_disconnect_plan(console: Console, plan: DisconnectPlan) -> None:
    """What stands there because of the sync, and what would be done about it."""
    place = f"{plan.destination} {plan.object}" if plan.destination else "a destination that is not known"
    console.print(f"[bold]{for_markup(plan.sync)}[/]: disconnect from {for_markup(place)}", soft_wrap=True)
    standing = plan.standing
    console.print(
        f"  {standing.records:,} record(s) known there: {_shares(standing.created, standing.written, standing.matched)}"
    )
    if standing.fields:
        fields = {name: {"records of others": n} for name, n in standing.fields.items()}
        show_field_table(console, fields, ["records of others"])
    for to, n in standing.links.items():
        show_item(console, f"{n:,} link(s) that it made, to {to}")
    console.print(f"  [bold]{plan.way.value}[/]: {_WAYS[plan.way.value]}")
    changes = plan.changes
    if changes is not None:
        words = {
            "restore": "to set back",
            "archive": "to archive",
            "already": "as before already",
            "left": "left alone",
        }
        said = [f"{n:,} {said}" for word, said in words.items() if (n := getattr(changes, word))]
        said += [f"{plan.unlink:,} link(s) to remove"] if plan.unlink else []
        requests = f"{changes.requests + plan.unlink_requests:,} request(s) to write"
        console.print(f"  {', '.join(said) or 'nothing to change'}; {requests}", soft_wrap=True)
        for sentence in changes.consequences if changes.changes else ():
            console.print(f"  [yellow]{short(sentence, 200)}[/]", soft_wrap=True)
        for reason, whole, n in changes.reasons:
            show_item(
                console, f"left: {n:,} {'record' if whole else 'field'}{'s' if n > 1 else ''}  {cut(reason, 100)}"
            )
    if plan.tables:
        show_item(console, f"then its state goes: {', '.join(plan.tables)}")


def show_disconnect(console: Console, report: DisconnectReport, mapping: Path | None) -> None:
    """What became of it."""
    name = for_markup(report.sync)
    if report.already:
        console.print(f"[bold]{name}[/]: is disconnected already; there was nothing left to do")
        return
    console.print(f"[bold]{name}[/]: {status(report.status)}  {_counted(report.counts)}".rstrip(), soft_wrap=True)
    if report.error:
        console.print(f"[red]{name} stopped:[/] {short(report.error, 400)}")
    if mapping is not None and report.disconnected:
        show_item(console, f"{report.mapped:,} key(s) with their record ids: {mapping}")
    if report.disconnected:
        show_item(console, "its state is gone, and no run sends anything of it any more")
    else:
        show_item(console, "its state stays, so that the same command can go on; no run sends anything of it meanwhile")


def _shares(created: int, written: int, matched: int) -> str:
    words = {
        "that it created": created,
        "of others, in which it wrote": written,
        "of others, equal when found": matched,
    }
    return ", ".join(f"{n:,} {what}" for what, n in words.items() if n) or "none"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {word.replace('_', ' ')}" for word, n in counts.items() if n)
