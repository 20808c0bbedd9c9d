"""`revetl enrich`: the project's waterfalls, or one of them over a list in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.commands.run import usd
from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.render.estimates import print_in_doubt, show_estimates, told
from revetl.cli.waiting import open_warehouse, wait_option

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.context import RunContext
    from revetl.enrich.lists.columns import ColumnMatch
    from revetl.enrich.options import WaterfallOptions
    from revetl.enrich.report import EnrichReport, Estimate
    from revetl.enrich.waterfall import WaterfallSpec
    from revetl.model import Relation
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

NOT_AGREED = "nothing was spent: the cost was not agreed to"


@click.command(short_help="Fill gaps from data providers, for the project or for a file.")
@click.argument("file", required=False)
@click.option("-o", "--output", metavar="FILE", help="Where the enriched list goes: .csv, .parquet, or - for stdout.")
@project_options
@click.option("-w", "--waterfall", "names", multiple=True, metavar="NAME", help="Only this waterfall. May be repeated.")
@click.option("-s", "--select", multiple=True, metavar="PATTERN", help="Waterfalls by name or model; * as in a shell.")
@click.option("--max-spend", type=usd, metavar="USD", help="The most that providers may cost in this run, in all.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Look at the first N records by key only.")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what was found and spent as .md or .html too.",
)
@click.option("--dry-run", is_flag=True, help="Show cost, coverage and time; ask nothing of a provider.")
@click.option("--in-doubt", is_flag=True, help="Show calls that may have been charged and whose answer was lost.")
@click.option("--yes", is_flag=True, help="Spend within the budgets without asking.")
@click.option("--no-input", is_flag=True, help="Never ask; without --yes nothing is spent.")
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
    report_file: Path | None,
    dry_run: bool,
    in_doubt: bool,
    yes: bool,
    no_input: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Fill what records lack from data providers, in order of the waterfall, within its budget.

    Without FILE the project's waterfalls run over their models. With FILE (CSV, Parquet, or - for stdin) one waterfall
    runs over that list: its columns are matched to inputs by name, and the output has its columns as they were, then
    a value, a source and a confidence per field. What was asked before, by whichever way, is not paid for again.
    """
    if in_doubt and (file is not None or output is not None):
        raise click.UsageError("--in-doubt shows the ledger's calls: it takes no FILE.")
    if file is not None and output is None and not dry_run:
        raise click.UsageError("-o says where the enriched list goes: a file, or - for stdout.")
    if file is None and output is not None:
        raise click.UsageError("-o goes with a FILE to enrich.")
    if output == "-" and as_json:
        raise click.UsageError("--json and -o - both want stdout: give one of them a file.")
    if file is not None and output is not None:
        from revetl.enrich.lists.files import check_target

        check_target(output, file)
    if report_file is not None:
        from revetl.cli.render.enrich_report import check_report_target

        check_report_target(report_file)
    project = options.load()
    if in_doubt:
        return _show_in_doubt(project, wait_s, as_json)
    job = _EnrichCommand(project, max_spend, limit, dry_run, _agreement(yes, may_ask=not no_input and file != "-"))
    warehouse = open_warehouse(project, wait_s)
    try:
        if file is None:
            job.project_waterfalls(warehouse, _chosen(project.waterfalls, names, select))
        else:
            job.list_(warehouse, file, output, _chosen(project.waterfalls, names, select))
    finally:
        warehouse.close()
    if report_file is not None:
        job.write_report(report_file)
    if as_json:
        emit_json(job.document())
    elif output == "-":
        # The list has stdout to itself.
        job.show(err_console())
    else:
        job.show(console())
    return job.exit_code


def _show_in_doubt(project: Project, wait_s: float, as_json: bool) -> int:
    from revetl.clock import SystemClock
    from revetl.enrich.execution.in_doubt import in_doubt

    now = SystemClock().now()
    warehouse = open_warehouse(project, wait_s)
    try:
        rows = told(in_doubt(warehouse, now), project.providers, now)
    finally:
        warehouse.close()
    if as_json:
        emit_json({"in_doubt": rows})
    else:
        print_in_doubt(rows)
    return 0


