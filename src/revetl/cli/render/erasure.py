"""What is held of people who are to be forgotten, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revetl.cli.render.reports import short, table

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.privacy.erasure import ErasureReport

_SHOWN = 10
_KEPT = {
    "enrichment_calls": "rows stay, as money that was paid; answers and keys go",
    "outcomes": "rows stay, as counts; values and keys go",
    "runs": "rows stay; the message goes",
}


def show_erasure(screen: Console, report: ErasureReport) -> None:
    """What is held of these people, table by table, and what stands at destinations."""
    people = report.people
    screen.print(f"{len(people.found):,} record(s)" + (":" if people.found else " of them are known"))
    for key, where in [*people.found.items()][:_SHOWN]:
        screen.print(f"  {short(key, 40)}  [dim]{short(where)}[/]")
    if len(people.found) > _SHOWN:
        screen.print(f"  … {len(people.found) - _SHOWN:,} more")
    if report.tables:
        listing = table("table", "rows", "", right=["rows"])
        for name, rows in sorted(report.tables.items()):
            listing.add_row(name, f"{rows:,}", _KEPT.get(name, "deleted"))
        screen.print(listing)
    if people.standing:
        screen.print("Still at the destinations, for you to delete there:")
        for sync, id_ in people.standing[:_SHOWN]:
            screen.print(f"  {sync}  id {short(id_, 40)}")
        if len(people.standing) > _SHOWN:
            screen.print(f"  … {len(people.standing) - _SHOWN:,} more: --dry-run --json lists them")
    screen.print("Sources and the models that are built from them are yours to delete from.")
