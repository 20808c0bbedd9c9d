"""What stands in the retry queue, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from revetl.cli.render.reports import short, status

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.sync.retry.release import RetryReport


def show_waiting(screen: Console, released: Sequence[RetryReport]) -> None:
    """By sync and reason, with a few keys of each."""
    for found in released:
        for w in found.waiting:
            keys = ", ".join(short(key, 24) for key in w.keys) + (", …" if w.records > len(w.keys) else "")
            screen.print(f"[bold]{found.sync}[/]  {w.records:,} {status(w.status)} {short(w.code or '', 40)}")
            # One message speaks for the group: where theirs differ, the keys beside it must not seem to share it.
            others = f" [dim](and {w.messages - 1:,} other message(s))[/]" if w.messages > 1 else ""
            screen.print(f"  {keys}" + (f": {short(w.message, 120)}{others}" if w.message else ""))
    if not any(found.records for found in released):
        screen.print("No record waits.")
