"""How reports of syncs and of the whole job look on a terminal, within 80 columns; and what other pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from revetl.errors import Denied
from revetl.safe_text import for_markup, for_terminal

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

    from revetl.model import Scalar
    from revetl.sync import SyncReport
    from revetl.usecases.job import JobReport

    # A name, words and numbers under their headings.
    NumberRow = tuple[str, Mapping[str, str], Mapping[str, str]]

NOT_OK = ("rejected", "unknown", "links_rejected", "links_unknown")
_SEND_ROLLED_BACK = "revetl retry --status rolled_back --select"  # what a rollback restored is sent again
_ANY = 10_000  # columns: wider than any table
_STATUS_STYLES = {"done": "green", "ok": "green", "partial": "yellow", "skipped": "dim"}


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Columns of numbers stand at the `right`; those and `whole` ones are never broken, nor is the first."""
    from rich import box
    from rich.table import Table

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, column in enumerate(columns):
        # The first column names the row: it is what a person copies, so it is never broken.
        justify: JustifyMethod = "right" if column in right else "left"
        out.add_column(column, justify=justify, overflow="fold", no_wrap=not i or column in right or column in whole)
    return out


def fits(console: Console, listing: Table) -> bool:
    """Whether the screen is wide enough for it, with no cell broken."""
    return console.measure(listing, options=console.options.update(width=_ANY)).maximum <= console.width


def show_numbers(console: Console, rows: Sequence[NumberRow]) -> None:
    """A row per sync, all with the same headings. Where the table is wider than the screen each stands in a line of
    its own instead, without what is 0: no name and no number is ever cut."""
    if not rows:
        return
    words, numbers = list(rows[0][1]), list(rows[0][2])
    listing = table("sync", *words, *numbers, right=numbers, whole=words)
    for name, said, counted in rows:
        listing.add_row(name, *said.values(), *counted.values())
    if fits(console, listing):
        console.print(listing)
        return
    for name, said, counted in rows:
        numbers_text = ", ".join(f"{n} {what}" for what, n in counted.items() if n != "0")
        console.print("  ".join([f"[bold]{name}[/]", *said.values()]), soft_wrap=True)
        console.print(f"  {numbers_text or 'nothing'}")


def show_field_table(
    console: Console, fields: Mapping[str, Mapping[str, int]], counts: Sequence[str], *, of: int | None = None
) -> None:
    """A row per field, the one with the most records first. `of`: records that were read, for the share with drift."""
    columns = [*counts, *(["share"] if of else [])]
    listing = table("field", *columns, right=columns)
    for name, numbers in sorted(fields.items(), key=lambda item: -sum(item[1].values())):
        cells = [f"{numbers[word]:,}" if word in numbers else "" for word in counts]
        drifted = numbers.get("theirs", 0) + numbers.get("conflict", 0)
        listing.add_row(short(name, 40), *cells, *([f"{drifted / of:.1%}"] if of else []))
    console.print(listing)


def short(value: Scalar, width: int = 28) -> str:
    """A value for people, between tags of markup."""
    return for_markup(cut(value, width))


def cut(value: Scalar, width: int) -> str:
    """The same, with brackets as they are: for a text that is printed without markup."""
    if value is None:
        return "∅"
    text = for_terminal(str(value))
    return text if len(text) <= width else text[: width - 1] + "…"


def show_item(console: Console, text: str, *, indent: int = 2, style: str = "") -> None:
    """A sentence that wraps under its own beginning. No blanks stand behind it: it is copied from there."""
    from rich.text import Text

    for line in Text(text, style=style).wrap(console, max(console.width - indent, 1)):
        line.rstrip()
        console.print(Text(" " * indent) + line, soft_wrap=True)


def status(word: str) -> str:
    return f"[{_STATUS_STYLES.get(word, 'red')}]{word}[/]"


def _status_of(report: SyncReport) -> str:
    """What a saga took back was not done, whatever the run of the sync said before."""
    saga = report.saga
    if saga is None or report.sync in saga.stays:
        return report.status
    return {"undone": "taken back", "undoing": "being taken back"}.get(saga.step, report.status)


