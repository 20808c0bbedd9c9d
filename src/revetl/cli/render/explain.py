"""All that is known of one record, on a terminal."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from revetl.cli.render.reports import short, status, table
from revetl.cli.render.values import show_offered, show_values
from revetl.golden.pictures import PairEvidence, evidence_svg
from revetl.usecases.explain import BONDS, EDGES, OFFERED, OUTCOMES, VALUES

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
    """Lines of their own for rule, keys and fields: keys and values of sources are as long as they like."""
    most = max(abs(float(row["weight"])) for row in rows)
    for row in rows[:_EDGES]:
        value = "" if row["identifier"] is None else f"  {short(row['identifier'], 60)}"
        bar = _bar(float(row["weight"]), most)
        screen.print(f"  {bar} {float(row['weight']):>6,.1f}  {short(row['match_rule'], 40)}{value}", soft_wrap=True)
        screen.print(
            f"  {'':<{_BAR}}         {short(row['left_key'], 60)} — {short(row['right_key'], 60)}", soft_wrap=True
        )
        _show_fields(screen, row.get("fields", ()), most)
    if len(rows) > _EDGES:
        screen.print(f"  … {len(rows) - _EDGES:,} more")


def _show_fields(screen: Console, fields: Sequence[dict[str, Any]], most: float) -> None:
    """What each field gives to the weight above it, on the same scale."""
    for field in fields:
        bits = float(field["weight"])
        level = "" if field.get("level") is None else f": {short(field['level'], 20)}"
        screen.print(f"  {_bar(bits, most)} {bits:>+6,.1f}    {short(field['field'], 40)}{level}", soft_wrap=True)


def _bar(weight: float, most: float) -> str:
    """What speaks against is hatched, and its number has a minus: nothing is told by colour."""
    cells = max(1, round(_BAR * min(abs(weight) / most, 1))) if most else 1
    return f"{('█' if weight >= 0 else '░') * cells:<{_BAR}}"


def _show_bonds(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows[:_EDGES]:
        if "weight" in row:
            screen.print(
                f"  they part first here: {float(row['weight']):,.1f} bits between them, the mean of all pairs;"
                " without a field that has more, or under a threshold above it, they are 2:",
                soft_wrap=True,
            )
            _show_fields(screen, row["fields"], max(abs(float(field["weight"])) for field in row["fields"]))
        else:
            lost = " and ".join(_value(one) for one in row.get("all_of", (row,)))
            screen.print(f"  without {lost} they are {len(row['groups'])}:", soft_wrap=True)
        for group in row["groups"][:4]:
            more = f" and {len(group) - 4:,} more" if len(group) > 4 else ""
            screen.print(f"    {', '.join(short(key, 60) for key in group[:4])}{more}", soft_wrap=True)
    if len(rows) > _EDGES:
        screen.print(f"  … {len(rows) - _EDGES:,} more")


def _value(bond: Mapping[str, Any]) -> str:
    value = "" if bond["identifier"] is None else f" {short(bond['identifier'], 60)}"
    return f"{short(bond['match_rule'], 40)}{value}"


def evidence_picture(key: str, found: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """What joins the records, as SVG."""
    pairs: dict[tuple[str, str], list[tuple[str, float]]] = {}
    weights: dict[tuple[str, str], float] = defaultdict(float)
    for row in found.get(EDGES, ()):
        ends = (str(row["left_key"]), str(row["right_key"]))
        weights[ends] += float(row["weight"])
        fields = row.get("fields") or [{"field": row["match_rule"], "weight": row["weight"]}]
        pairs.setdefault(ends, []).extend((str(one["field"]), float(one["weight"])) for one in fields)
    listed = [PairEvidence(*ends, weights[ends], tuple(fields)) for ends, fields in pairs.items()]
    return evidence_svg(sorted(listed, key=lambda pair: -pair.weight), f"What makes {key[:40]} one record")


def _show(screen: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    screen.print(f"[bold]{title}[/]")
    if title == VALUES:
        show_values(screen, rows)
    elif title == OFFERED:
        show_offered(screen, rows)
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
