"""`revetl enrich`: the project's waterfalls, or one of them over a list in a file."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli import completing
from revetl.cli.numbers import whole_number
from revetl.cli.options import (
    ProjectOptions,
    console,
    emit_json,
    err_console,
    json_option,
    max_spend_option,
    project_options,
)
from revetl.cli.output import SafeStdout, echo
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option
from revetl.enrich.resolutions import RESOLUTIONS, Resolution

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.usecases.in_doubt import DoubtFilter, ListRows


@click.command(short_help="Fill gaps from data providers, for the project or for a file.")
@click.argument("file", required=False)
@click.option(
    "-o", "--output", metavar="FILE", help="Where the enriched list goes: .csv, .xlsx, .parquet, or - for stdout."
)
@project_options
@click.option(
    "-w",
    "--waterfall",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.waterfalls,
    help="Only this waterfall. May be repeated.",
)
@click.option("-s", "--select", multiple=True, metavar="PATTERN", help="Waterfalls by name or model; * as in a shell.")
@max_spend_option("The most that providers may cost in this run, in all.")
@click.option(
    "--limit", metavar="N", type=whole_number(), help="Look at the first N records by key, or rows of FILE, only."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=INPUT",
    help="The column NAME of FILE is this input. May be repeated.",
)
@click.option("--encoding", metavar="NAME", help="FILE's encoding, such as cp1252. Default: found out.")
@click.option("--delimiter", metavar="CHAR", help="What parts FILE's cells. Default: found out.")
@click.option("--sheet", metavar="NAME", help="The sheet of an .xlsx FILE. Default: the first one.")
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where rows of FILE go that can't be read. Default: beside the output, as OUT.rejects.csv.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what was found and spent as .md or .html too.",
)
@click.option("--formulas", is_flag=True, help="Leave text as it is that a spreadsheet would compute (=, +, -, @).")
@click.option("--verify-only", is_flag=True, help="Verify what FILE holds, and ask nobody for more.")
@click.option("--dry-run", is_flag=True, help="Show cost, coverage and time; ask nothing of a provider.")
@click.option("--in-doubt", is_flag=True, help="Show calls that may have been charged and whose answer was lost.")
@click.option(
    "--resolve",
    type=click.Choice(RESOLUTIONS),
    help="With --in-doubt: end these calls. charged: on the vendor's invoice. not_charged: not on it; asked again. "
    "ask_again: nobody knows; asked again, and its price stays spent.",
)
@click.option("--provider", metavar="NAME", help="With --in-doubt: only calls to this provider, or vendor.")
@click.option("--run", "run_id", metavar="RUN_ID", help="With --in-doubt: only calls of this run.")
@click.option(
    "--person", metavar="TEXT", help="With --in-doubt: only calls about this record: its key, address or name."
)
@click.option("--yes", is_flag=True, help="Spend within the budgets without asking.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is spent.")
@reason_option
@wait_option
@json_option
def command(
    file: str | None,
    output: str | None,
    options: ProjectOptions,
    names: tuple[str, ...],
    select: tuple[str, ...],
    max_spend: Decimal | None,
    limit: int | None,
    columns: tuple[str, ...],
    encoding: str | None,
    delimiter: str | None,
    sheet: str | None,
    rejects: Path | None,
    report_file: Path | None,
    formulas: bool,
    verify_only: bool,
    dry_run: bool,
    in_doubt: bool,
    resolve: Resolution | None,
    provider: str | None,
    run_id: str | None,
    person: str | None,
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Fill what records lack from data providers, in order of the waterfall, within its budget.

    Without FILE the project's waterfalls run over their models. With FILE (CSV, .xlsx, Parquet, or - for stdin) one
    waterfall runs over that list: its columns are matched to inputs by name, and the output has its columns as they
    were, then value, source, confidence, verification and cost per field. What was asked before is not paid for again.
    """
    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise click.UsageError("--delimiter is one character.")
    if not in_doubt and (resolve or provider or run_id or person):
        raise click.UsageError("--resolve, --provider, --run and --person go with --in-doubt.")
    _check_words(file, output, in_doubt=in_doubt, dry_run=dry_run, as_json=as_json)
    if verify_only and file is None:
        raise click.UsageError("--verify-only goes with a FILE.")
    if report_file is not None:
        from revetl.cli.render.enrich_report import check_report_target

        check_report_target(report_file)
    from revetl.cli.render.estimates import show_estimates, show_match
    from revetl.usecases.enrich import EnrichRequest, ListFiles, enrich

    request = EnrichRequest(
        names=names,
        patterns=select,
        max_spend_usd=max_spend,
        limit=limit,
        columns=_columns(columns, file),
        verify_only=verify_only,
        dry_run=dry_run,
        agreed=yes,
        ask=lambda: _go_on(may_ask=not no_input and file != "-"),
        on_estimates=show_estimates,
        on_match=show_match,
    )
    files = None
    if file is not None:
        how = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet}
        files = ListFiles(file, output, sys.stdin.buffer, SafeStdout(), **how, rejects=rejects, formulas=formulas)
    project = options.load()
    if in_doubt:
        from revetl.usecases.enrich import list_people
        from revetl.usecases.in_doubt import DoubtFilter

        only = DoubtFilter(provider, run_id, person)
        rows = None if files is None else list_people(project, files, request)
        return _show_in_doubt(project, only, resolve, rows, wait_s, as_json=as_json)
    with Terminal(wait_s) as terminal:
        result = enrich(project, request, terminal.caller, files)
    if report_file is not None:
        from revetl.cli.render.enrich_report import write_report

        write_report(report_file, result.reports)
    if as_json:
        from revetl.cli.render.documents import enrich_document

        emit_json(enrich_document(result))
    else:
        from revetl.cli.render.enrich_report import show_result

        # With `-o -` the list has stdout to itself.
        show_result(err_console() if output == "-" else console(), result)
    return result.exit_code


