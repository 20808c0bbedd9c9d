"""How rollbacks and drift look on a terminal, within 80 columns, and as plain data for --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from revetl.cli.render.reports import short, show_numbers, status, table

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.cli.render.reports import Row
    from revetl.model import Scalar
    from revetl.sync.drift.reading import DriftReport
    from revetl.sync.rollback.rolling_back import RollbackPlan, RollbackReport

_STYLES = {"restore": "yellow", "archive": "red", "recreate": "green", "left": "dim"}
_FIELDS = 6
_CLASS_STYLES = {"theirs": "yellow", "conflict": "red", "missing": "red", "merged": "cyan", "untied": "yellow"}
# Class of drift → what it says of a field or record.
CLASSES = {
    "theirs": "changed there",
    "conflict": "changed there and here",
    "missing": "archived or deleted there",
    "merged": "merged into another record there",
    "untied": "a link of ours was removed there",
    "pending": "changed here: the next sync sends it",
    "same": "changed there, and no sync would write over it",
}


def show_rollback_plan(console: Console, plan: RollbackPlan) -> None:
    """What a rollback will do, what it leaves, and why."""
    console.print(f"[bold]{plan.sync}[/]: undo run {plan.undone_run} at {plan.destination} {plan.object}")
    if not (plan.changes or plan.already or plan.left or plan.links):
        console.print("  That run wrote nothing here.")
        return
    words = ("restore", "archive", "recreate", "already", "left")
    said = [f"{getattr(plan, word):,} {_RECORDS[word]}" for word in words if getattr(plan, word)]
    if said:
        console.print(f"  {', '.join(said)}; {plan.requests:,} request(s)")
    for sentence in plan.consequences if plan.changes else ():
        console.print(f"  [yellow]{short(sentence, 200)}[/]", soft_wrap=True)
    if plan.fields:
        counts = [word for word in ("restore", "already", "left") if any(word in n for n in plan.fields.values())]
        _field_table(console, plan.fields, counts)
    for reason, whole, n in plan.reasons:
        what = "record" if whole else "field"
        console.print(f"  left: {n:,} {what}{'s' if n > 1 else ''}  {short(reason, 100)}")
    if plan.links:
        what = "made or removed by that run: a sync of the mended model puts them right"
        console.print(f"  left: {plan.links:,} link(s)  {what}")
    _rollback_samples(console, plan.samples)


_RECORDS = {
    "restore": "to restore",
    "archive": "to archive",
    "recreate": "to make anew",
    "already": "back already",
    "left": "left alone",
}


def _rollback_samples(console: Console, samples: Sequence[Mapping[str, Scalar]]) -> None:
    fields = {(s["key"], s["field"]): s for s in samples if s["field"] is not None}
    for record in (s for s in samples if s["field"] is None):
        word = str(record["verdict"])
        note = f"  [dim]{short(record['reason'], 60)}[/]" if record["reason"] else ""
        console.print(f"  [{_STYLES.get(word, 'default')}]{word:<8}[/] {short(record['key'], 40)}{note}")
        own = [f for (key, _), f in fields.items() if key == record["key"]]
        for f in own[:_FIELDS] if word == "restore" else ():
            change = f"{short(f['stands'])} → {short(f['earlier'])}"
            if f["verdict"] == "left":
                change = f"stays {short(f['stands'])}: {short(f['reason'], 40)}"
            console.print(f"           {short(f['field'], 30)}: {change}")
        if word == "restore" and len(own) > _FIELDS:
            console.print(f"           … {len(own) - _FIELDS} more")


def show_rollbacks(console: Console, reports: Sequence[RollbackReport]) -> None:
    words = {"ok": "undone", "accepted": "accepted", "skipped": "left", "rejected": "refused", "unknown": "unknown"}
    shown = [w for w in words if w in ("ok", "skipped") or any(r.counts.get(w) for r in reports)]
    rows: list[Row] = []
    for r in reports:
        numbers = {words[w]: f"{r.counts.get(w, 0):,}" for w in shown}
        numbers |= {"requests": f"{r.requests:,}", "s": f"{r.seconds:.1f}"}
        rows.append((r.sync, {"status": status(r.status), "run": r.run_id[-6:]}, numbers))
    show_numbers(console, rows)
    for r in reports:
        if r.error:
            console.print(f"[red]{r.sync} stopped:[/] {short(r.error, 400)}")
        if r.not_sent:
            console.print(f"{r.sync}: {r.not_sent:,} record(s) not sent; the same command takes up from there")
        if r.counts.get("rejected") or r.counts.get("unknown"):
            console.print(f"{r.sync}: why records did not go through: [bold]revetl runs show {r.run_id[-6:]}[/]")
    if any(r.counts.get("ok") or r.counts.get("accepted") for r in reports):
        console.print("No sync sends them again until their rows change (`revetl plan`: waiting).")


def rollback_document(report: RollbackReport) -> dict[str, Any]:
    return {**asdict(report), "plan": {**asdict(report.plan), "changes": report.plan.changes}}


def show_drift(console: Console, report: DriftReport) -> None:
    """Per field, per class, with a few records of each."""
    share = f" ({report.drifted / report.read:.1%})" if report.read else ""
    console.print(f"[bold]{report.sync}[/] → {report.destination} {report.object}")
    console.print(
        f"  {report.read:,} records read, {report.drifted:,} with drift{share}, {report.requests:,} request(s)"
    )
    if report.links:
        console.print(f"  {report.links:,} links of ours read; links that people made are not compared")
    if report.fields:
        counts = [c for c in CLASSES if any(c in n for n in report.fields.values())]
        _field_table(console, report.fields, counts, of=report.read)
    for class_, n in report.records.items():
        console.print(f"  {class_:<9}{n:>7,}  {CLASSES.get(class_, '')}")
    if report.samples:
        console.print()
    for sample in report.samples:
        _drift_line(console, sample)
    for line in _settled(report):
        console.print(line)


def _drift_line(console: Console, sample: Mapping[str, Scalar]) -> None:
    class_ = str(sample["class"])
    style = _CLASS_STYLES.get(class_, "dim")
    head = f"  [{style}]{class_:<9}[/]{short(sample['key'], 40)}"
    if class_ == "untied":
        console.print(f"{head}  the link to {short(sample['ours_last'], 60)} is gone")
        return
    if sample["field"] is None:
        into = f" is now {short(sample['theirs'])}" if sample["theirs"] else ""
        note = f"  [dim]{short(sample['note'], 60)}[/]" if sample["note"] else ""
        console.print(f"{head}  (id {short(sample['destination_id'])}){into}{note}")
        return
    console.print(f"{head}  {short(sample['field'], 30)}")
    line = f"           we wrote {short(sample['ours_last'])}, there stands {short(sample['theirs'])}"
    if sample["wanted"] not in (sample["ours_last"], sample["theirs"]):
        line += f", we want {short(sample['wanted'])}"
    console.print(line)


def _settled(report: DriftReport) -> list[str]:
    lines = []
    if report.side == "accept" and (report.resolved or not report.links_resolved):
        lines.append(
            f"Accepted {report.cells:,} value(s) in {report.resolved:,} record(s), kept until their rows change."
        )
        if report.delayed:
            lines.append(f"{report.delayed:,} of them have other changes of ours, which wait with them.")
    elif report.side == "reassert" and (report.resolved or not report.links_resolved):
        lines.append(f"{report.resolved:,} record(s), {report.cells:,} value(s): the next sync writes ours again.")
    if report.links_resolved:
        what = "stay untied" if report.side == "accept" else "the next sync makes them again"
        lines.append(f"{report.links_resolved:,} link(s): {what}.")
    if report.unfit and report.side:
        lines.append(f"{report.unfit:,} value(s) have no form in our column's type and were left.")
    return lines


def _field_table(
    console: Console, fields: Mapping[str, Mapping[str, int]], counts: Sequence[str], *, of: int | None = None
) -> None:
    columns = [*counts, *(["share"] if of else [])]
    listing = table("field", *columns, right=columns)
    for name, numbers in sorted(fields.items(), key=lambda item: -sum(item[1].values())):
        cells = [f"{numbers[word]:,}" if word in numbers else "" for word in counts]
        drifted = numbers.get("theirs", 0) + numbers.get("conflict", 0)
        listing.add_row(short(name, 40), *cells, *([f"{drifted / of:.1%}"] if of else []))
    console.print(listing)
