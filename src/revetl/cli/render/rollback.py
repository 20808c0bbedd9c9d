"""How rollbacks look on a terminal, within 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from revetl.cli.render.reports import cut, short, show_field_table, show_item, show_numbers, show_waiting_counts, status

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.cli.render.reports import NumberRow
    from revetl.model import Scalar
    from revetl.sync.rollback.rolling_back import RollbackPlan, RollbackReport

_ORDER = ("restore", "archive", "recreate", "gone", "left")
_STYLES = {"restore": "yellow", "archive": "red", "recreate": "green", "left": "dim"}
_FIELDS = 6


def show_rollback_plans(console: Console, plans: Sequence[RollbackPlan]) -> None:
    """Of several: each, and all in one line."""
    for plan in plans:
        show_rollback_plan(console, plan)
    if len(plans) > 1:
        said = [f"{n:,} {what}" for word, what in _RECORDS.items() if (n := sum(getattr(p, word) for p in plans))]
        links = sum(plan.links for plan in plans)
        said += [f"{links:,} link(s) left"] if links else []
        console.print(f"[bold]{len(plans)} syncs[/]: {', '.join(said) or 'nothing to take back'}; {_requests(plans)}")


def _requests(plans: Sequence[RollbackPlan]) -> str:
    reads, writes = sum(p.reads for p in plans), sum(p.requests for p in plans)
    said = ", ".join(f"{n:,} to {what}" for n, what in ((reads, "read"), (writes, "write")) if n)
    return f"{reads + writes:,} request(s)" + (f" ({said})" if said else "")


def show_rollback_plan(console: Console, plan: RollbackPlan) -> None:
    """What a rollback will do, what it leaves, and why."""
    head = f"[bold]{plan.sync}[/]: roll back run {plan.undone_run} at {plan.destination} {plan.object}"
    console.print(head, soft_wrap=True)
    if not (plan.changes or plan.already or plan.left or plan.links):
        console.print("  That run wrote nothing here.")
        return
    words = ("restore", "archive", "recreate", "already", "left")
    said = [f"{getattr(plan, word):,} {_RECORDS[word]}" for word in words if getattr(plan, word)]
    if said:
        console.print(f"  {', '.join(said)}; {_requests([plan])}", soft_wrap=True)
    for sentence in plan.consequences if plan.changes else ():
        console.print(f"  [yellow]{short(sentence, 200)}[/]", soft_wrap=True)
    if plan.fields:
        counts = [word for word in ("restore", "already", "left") if any(word in n for n in plan.fields.values())]
        show_field_table(console, plan.fields, counts)
    for reason, whole, n in plan.reasons:
        what = "record" if whole else "field"
        show_item(console, f"left: {n:,} {what}{'s' if n > 1 else ''}  {cut(reason, 100)}")
    if plan.links:
        what = "made or removed by that run: a sync of the mended model puts them right"
        show_item(console, f"left: {plan.links:,} link(s)  {what}")
    _rollback_samples(console, plan)


_RECORDS = {
    "restore": "to restore",
    "archive": "to archive",
    "recreate": "to make anew",
    "already": "back already",
    "left": "left alone",
}


def _rollback_samples(console: Console, plan: RollbackPlan) -> None:
    """Verdict by verdict; of each that is not shown whole, how many more there are."""
    samples: Sequence[Mapping[str, Scalar]] = plan.samples
    fields = {(s["key"], s["field"]): s for s in samples if s["field"] is not None}
    records = [s for s in samples if s["field"] is None]
    shown = Counter(str(record["verdict"]) for record in records)
    left_of = dict(shown)
    for record in sorted(records, key=lambda r: _ORDER.index(str(r["verdict"]))):
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
        left_of[word] -= 1
        total = getattr(plan, word, 0)
        if not left_of[word] and total > shown[word]:
            console.print(f"  {'':<8} … {total - shown[word]:,} more")


def show_rollbacks(console: Console, reports: Sequence[RollbackReport]) -> None:
    words = {
        "ok": "rolled back",
        "accepted": "accepted",
        "skipped": "left",
        "rejected": "refused",
        "unknown": "unknown",
    }
    shown = [w for w in words if w in ("ok", "skipped") or any(r.counts.get(w) for r in reports)]
    rows: list[NumberRow] = []
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
        show_waiting_counts(console, r.sync, r.waiting, r.waiting_reasons)
    if any(r.counts.get("ok") or r.counts.get("accepted") for r in reports):
        console.print("No sync sends them again until their rows change (`revetl plan`: waiting).")
