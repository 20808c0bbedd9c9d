"""What is shown before a waterfall runs (columns, cost), and of calls in doubt after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from revetl.cli.options import console, err_console, notes_console
from revetl.cli.output import echo
from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from revetl.enrich.lists.columns import ColumnMatch
    from revetl.enrich.report import Estimate, StageEstimate


def show_estimates(estimates: Sequence[Estimate]) -> None:
    """Per provider and per field, then the sums, on stderr."""
    from rich.table import Table

    screen = err_console()
    for each in estimates:
        table = Table("provider", box=None, pad_edge=False, title=each.waterfall, title_justify="left")
        for heading in ("lookups at most", "expected", "hit rate", "minutes", "expected cost", "at most"):
            table.add_column(heading, justify="right", no_wrap=heading != "lookups at most")
        for stage in each.stages:
            rate = f"{'~' if stage.assumed else ''}{stage.hit_rate:.0%}"
            lookups = (f"{stage.lookups:,}", _number(stage.expected_lookups))
            usd = (f"${stage.expected_usd:,.2f}", f"${stage.greatest_usd:,.2f}")
            table.add_row(stage.provider, *lookups, rate, _minutes(stage.minutes), *usd)
        for check in each.verifiers:
            lookups = (f"{check.lookups:,}", _number(check.expected_lookups))
            table.add_row(
                check.provider, *lookups, "", "", f"${check.expected_usd:,.2f}", f"${check.greatest_usd:,.2f}"
            )
        screen.print(table)
        for stage in each.stages:
            for said in _with_other_inputs(stage):
                screen.print(f"{stage.provider}: {said}")
        if each.suppressed:
            screen.print(f"{each.suppressed:,} suppressed or erased: nobody is asked about them")
        if any(c.total for c in each.coverage.values()):
            fields = Table("field", box=None, pad_edge=False)
            for heading in ("records", "filled now", "expected", "likely"):
                fields.add_column(heading, justify="right")
            for name, c in each.coverage.items():
                likely = f"{_share(c.low, c.total)} to {_share(c.high, c.total)}"
                fields.add_row(name, f"{c.total:,}", _share(c.before, c.total), _share(c.expected, c.total), likely)
            screen.print(fields)
    assumed = any(stage.assumed for each in estimates for stage in each.stages)
    note = " Hit rates with ~ are guesses: too little was asked yet." if assumed else ""
    expected, p95, greatest = (
        sum((getattr(e, name) for e in estimates), Decimal(0)) for name in ("expected_usd", "p95_usd", "greatest_usd")
    )
    # Waterfalls that are all dear at once are rarer than one: the sum of their 95 % is on the safe side.
    screen.print(
        f"Expected cost ${expected:,.2f}, in 95 of 100 runs at most ${p95:,.2f}, never over ${greatest:,.2f} (budgets)."
    )
    minutes = sum(e.minutes for e in estimates)
    said = (
        "Less than a minute" if minutes < 1 else "About a minute" if minutes < 1.5 else f"About {minutes:,.0f} minutes"
    )
    screen.print(f"{said} at the providers' limits.{note}")


def _with_other_inputs(stage: StageEstimate) -> list[str]:
    said = []
    if stage.spared:
        said.append(f"{stage.spared:,} already asked with other inputs: $0")
    if stage.again:
        said.append(f"{stage.again:,} not found before are asked again, as the list has more to find them by")
    return said


def say_cost(estimates: Sequence[Estimate]) -> None:
    """The sums in one line, on stderr."""
    expected, greatest = (
        sum((getattr(e, name) for e in estimates), Decimal(0)) for name in ("expected_usd", "greatest_usd")
    )
    lookups = sum(e.lookups for e in estimates)
    echo(f"  up to {lookups:,} lookups, expected ${expected:,.2f}, at most ${greatest:,.2f}", err=True)


def show_match(match: ColumnMatch) -> None:
    """Which column of the list is which input, on stderr."""

    screen = notes_console()
    columns = {name: " or ".join((column, *match.further.get(column, ()))) for name, column in match.inputs.items()}
    matched = ", ".join(f"{for_markup(column)} → {name}" for name, column in columns.items())
    screen.print(f"Waterfall [bold]{match.spec.name}[/]. Columns: {matched}")
    absent = [name for name in match.spec.inputs if name not in match.inputs]
    if absent:
        screen.print(f"Not in the list: {', '.join(absent)}")


def print_in_doubt(rows: Sequence[Mapping[str, object]]) -> None:
    from rich.table import Table

    screen = console()
    if not rows:
        screen.print("No call is in doubt.")
        return
    table = Table("asked (UTC)", "provider", "about", "run", "at most", "what happens", box=None, pad_edge=False)
    for row in rows:
        people = row["people"]
        about = _about(people if isinstance(people, Mapping) else {})
        cells = (str(row["asked_at"])[:19], row["provider"], about, row["run_id"], f"${row['usd']}", row["next"])
        table.add_row(*map(str, cells))
    screen.print(table)
    usd = sum((Decimal(str(row["usd"])) for row in rows), Decimal(0))
    screen.print(f"{len(rows):,} calls are in doubt, with at most ${usd:,.2f}.")


def _about(people: Mapping[str, Mapping[str, str]]) -> str:
    """The first of them by name, or by key; a list's key is known to whoever has the list."""
    from revetl.usecases.in_doubt import who

    key, inputs = next(iter(people.items()), ("", {}))
    more = f" and {len(people) - 1:,} more" if len(people) > 1 else ""
    return for_markup((who(inputs) or key) + more)


def _number(lookups: float) -> str:
    return f"{lookups:,.1f}" if lookups % 1 else f"{lookups:,.0f}"


def _minutes(minutes: float) -> str:
    return "<1" if 0 < minutes < 1 else f"{minutes:,.0f}"


def _share(filled: int, total: int) -> str:
    return f"{filled / total:.0%}" if total else "0"
