"""What a project declares, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console


def show_declared(screen: Console, listing: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    for kind, rows in listing.items():
        _show(screen, kind, rows)


def _show(screen: Console, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    screen.print(f"[bold]{kind}[/] ({len(rows)})")
    if not rows:
        return
    shown = [c for c in rows[0] if c not in ("columns", "declared")]
    table = Table(*shown, box=None, pad_edge=False, show_edge=False)
    for row in rows:
        cells = (", ".join(map(str, v)) if isinstance(v, list) else str(v or "") for v in map(row.get, shown))
        table.add_row(*map(for_markup, cells))
    screen.print(table)
    screen.print()
