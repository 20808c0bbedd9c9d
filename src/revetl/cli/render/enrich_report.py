"""What a run of a waterfall did: on a terminal within 80 columns, as Markdown, as a page. Nobody's value is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, Problem
from revetl.private_files import replaced
from revetl.safe_text import for_html, for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.enrich.report import EnrichReport
    from revetl.usecases.enrich import EnrichResult

FORMATS = (".md", ".html")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table; columns after the first are numbers but those in `words`."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    words: tuple[str, ...] = ()


def sections(report: EnrichReport) -> list[ReportTable]:
    """Providers, then fields. What is zero everywhere is left out."""
    of = list(report.providers.values())
    always = ("asked", "found", "missed")
    counts = {"asked": "asked", "found": "hits", "missed": "misses", "reused": "reused"}
    shown = [name for name, count in counts.items() if name in always or any(getattr(p, count) for p in of)]
    providers = ReportTable(("provider", *shown, "spent", "per found"))
    for name, p in report.providers.items():
        numbers = (f"{getattr(p, counts[column]):,}" for column in shown)
        providers.rows.append((name, *numbers, f"${p.spent_usd:,.2f}", _usd(p.usd_per_hit)))
    fields = ReportTable(("field", "records", "before", "after", "filled by"), words=("filled by",))
    for name, f in report.fields.items():
        by = ", ".join(f"{provider} {n:,}" for provider, n in f.by_provider.items())
        filled = (_share(n, f.total) for n in (f.filled_before, f.filled_after))
        fields.rows.append((name, f"{f.total:,}", *filled, by))
    return [providers, fields]


def notes(report: EnrichReport) -> Iterator[str]:
    """What a person has to know beside the tables."""
    if report.stopped:
        yield report.stopped
    for name, why in (report.denied | report.unavailable | report.exhausted).items():
        yield f"{name}: {why}"
    for name, p in report.providers.items():
        if p.errors:
            yield f"{name}: {p.errors:,} calls ended with an error; nothing of them is kept"
        if p.in_doubt:
            yield f"{name}: {p.in_doubt:,} calls in doubt, ${p.in_doubt_usd:,.2f}: perhaps charged, without an answer"
    if report.recovered_in_doubt:
        yield f"{report.recovered_in_doubt:,} calls of an earlier run never ended: they are in doubt"
    if report.resumed:
        yield f"{report.resumed:,} calls of earlier runs were in doubt: their result was fetched, for nothing"
    if report.taken_up:
        yield f"{report.taken_up:,} answers that an earlier run paid for and could not write are written now"
    if report.suppressed:
        yield f"{report.suppressed:,} records are suppressed and were not looked up"


def summary(report: EnrichReport) -> str:
    doubt = f", ${report.in_doubt_usd:,.2f} in doubt" if report.in_doubt_usd else ""
    each = f", {_usd(report.spent_usd / report.filled)} each" if report.filled and report.spent_usd else ""
    return f"Spent ${report.spent_usd:,.2f}{doubt}. {report.filled:,} blanks hold a value{each}."


def show_result(screen: Console, result: EnrichResult) -> None:
    if not result.reports:
        screen.print("Nothing was asked.")
    for report in result.reports:
        show_report(screen, report)


def show_report(screen: Console, report: EnrichReport) -> None:

    from revetl.cli.render.reports import table

    screen.print(f"[bold]{for_markup(report.waterfall)}[/]")
    for section in sections(report):
        numbers = [name for name in section.columns[1:] if name not in section.words]
        listing = table(*section.columns, right=numbers)
        for row in section.rows:
            listing.add_row(*map(for_markup, row))
        screen.print(listing)
    for note in notes(report):
        screen.print(f"[yellow]{for_markup(note)}[/]")
    screen.print(summary(report))


def check_report_target(target: Path) -> None:
    """ConfigError where no report could be written there: found before money is spent."""
    problem = None
    if target.suffix.lower() not in FORMATS:
        problem = Problem(f"reports are written as {' or '.join(FORMATS)}, not {target.suffix}", target)
    elif target.is_dir():
        problem = Problem("is a directory", target)
    elif not target.parent.is_dir():
        problem = Problem(f"there is no directory {target.parent}", target)
    if problem is not None:
        raise ConfigError(problem)


def write_report(target: Path, reports: Sequence[EnrichReport]) -> None:
    """The whole file or none of it."""
    lines = _html(reports) if target.suffix.lower() == ".html" else _markdown(reports)
    with replaced(target) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def _markdown(reports: Sequence[EnrichReport]) -> Iterator[str]:
    for report in reports:
        yield f"### {report.waterfall}"
        yield f"\nRun `{report.run_id}`. {summary(report)}\n"
        for section in sections(report):
            yield f"| {' | '.join(section.columns)} |"
            yield "|".join(["", *("---" if c in _left(section) else "---:" for c in section.columns), ""])
            for row in section.rows:
                yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
            yield ""
        for note in notes(report):
            yield f"- {note}"


def _html(reports: Sequence[EnrichReport]) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><title>revetl enrich</title>'
    yield "<style>body{font:15px system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    yield "table{border-collapse:collapse;margin:1em 0}th,td{padding:.3em .8em;border-bottom:1px solid #ccc}"
    yield "th,td{text-align:right}.w{text-align:left}</style>"
    for report in reports:
        yield f"<h1>{for_html(report.waterfall)}</h1>"
        yield f"<p>Run <code>{for_html(report.run_id)}</code>. {for_html(summary(report))}</p>"
        for section in sections(report):
            marks = [' class="w"' if column in _left(section) else "" for column in section.columns]
            yield "<table><tr>" + _cells("th", marks, section.columns) + "</tr>"
            yield from ("<tr>" + _cells("td", marks, row) + "</tr>" for row in section.rows)
            yield "</table>"
        said = "".join(f"<li>{for_html(note)}</li>" for note in notes(report))
        yield f"<ul>{said}</ul>" if said else ""


def _cells(tag: str, marks: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f"<{tag}{mark}>{for_html(cell)}</{tag}>" for mark, cell in zip(marks, row, strict=True))


def _left(section: ReportTable) -> tuple[str, ...]:
    return (section.columns[0], *section.words)


def _usd(usd: Decimal | None) -> str:
    return "" if usd is None else f"${usd:,.3f}"


def _share(filled: int, total: int) -> str:
    return f"{filled:,} ({filled / total:.0%})" if total else "0"