def show_reports(console: Console, reports: Sequence[SyncReport]) -> None:
    """What was planned in one column, what was done in those beside it: they add up."""

    def numbers(report: SyncReport) -> dict[str, int]:
        links = {"links": report.counts.get("linked", 0) + report.counts.get("unlinked", 0)}
        links["links matched"] = report.counts.get("links_matched", 0)
        links["links kept"] = report.counts.get("links_kept", 0)
        links["links not ok"] = sum(report.counts.get(word, 0) for word in ("links_rejected", "links_unknown"))
        done = {name.replace("_", " "): n for name, n in asdict(report.done).items()}
        planned = {"planned": report.plan.changes}
        return planned | done | links | {"withheld": report.plan.withheld, "requests": report.requests}

    every = [numbers(r) for r in reports]
    always = ("planned", "created", "updated", "requests")
    counts = [n for n in (every[0] if every else ()) if n in always or any(row[n] for row in every)]
    rows = [
        (r.sync, {"status": status(_status_of(r))}, {n: f"{row[n]:,}" for n in counts} | {"s": f"{r.seconds:.1f}"})
        for r, row in zip(reports, every, strict=True)
    ]
    show_numbers(console, rows)
    _show_sagas(console, reports)
    for r in reports:
        if r.recovered:
            console.print(f"{r.sync}: healed {r.recovered:,} record(s) that a run left in doubt")
        if r.given_up:
            console.print(
                f"{r.sync}: jobs of earlier runs can't be followed any more: {r.given_up:,} record(s) of them were in"
                " doubt, and were looked for"
            )
        if r.followed:
            found = ", ".join(f"{n:,} {status}" for status, n in sorted(r.followed.items()))
            console.print(f"{r.sync}: jobs of earlier runs have ended: {found}")
        if r.error:
            console.print(f"[red]{r.sync} stopped:[/] {short(r.error, 400)}")
        if r.exit_code == Denied.exit_code:
            console.print(f"  {Denied.hint}")
        if r.plan.held:
            fields = ", ".join(f"{short(name, 40)} {n:,}" for name, n in r.plan.held.items())
            console.print(f"{r.sync}: withheld, for another record has the value or is given it: {fields}")
        if r.unresolved:
            fields = ", ".join(f"{short(name, 40)} {n:,}" for name, n in r.unresolved.items())
            console.print(
                f"{r.sync}: fields withheld, for nothing is found there by the value that they have: {fields}"
            )
        if r.jobs_running:
            console.print(
                f"{r.sync}: {r.jobs_running:,} job(s) still run at the destination; the next run follows them"
            )
        if r.not_sent:
            of_all = f"{r.not_sent:,} of {r.plan.changes:,} record(s)"
            still = "not sent, or in a job that still runs" if r.jobs_running else "not sent"
            console.print(f"{r.sync}: {of_all} {still}; the same command takes up from there")
        if r.links_not_sent:
            console.print(f"{r.sync}: {r.links_not_sent:,} link(s) not sent; the same command takes up from there")
        if awaiting := r.links_waiting - sum(r.links_unresolved.values()):
            console.print(f"{r.sync}: {awaiting:,} link(s) wait for a record that is not there yet")
        if r.links_unresolved:
            named = ", ".join(f"{short(name, 40)} {n:,}" for name, n in r.links_unresolved.items())
            console.print(f"{r.sync}: links wait, for nothing is found there by the value that they have: {named}")
        if r.unresolved or r.links_unresolved:
            console.print(f"  which values: [bold]revetl retry --dry-run --select {r.sync}[/]")
        if r.plan.found_again:
            said = f"{r.plan.found_again:,} record(s) were archived there and made again by somebody"
            console.print(f"{r.sync}: {said}; what else is not ours there: [bold]revetl drift {r.sync}[/]")
        if r.not_applied:
            most = sorted(r.not_applied.items(), key=lambda item: (-item[1], item[0]))
            fields = ", ".join(f"{short(name, 40)} {n:,}" for name, n in most)
            console.print(f"{r.sync}: accepted, not applied, so another value stands there: {fields}")
        if r.plan.suppressed:
            console.print(f"{r.sync}: {r.plan.suppressed:,} record(s) of erased people were left out")
        if r.plan.absent:
            console.print(f"{r.sync}: {r.plan.absent:,} record(s) are not at the destination: mode update creates none")
        if any(r.counts.get(word) for word in NOT_OK):
            console.print(f"{r.sync}: why records did not go through: [bold]revetl runs show {r.run_id[-6:]}[/]")
        if r.held_by_saga:
            said = f"{r.held_by_saga:,} record(s) stand as before a saga of it was taken back, some field edited since"
            console.print(f"{r.sync}: {said}: `{_SEND_ROLLED_BACK} {r.sync}`", markup=False)
        show_waiting_counts(console, r.sync, r.waiting, r.waiting_reasons)
        if r.links_refused:
            refused = f"{sum(r.links_refused.values()):,} refused link(s) wait: {counted(r.links_refused)}"
            console.print(f"{r.sync}: {for_markup(refused)}")


