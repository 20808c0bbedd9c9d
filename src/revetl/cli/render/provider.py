"""One lookup, and played examples, on a terminal and as documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revetl.safe_text import for_markup, for_terminal_lines

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.usecases.provider_examples import PlayedExamples
    from revetl.usecases.provider_try import LookupResult, PreparedLookup

_MOST_CHARS = 4_000  # of an answer, on a screen


def show_prepared(out: Console, prepared: PreparedLookup) -> None:
    """What would be sent, without its credentials, and what it may cost."""
    out.print(f"[bold]{for_markup(prepared.method)}[/bold] {for_markup(prepared.url)}", soft_wrap=True)
    for name, value in prepared.headers.items():
        out.print(f"  {for_markup(name)}: {for_markup(value)}", soft_wrap=True)
    if prepared.body is not None:
        out.print(f"  {for_markup(json.dumps(prepared.body, ensure_ascii=False))}", soft_wrap=True)
    costs = f"At most ${prepared.greatest_usd:f}." if prepared.greatest_usd else "It costs nothing."
    out.print(costs)


def show_result(out: Console, result: LookupResult) -> None:
    """The verdict, the values, the price, and the answer as the ledger has it."""
    said = f"HTTP {result.http_status}" if result.http_status else "no answer"
    if not result.asked:
        said = "answered before: nobody was asked now"
    out.print(f"[bold]{for_markup(result.verdict)}[/bold]  {said}")
    if result.reason is not None:
        out.print(f"  {for_markup(result.reason)}", soft_wrap=True)
    for value in result.values:
        more = [f"confidence {value.confidence:g}" if value.confidence is not None else "", value.verification or ""]
        note = for_markup(", ".join(filter(None, more)))
        said = f"  {for_markup(value.field)}: {for_markup(value.value)}"
        out.print(f"{said}  [dim]{note}[/dim]" if note else said)
    charged = "unknown: it stays reserved" if result.charged_usd is None else f"${result.charged_usd:f}"
    out.print(f"Charged {charged}." if result.asked else f"Charged then {charged}, now $0.")
    if result.response is not None:
        text = json.dumps(result.response, ensure_ascii=False, indent=2)
        cut = text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS] + "\n…"
        out.print(for_terminal_lines(cut), style="dim", markup=False, highlight=False, soft_wrap=True)


def lookup_document(result: LookupResult) -> dict[str, Any]:
    prepared = result.prepared
    return {
        "provider": prepared.provider,
        "request": {
            "method": prepared.method,
            "url": prepared.url,
            "headers": dict(prepared.headers),
            "body": prepared.body,
        },
        "greatest_usd": prepared.greatest_usd,
        "asked": result.asked,
        "verdict": result.verdict,
        "http_status": result.http_status,
        "reason": result.reason,
        "charged_usd": result.charged_usd,
        "latency_ms": result.latency_ms,
        "values": {
            v.field: {"value": v.value, "confidence": v.confidence, "verification": v.verification}
            for v in result.values
        },
        "response": result.response,
    }


def show_examples(out: Console, played: PlayedExamples, root: Path) -> None:
    """What does not hold, and a line of counts."""
    for example in played.examples:
        for said in example.differences:
            out.print(f"{for_markup(_below(example.path, root))}: {for_markup(said)}", soft_wrap=True)
    for problem in played.problems:
        out.print(for_markup(str(problem).replace(f"{root}/", "")), soft_wrap=True)
    for name, cases in played.missing.items():
        out.print(f"{for_markup(name)}: no example of {', '.join(cases)}")
    if not played.examples:
        out.print("Nothing was tested: enrichment/examples/ has no example of these providers.")
        return
    failed = sum(1 for example in played.examples if example.differences)
    out.print(f"{len(played.examples) - failed} examples hold, {failed} do not; {len(played.problems)} dead pointers.")


def examples_document(played: PlayedExamples, root: Path) -> dict[str, Any]:
    return {
        "examples": [
            {
                "file": _below(example.path, root),
                "provider": example.provider,
                "case": example.case,
                "holds": not example.differences,
                "differences": list(example.differences),
            }
            for example in played.examples
        ],
        "dead_pointers": [str(problem).replace(f"{root}/", "") for problem in played.problems],
        "missing_cases": played.missing,
    }


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
