"""All that is known of one record, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from revetl.cli.render.reports import short, status, table
from revetl.cli.render.values import show_values
from revetl.usecases.explain import BONDS, EDGES, OUTCOMES, VALUES

if TYPE_CHECKING:
    from rich.console import Console

_FIELDS = 6
_EDGES = 12
_BAR = 20  # cells of the longest bar


def show_record(screen: Console, key: str, found: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    screen.print(f"[bold]{short(key, 60)}[/]", soft_wrap=True)
    for title, rows in found.items():
        _show(screen, title, rows)


def _show_outcomes(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Each with what it changed: a table of before and after would be broken into columns of a few characters."""
    for row in rows:
        head = f"  {row['at']}  {row['run']}  {row['sync']}  {row['op']}  {status(str(row['status']))}"
        screen.print(head, soft_wrap=True)
        if row["message"]:
            screen.print(f"    {short(row['message'], 300)}", soft_wrap=True)
        before, after = (json.loads(row[side] or "{}") for side in ("before", "after"))
        for name in list(after)[:_FIELDS]:
            was = f"{short(before[name])} → " if name in before else ""
            screen.print(f"    {short(name, 40)}: {was}{short(after[name])}", soft_wrap=True)
        if len(after) > _FIELDS:
            screen.print(f"    … {len(after) - _FIELDS} more")


def _show_edges(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Two lines for each: keys and values of sources are as long as they like."""
    most = max(float(row["weight"]) for row in rows)
    for row in rows[:_EDGES]:
        bar = "█" * max(1, round(_BAR * float(row["weight"]) / most))
        value = "" if row["identifier"] is None else f"  {short(row['identifier'], 60)}"
        screen.print(
            f"  {bar:<{_BAR}} {float(row['weight']):>6,.1f}  {short(row['match_rule'], 40)}{value}", soft_wrap=True
        )
        screen.print(
            f"  {'':<{_BAR}}         {short(row['left_key'], 60)} — {short(row['right_key'], 60)}", soft_wrap=True
        )
    if len(rows) > _EDGES:
        screen.print(f"  … {len(rows) - _EDGES:,} more")


def _show_bonds(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows[:_EDGES]:
        what = short(row["match_rule"], 40)
        value = "" if row["identifier"] is None else f" {short(row['identifier'], 60)}"
        screen.print(f"  without {what}{value} they are {len(row['groups'])}:", soft_wrap=True)
        for group in row["groups"][:4]:
            more = f" and {len(group) - 4:,} more" if len(group) > 4 else ""
            screen.print(f"    {', '.join(short(key, 60) for key in group[:4])}{more}", soft_wrap=True)
    if len(rows) > _EDGES:
        screen.print(f"  … {len(rows) - _EDGES:,} more")


def _show(screen: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    screen.print(f"[bold]{title}[/]")
    if title == VALUES:
        show_values(screen, rows)
    elif title == OUTCOMES:
        _show_outcomes(screen, rows)
    elif title == EDGES:
        _show_edges(screen, rows)
    elif title == BONDS:
        _show_bonds(screen, rows)
    elif len(rows) == 1:
        for name, value in rows[0].items():
            if value is not None:
                screen.print(f"  {name:<20} {short(value, screen.width - 23)}")
    else:
        shown = [name for name in rows[0] if name != "golden_id" and any(r[name] is not None for r in rows)]
        listing = table(*shown)
        for row in rows:
            listing.add_row(*("" if row[name] is None else short(row[name], 40) for name in shown))
        screen.print(listing)
    screen.print()
