"""Incidents on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.alerts.incidents import Incident
    from revetl.usecases.alerts import AlertCheck


def show_incidents(screen: Console, incidents: Sequence[Incident]) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table("since (UTC)", "state", "severity", "subject", "alert", box=None, pad_edge=False, show_edge=False)
    for each in incidents:
        state = "open" if each.recovered_at is None else f"over {each.recovered_at:%Y-%m-%d %H:%M}"
        cells = (f"{each.since:%Y-%m-%d %H:%M}", state, each.severity, each.subject, each.rule)
        shown.add_row(*map(Text, cells))
    screen.print(shown)
    for each in incidents:
        if each.recovered_at is None:
            screen.print(f"{each.subject}: {each.said}: {each.command}", markup=False, soft_wrap=True)


def show_check(screen: Console, check: AlertCheck) -> None:
    if check.open:
        show_incidents(screen, check.open)
    words = [
        f"{len(check.open)} open",
        f"{len(check.opened)} began",
        f"{len(check.recovered)} over",
        f"{check.sent} told",
    ]
    screen.print(", ".join(words), markup=False)
    for message in check.untold:
        screen.print(f"{message.channel} did not take it: {message.error}", markup=False, soft_wrap=True)
