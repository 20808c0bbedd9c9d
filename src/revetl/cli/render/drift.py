"""How drift looks on a terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from revetl.cli.render.plans import REASONS
from revetl.cli.render.reports import short, show_field_table, show_item
from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.model import Scalar
    from revetl.sync.drift.left_out import LeftOut
    from revetl.sync.drift.reading import DriftReport

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


def show_drift(console: Console, report: DriftReport) -> None:
    """Per field, per class, with a few records of each."""
    share = f" ({report.drifted / report.read:.1%})" if report.read else ""
    console.print(f"[bold]{report.sync}[/] → {for_markup(f'{report.destination} {report.object}')}")
    console.print(
        f"  {report.read:,} records read, {report.drifted:,} with drift{share}, {report.requests:,} request(s)"
    )
    if report.links:
        console.print(f"  {report.links:,} links of ours read; links that people made are not compared")
    if report.fields:
        counts = [c for c in CLASSES if any(c in n for n in report.fields.values())]
        show_field_table(console, report.fields, counts, of=report.read)
    for class_, n in report.records.items():
        console.print(f"  {class_:<9}{n:>7,}  {CLASSES.get(class_, '')}")
        if class_ == "pending":
            for why, waiting in report.retried.items():
                said = f"{waiting:,} of them wait, since they were refused: {REASONS.get(why, 'at the destination')}"
                show_item(console, f"{said} ({why}); tried again by itself", indent=19)
    if report.samples:
        console.print()
    for sample in report.samples:
        _drift_line(console, sample)
    for line in _decided(report):
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
    if why := sample["retried_for"]:
        console.print(
            f"           [dim]waits: {short(REASONS.get(str(why), 'refused there'), 90)} ({short(why, 40)})[/]"
        )


# Why a record is held → what a sync would send besides the values that were asked for.
_HELD = {
    "rolled_back": "rolled back: a sync would send what the rollback took back",
    "accepted": "another value there was accepted: a sync would send over it",
}


def _left_out(sync: str, held: LeftOut) -> list[str]:
    keys = ", ".join(short(key, 60) for key in held.keys) + (", …" if held.records > len(held.keys) else "")
    return [
        f"{held.records:,} record(s) left out, {_HELD.get(held.status, held.status)}",
        f"  {keys or '…'}",
        f"  All of the model's values after all: revetl retry --select {sync} --key KEY,",
        "  then reassert what is still drift.",
    ]


def _decided(report: DriftReport) -> list[str]:
    lines = []
    if report.side == "accept" and (report.resolved or not report.links_resolved):
        lines.append(
            f"Accepted {report.cells:,} value(s) in {report.resolved:,} record(s), kept until their rows change."
        )
        if report.delayed:
            lines.append(f"{report.delayed:,} of them have other changes of ours, which wait with them.")
    elif report.side == "reassert" and (report.resolved or not report.links_resolved):
        lines.append(f"{report.resolved:,} record(s), {report.cells:,} value(s): the next sync writes ours again.")
    lines += [line for held in report.left_out for line in _left_out(report.sync, held)]
    if report.links_resolved:
        what = "stay untied" if report.side == "accept" else "the next sync makes them again"
        lines.append(f"{report.links_resolved:,} link(s): {what}.")
    if report.unfit and report.side:
        lines.append(f"{report.unfit:,} value(s) have no form in our column's type and were left.")
    return lines
