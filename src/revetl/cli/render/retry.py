"""What stands in the retry queue, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from revetl.cli.render.reports import counted, short, status

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.sync.awaited import AwaitedRecords
    from revetl.sync.release import RetryReport
    from revetl.sync.retry.queue import QueuedRecords


def show_waiting(screen: Console, released: Sequence[RetryReport]) -> None:
    """By sync and reason, with a few keys of each."""
    for found in released:
        if reasons := {w.code or w.status.upper(): w.records for w in found.waiting}:
            screen.print(f"[bold]{found.sync}[/]  {found.records:,} record(s) wait: {short(counted(reasons), 200)}")
        for w in found.waiting:
            keys = ", ".join(short(key, 24) for key in w.keys) + (", …" if w.records > len(w.keys) else "")
            why = f"{status(w.status)} {short(w.code or '', 40)}"
            screen.print(f"[bold]{found.sync}[/]  {w.records:,} {why}, {_until(w)}")
            # One message speaks for the group: where theirs differ, the keys beside it must not seem to share it.
            others = f" [dim](and {w.messages - 1:,} other message(s))[/]" if w.messages > 1 else ""
            others = others if w.other_message is None else f"; of others of them: {short(w.other_message, 120)}"
            screen.print(f"  {keys}" + (f": {short(w.message, 120)}{others}" if w.message else ""))
        if found.links_waiting:
            said = f"{sum(found.links_waiting.values()):,} refused link(s) wait: {counted(found.links_waiting)}"
            screen.print(f"[bold]{found.sync}[/]  {short(said, 200)}")
        show_awaited(screen, found.sync, found.awaited)
    if not any(found.records or found.links_waiting or found.awaited for found in released):
        screen.print("No record waits.")


def show_awaited(screen: Console, sync: str, awaited: AwaitedRecords) -> None:
    """The values that nothing was found for, and how many links wait for which sync."""
    for m in awaited.named:
        what = "link(s) of" if m.link else "field withheld in"
        among = short(m.among, 60)
        screen.print(
            f"[bold]{sync}[/]  {short(m.column, 40)}: no {among} is now {short(m.value, 60)}:"
            f" {what} {m.records:,} record(s), looked for by every run",
            soft_wrap=True,
        )
        keys = ", ".join(short(key, 24) for key in m.keys) + (", …" if m.records > len(m.keys) else "")
        screen.print(f"  {keys}")
    for to, n in awaited.links.items():
        whose = "records of this sync" if to == sync else f"records of {to}"
        yet = " yet"
        if to in awaited.disconnected:
            yet = f": {to} is disconnected, so nothing sends them (`revetl disconnect {to} --reconnect`)"
        screen.print(
            f"[bold]{sync}[/]  {n:,} link(s) wait for {whose} that are not at the destination{yet}", soft_wrap=True
        )


def _until(waiting: QueuedRecords) -> str:
    if waiting.by_itself:
        return "tried again by itself"
    return "until you release them" if waiting.status == "unknown" else "until their rows change"
