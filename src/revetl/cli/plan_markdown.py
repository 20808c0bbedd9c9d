"""Plans as Markdown for a pull request. Without samples it holds names and numbers only, no key and no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from revetl.cli.plan_text import counts, facts

if TYPE_CHECKING:
    from revetl.model import Scalar
    from revetl.sync import PlanSummary, Sample

_TITLE = "### revetl plan"


def markdown(plans: Sequence[PlanSummary], *, target: str, samples: int) -> str:
    """`samples`: lines of each kind that are shown, keys and values included."""
    return "\n".join(_lines(plans, target, samples))


def _lines(plans: Sequence[PlanSummary], target: str, samples: int) -> Iterator[str]:
    changes = sum(p.changes for p in plans)
    yield _TITLE
    yield ""
    yield (
        f"**{changes:,} record(s) would be sent**, target `{target}`." if changes else f"No changes, target `{target}`."
    )
    yield ""
    if plans:
        names = list(counts(plans[0]))
        yield "| sync | " + " | ".join(names) + " |"
        yield "|---|" + "---:|" * len(names)
        for plan in plans:
            yield f"| `{plan.sync}` | " + " | ".join(f"{n:,}" for n in counts(plan).values()) + " |"
        yield ""
    for plan in plans:
        yield from _details(plan, samples)


def _details(plan: PlanSummary, samples: int) -> Iterator[str]:
    for violation in plan.violations:
        yield f"> **Guardrail `{violation.guardrail}`** of `{plan.sync}`: {violation.message}. A run would stop here."
        yield ""
    if not (plan.lines or plan.waiting or plan.left):
        return
    yield "<details>"
    yield f"<summary><code>{plan.sync}</code> → {plan.destination} {plan.object}</summary>"
    yield ""
    for fact in facts(plan):
        if not fact.startswith("fields to send"):
            yield f"- {fact}"
    yield ""
    if plan.fields:
        yield "| field | records |"
        yield "|---|---:|"
        for name, n in sorted(plan.fields.items(), key=lambda item: (-item[1], item[0])):
            yield f"| `{name}` | {n:,} |"
        yield ""
    if samples:
        yield from _samples(plan.samples, samples)
    yield "</details>"
    yield ""


def _samples(lines: Sequence[Sample], most: int) -> Iterator[str]:
    yield "| record | what | field | before | after |"
    yield "|---|---|---|---|---|"
    shown: dict[tuple[str, str | None, str | None], int] = {}
    for line in lines:
        kind = (line.op, line.settled, line.reason)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > most:
            continue
        if line.settled or not line.fields:
            yield f"| {_cell(line.key)} | {line.op} | | | {_cell(line.note or '')} |"
        for i, (name, (before, after)) in enumerate(line.fields.items() if not line.settled else ()):
            head = f"{_cell(line.key)} | {line.op}" if not i else " | "
            yield f"| {head} | `{name}` | {_cell(before)} | {_cell(after)} |"
    yield ""


def _cell(value: Scalar) -> str:
    """Nothing in a value may end the cell, or be read as markup."""
    text = "∅" if value is None else str(value)
    text = text if len(text) <= 60 else text[:59] + "…"
    for mark in "\\|`*_<>[]":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else ("&lt;" if mark == "<" else "&gt;"))
    return text.replace("\r", " ").replace("\n", " ")
