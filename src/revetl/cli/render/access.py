"""Tokens and the audit log on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.accounts.audit import AuditEvent
    from revetl.accounts.tokens import AccessToken


def show_tokens(screen: Console, tokens: Sequence[AccessToken], now: datetime) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table("id", "name", "role", "made", "last used", "ends", box=None, pad_edge=False, show_edge=False)
    for token in tokens:
        ends = "revoked" if token.revoked_at else "" if token.expires_at is None else _at(token.expires_at)
        ends += " (over)" if not token.revoked_at and not token.holds(now) else ""
        cells = (token.token_id, token.name, token.role, _at(token.created_at), _at(token.last_used_at), ends)
        shown.add_row(*map(Text, cells))
    screen.print(shown)


def show_audit(screen: Console, events: Sequence[AuditEvent]) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table("when", "who", "what", "of", "why", "from", box=None, pad_edge=False, show_edge=False)
    for event in events:
        what = event.action if event.outcome == "began" else f"{event.action} ({event.outcome})"
        cells = (_at(event.at), event.actor, what, event.subject or "", event.reason or "", event.origin)
        shown.add_row(*map(Text, cells))
    screen.print(shown)


def _at(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
