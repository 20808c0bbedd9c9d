"""`revetl erase`: somebody asks to be forgotten."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options, record_key
from revetl.cli.output import echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.privacy.erasure import ErasureReport


@click.command(short_help="Forget a person: remove what is kept, never look them up or send them again.")
@project_options
@click.option("--email", "emails", multiple=True, help="Whoever has this email. May be repeated.")
@click.option("--linkedin", "profiles", multiple=True, metavar="URL", help="Whoever has this profile. May be repeated.")
@click.option(
    "--key", "keys", multiple=True, callback=record_key, help="The record of this key (a golden_id). May be repeated."
)
@click.option(
    "--file", "file", metavar="FILE", help="CSV or Parquet with a column email, linkedin_url or key; - is stdin."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is changed.")
@click.option("--dry-run", is_flag=True, help="Show what is held of them, and change nothing.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    emails: tuple[str, ...],
    profiles: tuple[str, ...],
    keys: tuple[str, ...],
    file: str | None,
    yes: bool,
    no_input: bool,
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
    from revetl.cli.render.documents import erasure_document
    from revetl.cli.render.erasure import show_erasure
    from revetl.usecases.erase import Whom, erase, listed
    from revetl.usecases.exit_codes import ExitCode

    def confirm(report: ErasureReport) -> bool:
        if not as_json:
            show_erasure(console(), report)
        return not dry_run and (yes or _agreed(may_ask=not no_input))

    project = options.load()
    named = Whom([{"email": email} for email in emails] + [{"linkedin_url": url} for url in profiles], keys)
    whom = named if file is None else named.and_(listed(file, sys.stdin.buffer))
    with Terminal(wait_s) as terminal:
        report = erase(project, whom, confirm, terminal.caller)
    if as_json:
        emit_json(erasure_document(report))
    elif report.erased:
        rows = sum(report.tables.values())
        done = f"Erased, {rows:,} row(s)." if rows else "Nothing is held of them, so nothing was erased."
        echo(f"{done} They are neither looked up nor sent from now on.")
    return 0 if report.erased or dry_run else int(ExitCode.STOPPED)


def _agreed(*, may_ask: bool) -> bool:
    if not (may_ask and sys.stdin.isatty()):
        echo("Nothing was changed. --yes agrees to it where nobody can be asked.", err=True)
        return False
    return click.confirm("Erase this? It can't be undone.", err=True)
