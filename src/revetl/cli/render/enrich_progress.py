"""How far a waterfall is, while it runs: one bar per provider, with what was found, missed and spent, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from revetl.cli.options import notes_console

if TYPE_CHECKING:
    from revetl.enrich.report import OnProgress, Progress


@contextmanager
def progress(waterfall: str) -> Iterator[OnProgress]:
    """On stderr where somebody looks; nothing at all elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    screen = notes_console()
    name = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=26))
    counts_text = "{task.fields[hits]:,} found, {task.fields[misses]:,} missed, ${task.fields[spent]:,.2f}"
    columns = (
        name,
        BarColumn(bar_width=6),
        MofNCompleteColumn(),
        TextColumn(counts_text, table_column=Column(no_wrap=True)),
    )
    bars = Bars(*columns, console=screen, disable=not screen.is_terminal)
    tasks: dict[str, Any] = {}
    totals: dict[str, int] = {}

    def tell(at: Progress) -> None:
        counts: dict[str, Any] = {"hits": at.hits, "misses": at.misses, "spent": at.spent_usd}
        if at.provider not in tasks:
            tasks[at.provider] = bars.add_task(at.provider, total=0, **counts)
        # A verifier is asked in several stages: its questions add up.
        done = at.hits + at.misses
        totals[at.provider] = max(totals.get(at.provider, 0), done, at.expected)
        bars.update(tasks[at.provider], completed=done, total=totals[at.provider], **counts)

    if screen.is_terminal:
        screen.print(f"[bold]{waterfall}[/]")
    with bars:
        yield tell
