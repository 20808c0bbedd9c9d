"""`revetl erase`: somebody asks to be forgotten."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.waiting import open_warehouse, say_waiting, wait_option

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.privacy.erasure import Erasure, ErasureReport
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

_SHOWN = 10
_KEPT = {
    "enrichment_calls": "rows stay, as money that was paid; answers and keys go",
    "outcomes": "rows stay, as counts; values and keys go",
    "runs": "rows stay; the message goes",
}


@click.command(short_help="Forget a person: remove what is kept, never look them up or send them again.")
@project_options
@click.option("--email", "emails", multiple=True, help="Whoever has this email. May be repeated.")
@click.option("--linkedin", "profiles", multiple=True, metavar="URL", help="Whoever has this profile. May be repeated.")
@click.option("--key", "keys", multiple=True, help="The record of this key (a golden_id). May be repeated.")
@click.option(
    "--file", "file", metavar="FILE", help="CSV or Parquet with a column email, linkedin_url or key; - is stdin."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what is held of them, and change nothing.")
@wait_option
@json_option
def command(
    options: ProjectOptions,
    emails: tuple[str, ...],
    profiles: tuple[str, ...],
    keys: tuple[str, ...],
    file: str | None,
    yes: bool,
    dry_run: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Remove what revetl's tables hold of these people, after showing it, and put them on the list of those who are
    neither looked up nor sent again. The list names nobody: it holds keyed hashes. Amounts in the ledger stay, without
    the person, so that the invoice still adds up. Safe to repeat.

    What stands in your sources, in models that dbt built from them, and at destinations is yours to delete: the ids at
    destinations are shown first, for afterwards nothing knows them.
    """
    if not (emails or profiles or keys or file):
        raise click.UsageError("say who: --email, --linkedin, --key or --file.")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask: add --yes or --dry-run.")
    if file == "-" and not (yes or dry_run):
        raise click.UsageError("who is read from stdin can't be asked for: add --yes or --dry-run.")
    project = options.load()
    identities = [{"email": email} for email in emails] + [{"linkedin_url": url} for url in profiles]
    if file is not None:
        more, named = _read(file)
        identities, keys = identities + more, (*keys, *named)
    warehouse = open_warehouse(project, wait_s)
    try:
        request = _request(project, warehouse, identities, keys)
        report = asyncio.run(request.look())
        if not as_json:
            _show(console(), report)
        if not dry_run:
            if not (yes or _agreed()):
                return 3
            report = asyncio.run(_erase(project, request, wait_s))
    finally:
        warehouse.close()
    if as_json:
        emit_json(_document(report))
    elif report.erased:
        rows = sum(report.tables.values())
        click.echo(f"Erased, {rows:,} row(s). They are neither looked up nor sent from now on.")
    return 0


def _read(file: str) -> tuple[list[dict[str, str]], list[str]]:
    from revetl.enrich.lists.files import open_list
    from revetl.usecases.erase_people import read_people

    with open_list(file, sys.stdin.buffer) as listing:
        return read_people(listing)


def _request(
    project: Project, warehouse: Warehouse, identities: list[dict[str, str]], keys: tuple[str, ...]
) -> Erasure:
    from revetl.clock import SystemClock
    from revetl.privacy.erasure import Erasure
    from revetl.usecases.erase_people import list_keys, people_of

    waterfalls = [*project.waterfalls.values()]
    models = set(project.manifest.model_names()) if project.built else set()
    people = people_of([spec for spec in waterfalls if spec.entity in models], project.relation)
    return Erasure(warehouse, people, list_keys(waterfalls), identities, keys, clock=SystemClock())


async def _erase(project: Project, request: Erasure, wait_s: float) -> ErasureReport:
    from revetl.clock import SystemClock
    from revetl.state.runs import new_run_id

    syncs = [spec.name for spec in project.syncs(verified=False)] if project.built else []
    return await request.erase(
        run_id=new_run_id(SystemClock()), target=project.target, syncs=syncs, wait_s=wait_s, on_wait=say_waiting
    )


def _agreed() -> bool:
    if not sys.stdin.isatty():
        click.echo("Nothing was changed. --yes agrees to it where nobody can be asked.", err=True)
        return False
    return click.confirm("Erase this? It can't be undone.", err=True)


def _show(screen: Console, report: ErasureReport) -> None:
    from revetl.cli.render.reports import short, table

    person = report.person
    screen.print(f"{len(person.found):,} record(s)" + (":" if person.found else " of them are known"))
    for key, where in [*person.found.items()][:_SHOWN]:
        screen.print(f"  {short(key, 40)}  [dim]{short(where)}[/]")
    if len(person.found) > _SHOWN:
        screen.print(f"  … {len(person.found) - _SHOWN:,} more")
    if report.tables:
        listing = table("table", "rows", "", right=["rows"])
        for name, rows in sorted(report.tables.items()):
            listing.add_row(name, f"{rows:,}", _KEPT.get(name, "deleted"))
        screen.print(listing)
    if person.standing:
        screen.print("Still at the destinations, for you to delete there:")
        for sync, id_ in person.standing[:_SHOWN]:
            screen.print(f"  {sync}  id {short(id_, 40)}")
        if len(person.standing) > _SHOWN:
            screen.print(f"  … {len(person.standing) - _SHOWN:,} more: --dry-run --json lists them")
    screen.print("Sources and the models that are built from them are yours to delete from.")


def _document(report: ErasureReport) -> dict[str, Any]:
    return {
        "erased": report.erased,
        "run_id": report.run_id,
        "records": [{"key": key, "found_in": where} for key, where in report.person.found.items()],
        "tables": report.tables,
        "destinations": [{"sync": sync, "destination_id": id_} for sync, id_ in report.person.standing],
    }