def _check_words(file: str | None, output: str | None, *, in_doubt: bool, dry_run: bool, as_json: bool) -> None:
    if in_doubt and output is not None:
        raise click.UsageError("--in-doubt shows the ledger's calls: it writes no list.")
    if file is not None and output is None and not dry_run and not in_doubt:
        raise click.UsageError("-o says where the enriched list goes: a file, or - for stdout.")
    if file is None and output is not None:
        raise click.UsageError("-o goes with a FILE to enrich.")
    if output == "-" and as_json:
        raise click.UsageError("--json and -o - both want stdout: give one of them a file.")


def _columns(written: tuple[str, ...], file: str | None) -> dict[str, str]:
    """input → the list's column. The name of a column may hold `=`, that of an input can't."""
    if written and file is None:
        raise click.UsageError("--column goes with a FILE to enrich.")
    found = {}
    for text in written:
        name, _, input_ = text.rpartition("=")
        if not name or not input_:
            raise click.UsageError(f"--column is NAME=INPUT, as in --column Correo=email; this is {text!r}.")
        found[input_] = name
    return found


def _go_on(*, may_ask: bool) -> bool:
    if not may_ask or not sys.stdin.isatty():
        echo("--yes agrees to the cost where nobody can be asked.", err=True)
        return False
    return click.confirm("Go on?", err=True)


def _show_in_doubt(
    project: Project,
    only: DoubtFilter,
    resolve: Resolution | None,
    rows: ListRows | None,
    wait_s: float,
    *,
    as_json: bool,
) -> int:
    from revetl.cli.render.estimates import print_in_doubt
    from revetl.usecases.in_doubt import calls_in_doubt, resolve_in_doubt

    with Terminal(wait_s) as terminal:
        if resolve is not None:
            number = resolve_in_doubt(project, terminal.caller, only, resolve, rows)
            if as_json:
                emit_json({"resolved": number, "as": resolve})
            else:
                ended = "1 call" if number == 1 else f"{number:,} calls"
                echo(f"{ended} ended as {resolve}." if number else "No call in doubt is meant by that.")
            return 0
        found = calls_in_doubt(project, terminal.caller, only, rows)
    if as_json:
        emit_json({"in_doubt": found})
    else:
        print_in_doubt(found)
    return 0
