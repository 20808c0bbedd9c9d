"""Plans as Markdown for a pull request. Without samples it holds names and numbers only, no key and no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from revetl.cli.render.plan_links import link_rows
from revetl.cli.render.plans import counts, facts
from revetl.safe_text import for_html, for_markdown

if TYPE_CHECKING:
    from revetl.errors import RevetlError
    from revetl.model import Scalar
    from revetl.sync import PlanLine, PlanSummary

_TITLE = "### revetl plan"
_VALUE, _NOTE = 60, 200  # characters of a cell


def markdown(
    plans: Sequence[PlanSummary], *, target: str, samples: int, errors: Mapping[str, RevetlError] | None = None
) -> str:
    """`samples`: lines of each kind that are shown, keys and values included. `errors`: sync → why it has no plan."""
    return "\n".join([*_lines(plans, target, samples), *_errors(errors or {})])


def _errors(errors: Mapping[str, RevetlError]) -> Iterator[str]:
    for sync, error in errors.items():
        yield f"> **`{sync}` could not be planned**: {for_markdown(str(error))}"
        yield ""


def _lines(plans: Sequence[PlanSummary], target: str, samples: int) -> Iterator[str]:
    changes, links = sum(p.changes for p in plans), sum(p.links.changes for p in plans)
    said = [f"{n:,} {what}" for n, what in ((changes, "record(s)"), (links, "link(s)")) if n]
    yield _TITLE
    yield ""
    yield f"**{' and '.join(said)} would be sent**, target `{target}`." if said else f"No changes, target `{target}`."
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
        said = for_markdown(violation.message)
        yield f"> **Guardrail `{violation.guardrail}`** of `{plan.sync}`: {said}. A run would stop here."
        yield ""
    for sentence in plan.refused_access:
        yield f"> **A sync of `{plan.sync}` would be refused**: {for_markdown(sentence)}"
        yield ""
    if not (plan.lines or plan.waiting or plan.left or plan.links.said or plan.unresolved):
        return
    where = for_html(f"{plan.destination} {plan.object}")
    yield "<details>"
    yield f"<summary><code>{for_html(plan.sync)}</code> → {where}</summary>"
    yield ""
    for fact in facts(plan):
        if not fact.startswith("fields to send"):
            yield f"- {for_markdown(fact)}"
    for example in plan.examples if samples else ():
        yield f"- for example {for_markdown(example)}"
    yield ""
    if plan.fields:
        yield "| field | records |"
        yield "|---|---:|"
        for name, n in sorted(plan.fields.items(), key=lambda item: (-item[1], item[0])):
            yield f"| `{name}` | {n:,} |"
        yield ""
    if samples:
        yield from _samples(plan.samples, samples)
        yield from link_rows(plan, samples, width=_VALUE)
    yield "</details>"
    yield ""


def _samples(lines: Sequence[PlanLine], most: int) -> Iterator[str]:
    yield "| record | what | field | before | after |"
    yield "|---|---|---|---|---|"
    shown: dict[tuple[str, str | None, str | None], int] = {}
    for line in lines:
        kind = (line.op, line.outcome, line.reason)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > most:
            continue
        if line.outcome or not line.fields:
            what = "withheld" if line.outcome not in (None, "ok") else "matched" if line.outcome else line.op
            yield f"| {_cell(line.key)} | {what} | | | {_cell(line.note or '', _NOTE)} |"
        for i, (name, (before, after)) in enumerate(line.fields.items() if not line.outcome else ()):
            head = f"{_cell(line.key)} | {line.op}" if not i else " | "
            yield f"| {head} | `{name}` | {_cell(before)} | {_cell(after)} |"
    yield ""


def _cell(value: Scalar, most: int = _VALUE) -> str:
    """Nothing in a value may end the cell, or be read as markup."""
    text = "∅" if value is None else str(value)
    return for_markdown(text if len(text) <= most else text[: most - 1] + "…")