class _EnrichCommand:
    """One command: estimates are agreed to as a whole, then waterfalls run under one allowance."""

    def __init__(
        self,
        project: Project,
        max_spend: Decimal | None,
        limit: int | None,
        dry_run: bool,
        agree: Callable[[Sequence[Estimate]], bool],
    ) -> None:
        self._project = project
        self._left = max_spend
        self._limit = limit
        self._dry_run = dry_run
        self._agree = agree
        self._estimates: list[Estimate] = []
        self._reports: list[EnrichReport] = []
        self._columns: dict[str, str] = {}

    @property
    def exit_code(self) -> int:
        codes = {r.exit_code for r in self._reports}
        return next((code for code in (4, 3, 1) if code in codes), 0)

    def project_waterfalls(self, warehouse: Warehouse, specs: Mapping[str, WaterfallSpec]) -> None:
        entities = {name: self._project.relation(spec.entity) for name, spec in specs.items()}
        for name, spec in specs.items():
            self._estimate(warehouse, spec, entities[name], None)
        if self._go_on():
            for name, spec in specs.items():
                self._run(warehouse, spec, entities[name], None)

    def list_(self, warehouse: Warehouse, file: str, output: str | None, specs: Mapping[str, WaterfallSpec]) -> None:
        from revetl.clock import SystemClock
        from revetl.enrich.lists.columns import added_columns, choose
        from revetl.enrich.lists.entity_table import enriched_rows, entity_name, loaded
        from revetl.enrich.lists.files import open_list, write_list

        with open_list(file, sys.stdin.buffer) as listing:
            match = choose(specs, self._project.providers, listing.header)
            self._columns = dict(match.inputs)
            _show_match(match)
            kept_as = entity_name(match.spec)
            with loaded(warehouse, match, listing, SystemClock().now()) as relation:
                self._estimate(warehouse, match.spec, relation, kept_as)
                if not self._go_on() or output is None:
                    return
                partial = _partial(output)
                added = [name for names in added_columns(match, listing.header).values() for name in names]

                def write(to: str) -> None:
                    rows = enriched_rows(
                        warehouse, match, self._project.providers, listing, relation, SystemClock().now()
                    )
                    write_list(to, sys.stdout.buffer, listing, added, rows)

                try:
                    self._run(warehouse, match.spec, relation, kept_as)
                except KeyboardInterrupt:
                    if partial is not None:
                        write(str(partial))
                        said = f"What was found so far is in {partial}. The same command goes on from there."
                        err_console().print(said, markup=False)
                    raise
                write(output)
                if partial is not None:
                    partial.unlink(missing_ok=True)

    def document(self) -> dict[str, Any]:
        """Money is text, exact."""
        return {
            "exit_code": self.exit_code,
            "columns": self._columns,
            "estimates": [
                {**asdict(e), "lookups": e.lookups, "expected_usd": e.expected_usd, "greatest_usd": e.greatest_usd}
                for e in self._estimates
            ],
            "waterfalls": [
                {**asdict(r), "asked": r.asked, "spent_usd": r.spent_usd, "filled": r.filled, "exit_code": r.exit_code}
                for r in self._reports
            ],
        }

    def show(self, screen: Console) -> None:
        from revetl.cli.render.enrich_report import show_report

        if not self._reports:
            screen.print("Nothing was asked.")
        for report in self._reports:
            show_report(screen, report)

    def write_report(self, target: Path) -> None:
        from revetl.cli.render.enrich_report import write_report

        write_report(target, self._reports)

    def _estimate(self, warehouse: Warehouse, spec: WaterfallSpec, relation: Relation, kept_as: str | None) -> None:
        from revetl.enrich.forecasting.estimate import estimate

        ctx, options = self._context(warehouse), self._options(kept_as)
        self._estimates.append(estimate(ctx, spec, self._project.providers, relation, options))

    def _context(self, warehouse: Warehouse) -> RunContext:
        from revetl.clock import SystemClock
        from revetl.context import RunContext
        from revetl.state.runs import new_run_id

        clock = SystemClock()
        return RunContext(
            warehouse=warehouse, clock=clock, run_id=new_run_id(clock), command="enrich", target=self._project.target
        )

    def _options(self, kept_as: str | None) -> WaterfallOptions:
        from revetl.enrich.options import WaterfallOptions

        return WaterfallOptions(max_spend_usd=self._left, limit=self._limit, entity_name=kept_as)

    def _go_on(self) -> bool:
        """GuardrailError where the cost is not agreed to; False for a dry run."""
        from revetl.errors import GuardrailError

        show_estimates(self._estimates)
        if self._dry_run:
            return False
        if not self._agree(self._estimates):
            raise GuardrailError(NOT_AGREED)
        return True

    def _run(self, warehouse: Warehouse, spec: WaterfallSpec, relation: Relation, kept_as: str | None) -> None:
        from revetl.cli.render.enrich_progress import progress
        from revetl.cli.signals import run_stoppable
        from revetl.enrich.execution.engine import run_waterfall

        ctx = self._context(warehouse)
        foreseen = next((e for e in self._estimates if e.waterfall == spec.name), None)
        with progress(spec.name) as tell:
            options = replace(self._options(kept_as), on_progress=tell, foreseen=foreseen)
            report = run_stoppable(
                lambda stop: run_waterfall(
                    replace(ctx, stop=stop),
                    spec,
                    self._project.connected(spec.provider_names, ctx.clock),
                    relation,
                    options,
                )
            )
        if self._left is not None:
            self._left = max(Decimal(0), self._left - report.spent_usd - report.in_doubt_usd)
        self._reports.append(report)


