"""Plans on a terminal, within 80 columns: counts of all syncs in one table, then what is worth a look in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from revetl.cli.render.plan_links import show_link_samples, show_links
from revetl.cli.render.reports import counted, short, show_item, show_numbers
from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.model import Scalar
    from revetl.sync import PlanLine, PlanSummary
    from revetl.sync.plan.forecast import PlanForecast
    from revetl.usecases.plan import LineFilter, Planned

_STYLES = {"create": "green", "adopt": "cyan", "update": "yellow", "delete": "red"}
_COUNTS = ("create", "adopt", "update", "delete", "withheld", "waiting", "absent", "matched", "same")
_SAMPLES, _FIELDS = 3, 6

REASONS = {
    "SAME_IDENTITY": "two records of the model want the same record there",
    "HELD_BY_ANOTHER_KEY": "another record of the model has it",
    "NO_IDENTITY": "nothing to look for it by",
    "INVALID_IDENTITY": "what it is looked for by has no form that the destination can hold",
    "NO_ID": "has left the model, and which record there is meant is not known",
    "NOT_RECONCILABLE": "may have been created already and can't be looked for",
    "VALUE_HELD": "another record has the value, or is given it",
    "SAME_RECORD": "somebody merged its record into that of another of the model",
    "MERGED_HERE": "became one with another of the model: merge the two there",
    "NOT_OURS": "has left the model, and what stands there holds somebody else: remove it there by hand",
    "OBJECT_NOT_FOUND": "archived or deleted there: `revetl drift SYNC` makes it again, or leaves it so",
    "EXISTS_BY_NOW": "made there since this plan was made, and left as it is: the next plan adopts it",
    "CAME_BACK": "was to be removed, and came back into the model since the plan was made",
    "EXISTS": "exists already, and the mode is insert",
    "EVENT_CHANGED": "was added as it was, and an event is never changed",
}

# Why records wait, by their status in `rejected__<sync>`.
WAITING = {
    "rejected": "refused before, and wait: `revetl retry --dry-run` says which are tried again by themselves",
    "skipped": "could not be sent before: waiting for a change of the row, or for `revetl retry`",
    "unknown": "may have been created already: `revetl retry` creates them if they are not there",
    "rolled_back": "rolled back: stay as restored until the row changes",
    "accepted": "accepted as they stand there, until the row changes",
}


def counts(plan: PlanSummary) -> dict[str, int]:
    """Records by what becomes of them, in the order in which they are shown."""
    return {name: plan.unchanged if name == "same" else getattr(plan, name) for name in _COUNTS}


def show_plans(console: Console, plans: Sequence[PlanSummary], *, samples: int = _SAMPLES) -> None:
    """`samples`: lines of each kind."""
    shown = [name for name in _COUNTS if name in _COUNTS[:4] or name == "same" or any(counts(p)[name] for p in plans)]
    show_numbers(console, [(p.sync, {}, {name: f"{counts(p)[name]:,}" for name in shown}) for p in plans])
    for plan in plans:
        _show_details(console, plan, samples)


def _show_details(console: Console, plan: PlanSummary, samples: int) -> None:
    shown = (plan.lines, plan.waiting, plan.left, plan.absent, plan.suppressed, plan.links.said, plan.unresolved)
    if not (any(shown) or plan.violations or plan.refused_access):
        return
    console.print(f"[bold]{plan.sync}[/] → {for_markup(f'{plan.destination} {plan.object}')}")
    for line in facts(plan):
        show_item(console, line)
    for example in plan.examples if samples else ():
        show_item(console, f"for example {example}")
    for move in plan.moves[:samples]:
        first = ", which is emptied first" if move.vacated else ""
        value, taker, giver = (short(text, 60) for text in (move.value, move.taker, move.giver))
        console.print(f"  {short(move.field, 40)}: {value} moves to {taker} from {giver}{first}", soft_wrap=True)
    for violation in plan.violations:
        show_item(console, f"guardrail {violation.guardrail}: {violation.message}", style="red")
    if plan.violations:
        from revetl.sync.plan.guardrails import NAMES

        allowed = dict.fromkeys(v.guardrail for v in plan.violations if v.guardrail in NAMES)
        all_the_same = f"; `--allow {','.join(allowed)}` sends it all the same" if allowed else ""
        show_item(console, f"a sync sends nothing then{all_the_same}", style="red")
    for sentence in plan.refused_access:
        show_item(console, f"a sync would be refused: {sentence}", style="red")
    _show_samples(console, plan, samples)
    show_link_samples(console, plan, samples)
    console.print()


def _show_samples(console: Console, plan: PlanSummary, samples: int) -> None:
    """`samples` lines of each kind, and how many more of it there are."""
    kinds: dict[tuple[str, str | None, str | None], list[PlanLine]] = {}
    for line in plan.samples:
        if line.outcome != "ok" or samples > _SAMPLES:
            kinds.setdefault((line.op, line.outcome, line.reason), []).append(line)
    shown: dict[str, int] = {}  # of all that a count of the plan counts
    for lines in kinds.values():
        for line in lines[:samples]:
            show_line(console, line, most_fields=_FIELDS)
        word = _counted_as(lines[0])
        shown[word] = shown.get(word, 0) + min(samples, len(lines))
        last = lines is [of_kind for of_kind in kinds.values() if _counted_as(of_kind[0]) == word][-1]
        if samples and last and (more := _total(plan, word) - shown[word]) > 0:
            show_item(console, f"… {more:,} more", indent=9, style="dim")


def _counted_as(line: PlanLine) -> str:
    """The count of the plan that a line is part of: of withheld ones their reason."""
    if line.outcome == "ok":
        return "matched"
    return line.op if line.outcome is None else line.reason or line.outcome.upper()


def _total(plan: PlanSummary, word: str) -> int:
    if word in plan.reasons:
        return plan.reasons[word]
    return int(getattr(plan, word, 0))


def facts(plan: PlanSummary) -> list[str]:
    """What is worth knowing beyond the counts, a sentence each. No keys, no values."""
    out = [*plan.notes]
    if not plan.snapshot_rows and plan.lines:
        out.append("first sync: nothing is known yet of what stands there")
    if plan.matched:
        out.append(f"matched {plan.matched:,}: equal there or kept by field policies, only remembered")
    if plan.kept:
        most = sorted(plan.kept.items(), key=lambda item: (-item[1], item[0]))
        out.append("kept as they stand there by field policies: " + ", ".join(f"{name} {n:,}" for name, n in most))
    if plan.moved:
        out.append(_moves(plan))
    if plan.held:
        named = ", ".join(f"{name} {n:,}" for name, n in plan.held.items())
        out.append(f"fields withheld, for another record has the value or is given it: {named}")
    if plan.unresolved:
        named = ", ".join(f"{name} {n:,}" for name, n in plan.unresolved.items())
        out.append(f"fields withheld, for nothing is found there by the value that they have: {named}")
    if plan.unresolved_links:
        named = ", ".join(f"{name} {n:,}" for name, n in plan.unresolved_links.items())
        out.append(f"links wait, for nothing is found there by the value that they have: {named}")
    if plan.merged:
        out.append(f"{plan.merged:,} stand under another id: merged there")
    if plan.found_again:
        out.append(f"{plan.found_again:,} found again under another id: archived or deleted there, and made again")
    if plan.absent:
        out.append(f"{plan.absent:,} not at the destination: mode update creates none")
    if plan.fields:
        most = sorted(plan.fields.items(), key=lambda item: (-item[1], item[0]))
        out.append("fields to send: " + ", ".join(f"{name} {n:,}" for name, n in most))
    if plan.in_doubt:
        out.append(f"{plan.in_doubt:,} in doubt after a run that broke off: looked for, and sent whole")
    out += [f"withheld {n:,}: {REASONS.get(reason, reason)} ({reason})" for reason, n in plan.reasons.items()]
    out += _links(plan)
    if again := sum(plan.again.values()):
        out.append(f"{again:,} refused before, and tried again: the cause lies outside of their rows")
    if plan.full_refresh:
        out.append("full refresh: every record whole; max_changed_share is not asked")
    if plan.returned:
        out.append(f"{plan.returned:,} left the model and came back: sent whole")
    if plan.left:
        out.append(f"{plan.left:,} no longer in the model")
    if plan.suppressed:
        out.append(f"{plan.suppressed:,} suppressed: they were erased, and are not sent")
    if plan.waiting:
        waiting = plan.waiting_for or {"rejected": plan.waiting}
        out += [f"{n:,} {WAITING.get(why, why)}" for why, n in waiting.items()]
        if plan.waiting_reasons:
            out.append(f"why they wait: {counted(plan.waiting_reasons)}")
    if plan.basis.assumed:
        out += [f"exact: {said}" for said in plan.basis.exact]
        out += [f"assumed: {said}" for said in plan.basis.assumed]
    out += plan.consequences
    if plan.forecast is not None and plan.forecast.requests:
        out += forecast_lines(plan.forecast)
    return out


def _moves(plan: PlanSummary) -> str:
    said = f"{plan.moved:,} unique value(s) move between records"
    if plan.waves > 1:
        said += f", in {plan.waves:,} waves one after the other"
    if plan.vacated:
        said += f"; of {plan.vacated:,} record(s) the field is emptied first, since values move in a circle"
    return said


def _links(plan: PlanSummary) -> list[str]:
    links, out = plan.links, list[str]()
    if links.changes or links.waiting:
        said = f"links: {links.link:,} to make, {links.unlink:,} to remove"
        out.append(said + (f", {links.waiting:,} waiting for their other record" if links.waiting else ""))
    if links.standing:
        out.append(f"{links.standing:,} link(s) stand there already: only remembered")
    if links.kept:
        out.append(f"{links.kept:,} link(s) not made: somebody chose another on a record that was merged or made again")
    if links.again:
        out.append(f"{links.again:,} link(s) refused before, and tried again")
    if links.refused:
        out.append(f"{sum(links.refused.values()):,} link(s) refused before, and wait: {counted(links.refused)}")
    if links.left:
        out.append(f"{links.left:,} link(s) that this sync made and `associate` does not name any more stay")
    return out


def forecast_lines(forecast: PlanForecast) -> list[str]:
    parts = [(forecast.lookups, "to look up"), (forecast.reads, "to read")]
    parts += [(n, f"to {op}") for op, n in forecast.writes.items()]
    said = ", ".join(f"{n:,} {what}" for n, what in parts if n)
    line = f"forecast: {forecast.requests:,} request{'s' if forecast.requests != 1 else ''} ({said})"
    if forecast.rate is not None:
        wait = f"at least {duration(forecast.seconds)}" if forecast.seconds else "no wait"
        line += f", {wait} at {forecast.rate}"
    if forecast.daily_limit is not None and forecast.daily_share is not None:
        line += f", {percent(forecast.daily_share)} of {forecast.daily_limit:,} a day"
        if forecast.daily_left is not None:
            line += f" ({forecast.daily_left:,} left)"
    return [line, *(f"forecast: {note}" for note in forecast.notes)]


def percent(share: float) -> str:
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"


def show_plan_lines(console: Console, plans: Planned, wanted: LineFilter) -> None:
    """Sync by sync, those that have something to tell; at the end the keys that none of them knows."""
    strangers = set(wanted.keys)
    for planned in plans.syncs:
        with_line = {key for key in wanted.keys if planned.has_line(key)}
        reasons = {key: planned.why_no_line(key) for key in wanted.keys if key not in with_line}
        without = {key: why for key, why in reasons.items() if why is not None}
        strangers -= with_line | without.keys()
        if len(plans.syncs) > 1 and (with_line or without or not wanted.keys):
            console.print(f"[bold]{planned.spec.name}[/]")
        numbers = show_lines(console, planned.lines(wanted)), show_links(console, planned.link_changes(wanted))
        if wanted.limit is not None and max(numbers) == wanted.limit:
            console.print("  … there may be more: --rows N or --rows all shows them")
        for key, why in without.items():
            console.print(f"  {short(key, 60)} {why}", soft_wrap=True)
    for key in (key for key in wanted.keys if key in strangers):
        console.print(f"  {short(key, 60)} is neither in the model nor known at the destination", soft_wrap=True)


def show_lines(console: Console, lines: Iterable[PlanLine]) -> int:
    """Every line with all its fields; returns how many there were."""
    shown = 0
    for line in lines:
        show_line(console, line)
        shown += 1
    return shown


def changed(before: Scalar, after: Scalar) -> str:
    """Both sides, for markup. Blanks at an end are seen by the quotes around them."""
    if before == after:
        return f"{short(after)} [dim](sent again)[/]"
    if any(isinstance(side, str) and side != side.strip() for side in (before, after)):
        return " → ".join(f"'{short(side)}'" if isinstance(side, str) else short(side) for side in (before, after))
    return f"{short(before)} → {short(after)}"


def show_line(console: Console, line: PlanLine, *, most_fields: int | None = None) -> None:
    op = "matched" if line.outcome == "ok" else line.op
    style = _STYLES.get(op, "default")
    doubt = "  [dim]in doubt[/]" if line.in_doubt else ""
    console.print(f"  [{style}]{op:<6}[/] {short(line.key, 60)}{doubt}", soft_wrap=True)
    if line.outcome:
        word = "nothing to send" if line.outcome == "ok" else "not sent"
        show_item(console, f"{word}: {line.note}" if line.note else word, indent=9, style="dim")
        return
    if line.op == "delete":
        return
    for name, (before, after) in list(line.fields.items())[:most_fields]:
        change = short(after) if line.op == "create" else changed(before, after)
        console.print(f"         {for_markup(name)}: {change}", soft_wrap=True)
    if most_fields is not None and len(line.fields) > most_fields:
        console.print(f"         … {len(line.fields) - most_fields} more")
    if line.note:
        show_item(console, line.note, indent=9, style="dim")
