"""What `revetl tune` says on a screen: tables that fit 80 columns, and sentences under them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.enrich.ordering.compare import Comparison, Objective, OrderLine
    from revetl.enrich.ordering.history import History
    from revetl.enrich.ordering.order_cost import Interval
    from revetl.usecases.tune import Tuning

SHOWN_SEGMENTS = 12


def show_tuning(screen: Console, tuning: Tuning, aim: Objective) -> None:
    from rich.table import Table

    history, whole, name = tuning.history, tuning.whole, tuning.spec.name
    places = {candidate.name: i for i, candidate in enumerate(history.candidates, 1)}
    screen.print(f"[bold]{name}[/]: {', '.join(history.fields)}")
    screen.print(f"{whole.records:,.0f} records were asked of somebody; {whole.audited:,.0f}, drawn by lot, of all.")
    screen.print("± is one side of a 95% interval.\n")
    table = Table(box=None, pad_edge=False)
    table.add_column("order", no_wrap=True)
    for heading in ("cost per value", "filled", "value cheaper by"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("asks", overflow="fold")
    for line in whole.lines:
        asks = "all orders" if line.label == "random" else _order(line.order, places) or "nobody"
        table.add_row(line.label, *_cells(line), asks)
    screen.print(table)
    if {"ledger", "audit"} <= {line.basis for line in whole.lines}:
        judged = ", ".join(line.label for line in whole.lines if line.basis == "ledger")
        screen.print(f"Judged on all records: {judged}. The others on those asked of all; savings on the same ones.")
    screen.print()
    _show_providers(screen, history)
    screen.print()
    for sentence in _verdict(whole, aim):
        screen.print(sentence)
    if tuning.segments:
        _show_segments(screen, tuning.segments, places)


def draw(path: Path, tuning: Tuning) -> None:
    """What each order costs, as a page (.html) or a picture (.svg)."""
    from revetl.enrich.ordering import plot

    render = plot.html if path.suffix == ".html" else plot.svg
    path.write_text(render(tuning.whole, f"{tuning.spec.name}: what a filled blank costs"), encoding="utf-8")


def _show_providers(screen: Console, history: History) -> None:
    """Rates are of those that were asked: under a cascade, of what the earlier ones left."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("provider", overflow="fold")
    for heading in ("asked", "found", "useful", "a call", "a hit, more"):
        table.add_column(heading, justify="right", no_wrap=True)
    for i, (candidate, price) in enumerate(zip(history.candidates, history.prices, strict=True)):
        known = [(c.weight, r) for c in history.asked_records if (r := c.replies[i]) is not None and r.able]
        asked = sum(weight for weight, _ in known)
        found, useful = (
            f"{sum(weight for weight, r in known if good(r)) / asked:.0%}" if asked else ""
            for good in (lambda r: r.hit, lambda r: bool(r.fills))
        )
        prices = (f"${price.per_call:.4g}", f"${price.per_hit:.4g}")
        table.add_row(str(i + 1), candidate.name, f"{asked:,.0f}", found, useful, *prices)
    screen.print(table)


def _cells(line: OrderLine) -> tuple[str, str, str]:
    if line.usd_per_value is None or line.coverage is None:
        if line.bounds_usd is None:
            return "", "not identified", ""
        low, high = line.bounds_usd
        return f"${low:.3f} to {'any' if high == float('inf') else f'${high:.3f}'}", "not identified", ""
    cost, share = line.usd_per_value, line.coverage
    around = f"${cost.value:.3f} ±{_half(cost):.3f}"
    return around, f"{share.value:.1%} ±{_half(share):.1%}", "" if line.saved is None else _short(line.saved)


def _half(figure: Interval) -> float:
    """Of the 95 % interval, one side."""
    return (figure.high - figure.low) / 2


def _short(figure: Interval) -> str:
    return f"{figure.value:.1%} ±{_half(figure):.1%}"


def _percent(figure: Interval) -> str:
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


def _order(order: tuple[str, ...], places: dict[str, int]) -> str:
    return "→".join(str(places[name]) for name in order)


def _verdict(comparison: Comparison, aim: Objective) -> list[str]:
    found: list[str] = []
    today = comparison.lines[0].order
    best = " → ".join(comparison.best) or "asking nobody"
    if comparison.identified:
        if comparison.best == today:
            found.append("Today's order is the best.")
        elif comparison.gain is not None:
            gain = _gain(comparison.gain, aim)
            found.append(f"Best: [bold]{best}[/].")
            found.append(f"On records that it was not chosen on it brings {gain}.")
            if not comparison.better:
                found.append("[yellow]That is within chance: no reason to change anything yet.[/]")
    else:
        if comparison.incomplete and comparison.audited:
            why = f"{comparison.incomplete:,.0f} drawn records are not asked of everybody yet"
        else:
            asked = f"only {comparison.audited:,.0f} records were" if comparison.audited else "no record was"
            why = f"{asked} asked of everybody"
        found.append(f"[yellow]Other orders can't be told from this ledger[/] ({why}); where to stop can.")
        if comparison.by_rule and comparison.by_rule != today:
            found.append(
                "But everybody is paid by the hit alone, and every hit counted: then ascending price is the cheapest "
                f"order, whoever knows what: [bold]{' → '.join(comparison.by_rule)}[/]."
            )
        if comparison.best != today:
            found.append(f"Best stop in today's order: [bold]{best}[/].")
            if comparison.gain is not None:
                found.append(f"On records that it was not chosen on it brings {_gain(comparison.gain, aim)}.")
    if comparison.audit is not None and comparison.audit.more:
        found += _audit(comparison)
    return found


def _gain(figure: Interval, aim: Objective) -> str:
    if aim.kind == "net":
        return f"${figure.value:.4f} more per record (${figure.low:.4f} to ${figure.high:.4f})"
    if aim.kind == "budget":
        return f"{figure.value:+.3f} values per record ({figure.low:+.3f} to {figure.high:+.3f})"
    return f"{_percent(figure)} off the cost of a value"


def _audit(comparison: Comparison) -> list[str]:
    plan = comparison.audit
    if plan is None:
        return []
    if plan.share > 1:
        return [f"These are too few records to tell savings to within {plan.within:.0%}: it takes {plan.records:,}."]
    return [
        f"To tell savings to within {plan.within:.0%}, have {plan.records:,} records asked of everybody, for about "
        f"${plan.usd:,.2f} more than today's order (planned on {plan.planned_on}). In the waterfall:",
        f"  audit: {{share: {plan.share:.2g}}}",
    ]


def _show_segments(screen: Console, segments: Sequence[Comparison], places: dict[str, int]) -> None:
    from rich.table import Table

    table = Table("segment", box=None, pad_edge=False)
    for heading in ("records", "audited", "today", "best", "cheaper by"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("best asks", overflow="fold")
    for part in segments[:SHOWN_SEGMENTS]:
        today, best = part.lines[0].usd_per_value, part.lines[1].usd_per_value
        costs = ("" if cost is None else f"${cost.value:.3f}" for cost in (today, best))
        saved = part.lines[1].saved
        order = _order(part.best, places) if part.identified else "not identified"
        gain = "" if saved is None or not part.identified else _short(saved)
        table.add_row(
            for_markup(part.segment) or "(none)", f"{part.records:,.0f}", f"{part.audited:,.0f}", *costs, gain, order
        )
    screen.print()
    screen.print(table)
    if len(segments) > SHOWN_SEGMENTS:
        screen.print(f"and {len(segments) - SHOWN_SEGMENTS} smaller segments: --json shows all")