def _partial(output: str) -> Path | None:
    """Where the list goes as far as it is when the run is stopped: beside the output, which appears whole or not."""
    path = Path(output)
    return None if output == "-" else path.with_name(f"{path.stem}.partial{path.suffix}")


def _chosen(
    waterfalls: Mapping[str, WaterfallSpec], names: Sequence[str], patterns: Sequence[str]
) -> dict[str, WaterfallSpec]:
    """All where nothing is said. ConfigError for a name that is none, or a pattern that matches none."""
    from revetl.errors import ConfigError, did_you_mean

    for name in names:
        if name not in waterfalls:
            raise ConfigError(f"no waterfall {name!r}", hint=did_you_mean(name, list(waterfalls)))
    found = {
        name: spec
        for name, spec in waterfalls.items()
        if name in names
        or any(fnmatchcase(name, p) or fnmatchcase(spec.entity, p) for p in patterns)
        or not (names or patterns)
    }
    if not found:
        said = f"no waterfall is selected by {' '.join(patterns)}" if patterns else "the project has no waterfall"
        raise ConfigError(said, hint="Waterfalls: " + (", ".join(waterfalls) or "none in enrichment/waterfalls/"))
    return found


def _agreement(yes: bool, *, may_ask: bool) -> Callable[[Sequence[Estimate]], bool]:
    def agree(estimates: Sequence[Estimate]) -> bool:
        if yes or not any(e.greatest_usd for e in estimates):
            return True
        if not may_ask or not sys.stdin.isatty():
            click.echo("--yes agrees to the cost where nobody can be asked.", err=True)
            return False
        return click.confirm("Go on?", err=True)

    return agree


def _show_match(match: ColumnMatch) -> None:
    from rich.markup import escape

    screen = err_console()
    matched = ", ".join(f"{escape(column)} → {name}" for name, column in match.inputs.items())
    screen.print(f"Waterfall [bold]{match.spec.name}[/]. Columns: {matched}")
    absent = [name for name in match.spec.inputs if name not in match.inputs]
    if absent:
        screen.print(f"Not in the list: {', '.join(absent)}")