def _show_sagas(console: Console, reports: Sequence[SyncReport]) -> None:
    """How each saga of these syncs ended, once."""
    ends = {r.saga.saga: r.saga for r in reports if r.saga is not None}
    for end in ends.values():
        name = for_markup(end.saga)
        if end.step == "done":
            console.print(f"saga {name}: [green]done[/]{', but for what was rolled back' if end.waits else ''}")
            for sync, n in end.waits.items():
                show_item(console, f"{n:,} record(s) of {sync} stand as before: `{_SEND_ROLLED_BACK} {sync}`")
            continue
        said = {"undone": "taken back", "undoing": "being taken back: the next run goes on with it"}
        word = said.get(end.step, "not ended: the next run goes on with it")
        why = f" ({short(end.cause, 200)})" if end.cause else ""
        console.print(f"saga {name}: [red]{word}[/]{why}", soft_wrap=True)
        for sync, n in end.left.items():
            show_item(console, f"left: {n:,} record(s) of {sync}, edited there since or not to be undone")
        for sync, reason in end.stays.items():
            show_item(console, f"left: all that {sync} wrote: {reason}")


def show_waiting_counts(console: Console, sync: str, waiting: Mapping[str, int], reasons: Mapping[str, int]) -> None:
    """A run is done when all it had to send is sent; what stands in the retry queue must not be forgotten over that."""
    if total := sum(waiting.values()):
        why = ", ".join(f"{n:,} {word.replace('_', ' ')}" for word, n in waiting.items() if n)
        console.print(f"{sync}: {total:,} record(s) wait ({why}): [bold]revetl retry --dry-run --select {sync}[/]")
        console.print(f"  why: {counted(reasons)}", markup=False)


def counted(numbers: Mapping[str, int]) -> str:
    """`3 CONFLICT, 1 INVALID_EMAIL`: the most frequent first. The words are a vendor's own, so they are cut."""
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {cut(word, 40)}" for word, n in ordered)


def show_job(screen: Console, report: JobReport) -> None:
    """Stage by stage, then the syncs, then what kept providers from being asked, and what was spent."""
    from rich.table import Table

    listing = Table("stage", box=None, pad_edge=False)
    listing.add_column("records", justify="right")
    listing.add_column("seconds", justify="right")
    for stage in report.stages:
        listing.add_row(for_markup(stage.stage), f"{stage.records:,}", f"{stage.seconds:.1f}")
    screen.print(listing)
    if report.syncs:
        show_reports(screen, report.syncs)
    for waterfall in report.waterfalls:
        for reason in (waterfall.stopped, *waterfall.denied.values(), *waterfall.unavailable.values()):
            if reason:
                screen.print(f"[yellow]{for_markup(waterfall.waterfall)}[/]: {for_markup(reason)}")
    screen.print(f"Spent ${report.spend_usd:,.2f}.")
