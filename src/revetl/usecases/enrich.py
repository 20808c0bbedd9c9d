"""`revetl enrich`: gaps are filled by providers, in the project's models or in a list, under one sum of money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from revetl.enrich.execution.in_doubt import in_doubt
from revetl.enrich.lists.columns import SAMPLE_ROWS, ColumnMatch, added_columns, choose
from revetl.enrich.lists.entity_table import RowReader, entity_name, list_key, loaded
from revetl.enrich.lists.files import HowToRead, Listing, column_without_header, open_list, rejected_rows
from revetl.enrich.lists.waiting_cells import waiting_cells
from revetl.enrich.lists.winners import enriched_rows, own_verdicts
from revetl.enrich.lists.words import read_placeholders
from revetl.enrich.lists.workbooks import WorkbookListing
from revetl.enrich.lists.writing import ByteSink, check_size, check_target, refuse_own_list, write_list
from revetl.enrich.report import EnrichReport, Estimate
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, GuardrailError, Problem, did_you_mean
from revetl.model import Relation
from revetl.usecases import exit_codes
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.waterfalls import (
    SharedBudget,
    WaterfallInput,
    ask_providers,
    costs_anything,
    estimate_all,
    name_missing_credentials,
)

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

NOT_AGREED = "nothing was spent: the cost was not agreed to"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichRequest:
    """`names` and `patterns` choose waterfalls (neither: all; of a list: the one that can use the most of its columns).
    `max_spend_usd` bounds them together. `dry_run`: only what it would cost.

    `on_estimates` is shown the cost before anything is spent. `ask` is then asked whether to go on, unless the cost is
    `agreed` to already or there is none; None where nobody can be asked, and then nothing is spent.
    `on_match`: shown which column of the list is which input. `columns`: input → the list's column, where the caller
    says it; None for an input that is not to be used. `limit`: the first so many records by key, or rows of the list.
    `verify_only`: what the list holds is verified, and nobody is asked for more.
    """

    names: Sequence[str] = ()
    patterns: Sequence[str] = ()
    max_spend_usd: Decimal | None = None
    limit: int | None = None
    dry_run: bool = False
    agreed: bool = False
    ask: Callable[[], bool] | None = None
    on_estimates: Callable[[Sequence[Estimate]], None] | None = None
    on_match: Callable[[ColumnMatch], None] | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    verify_only: bool = False


@dataclass(frozen=True, slots=True)
class ListFiles:
    """The list and where the enriched one goes: paths, or `-` for `stdin` and `stdout`. `output` None: nowhere, which
    a dry run allows. `encoding` and `delimiter` of a CSV, `sheet` of a spreadsheet; None: found out. `rejects`: where
    rows go that can't be read; None: beside the output, or nowhere where that is stdout, and then they refuse the list.
    `formulas`: what a spreadsheet would compute is written as it is.
    """

    source: str
    output: str | None
    stdin: BinaryIO
    stdout: ByteSink
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    rejects: Path | None = None
    formulas: bool = False

    @property
    def rejects_path(self) -> Path | None:
        if self.rejects is not None or self.output in (None, "-"):
            return self.rejects
        output = Path(self.output or "")
        return output.with_name(f"{output.stem}.rejects.csv")

    @property
    def how_to_read(self) -> HowToRead:
        set_aside = self.output is None or self.rejects_path is not None
        return HowToRead(self.encoding, self.delimiter, self.sheet, set_aside)


@dataclass(slots=True)
class EnrichResult:
    """`reports` is empty where nothing was asked. `columns`: input → the column of the list."""

    estimates: list[Estimate] = field(default_factory=list)
    reports: list[EnrichReport] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return exit_codes.worst(r.exit_code for r in self.reports)


def enrich(project: Project, request: EnrichRequest, caller: Caller, files: ListFiles | None = None) -> EnrichResult:
    """Without `files` the chosen waterfalls run over their models, with them one runs over the list. Safe to repeat:
    what was asked before, by whichever way, costs nothing.

    Raises ConfigError before anything is asked, GuardrailError where the cost is not agreed to, WarehouseError, and
    KeyboardInterrupt after a stop. What a refused key or a spent budget kept from being asked stands in the reports.
    """
    if files is None:
        return _enrich_models(project, request, caller)
    return _enrich_list(project, files, request, caller)


def _enrich_models(project: Project, request: EnrichRequest, caller: Caller) -> EnrichResult:
    with caller.warehouse(project) as warehouse:
        specs = _chosen(project.waterfalls, request).values()
        inputs = [WaterfallInput(spec, project.relation(spec.entity), request.limit) for spec in specs]
        enriching = _Enriching(project, warehouse, request, caller)
        if enriching.go_on(inputs):
            enriching.ask(inputs)
    return enriching.result


def _enrich_list(project: Project, files: ListFiles, request: EnrichRequest, caller: Caller) -> EnrichResult:
    """Runs one waterfall over a list and writes the list with what was found, whole or not at all. After a stop what
    was found so far is in a file beside the output, and the same command goes on from there."""
    if files.output is not None:
        check_target(files.output, files.source)
    if files.rejects is not None:
        check_target(str(files.rejects), files.source)
    beside = [path for path in (files.rejects_path, _partial(files.output) if files.output else None) if path]
    for path in beside:  # named by us, and written or removed without a question
        refuse_own_list(path, files.source)
        if files.output not in (None, "-") and path.resolve() == Path(str(files.output)).resolve():
            raise ConfigError(Problem("is the enriched list, too", path, hint="Name another file with --rejects."))
    with caller.warehouse(project) as warehouse:
        specs = _chosen(project.waterfalls, request)
        enriching = _Enriching(project, warehouse, request, caller)
        with open_list(files.source, files.stdin, files.how_to_read) as listing:
            if isinstance(listing, WorkbookListing) and len(listing.sheets) > 1:
                caller.note(f"Of {len(listing.sheets)} sheets {listing.sheet!r} is read. --sheet names another.")
            if (column := column_without_header(listing)) is not None:
                caller.note(f"The list has no header: its first row is data. Its column is called {column}.")
            rows = next(listing.chunks(), [])[:SAMPLE_ROWS]
            match = choose(
                specs, project.providers, listing.header, request.columns, rows, verify_only=request.verify_only
            )
            match = replace(match, placeholders=read_placeholders(project.placeholders_seed))
            enriching.result.columns = dict(match.inputs)
            if request.on_match is not None:
                request.on_match(match)
            with loaded(warehouse, match, listing, caller.clock.now(), limit=request.limit) as held:
                relation = held.relation
                _set_aside(listing, files, caller)
                for column, cells in held.unusable.items():
                    counted = "1 cell" if cells == 1 else f"{cells:,} cells"
                    caller.note(f"{column}: {counted} can't be used (placeholders, or not what the column is for).")
                added = [name for names in added_columns(match, listing.header).values() for name in names]
                if files.output is not None:
                    check_size(files.output, listing, held.rows, len(listing.header) + len(added))
                given = WaterfallInput(match.spec, relation, kept_as=entity_name(match.spec))
                if not enriching.go_on([given]) or files.output is None:
                    return enriching.result

                def write(to: str) -> None:
                    rows = enriched_rows(warehouse, match, project.providers, listing, relation, caller.clock.now())
                    write_list(to, files.stdout, listing, added, rows, formulas=files.formulas)

                partial = _partial(files.output)
                try:
                    enriching.ask([given])
                except KeyboardInterrupt:
                    if partial is not None:
                        write(str(partial))
                        caller.note(f"What was found so far is in {partial}. The same command goes on from there.")
                    raise
                write(files.output)
                for name, verdicts in own_verdicts(warehouse, match.spec, relation).items():
                    said = ", ".join(f"{n:,} {verdict}" for verdict, n in verdicts.items())
                    caller.note(f"{name} of the list: {said}.")
                _note_waiting(warehouse, match, relation, project, caller)
                if partial is not None:
                    partial.unlink(missing_ok=True)
    return enriching.result


def list_people(project: Project, files: ListFiles, request: EnrichRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """The key under which each row of the list is asked about, and its inputs. Reads the list only; ConfigError as for
    a run over it."""
    with open_list(files.source, files.stdin, files.how_to_read) as listing:
        rows = next(listing.chunks(), [])[:SAMPLE_ROWS]
        match = choose(_chosen(project.waterfalls, request), project.providers, listing.header, request.columns, rows)
        match = replace(match, placeholders=read_placeholders(project.placeholders_seed))
        read = RowReader(match, listing.header)
        for chunk in listing.chunks():
            for cells in map(read, chunk):
                inputs = {name: cells.get(column) for name, column in match.spec.inputs.items()}
                yield list_key(inputs), {name: value for name, value in inputs.items() if value}


def _note_waiting(
    warehouse: Warehouse, match: ColumnMatch, relation: Relation, project: Project, caller: Caller
) -> None:
    """Cells that stay blank as long as nobody knows how a call about them ended."""
    calls = [c for c in in_doubt(warehouse, caller.clock.now()) if c.waterfall == match.spec.name]
    cells = waiting_cells(warehouse, match.spec, project.providers, relation, calls, caller.clock.now())
    if cells:
        usd = sum((c.usd for c in calls if c.call_id in cells.calls), Decimal(0))
        caller.note(
            f"{cells.number:,} blank cells wait for {len(cells.calls):,} calls in doubt (at most ${usd:,.2f}). "
            "revetl enrich FILE --in-doubt shows whose they are; --resolve ends them."
        )


def _set_aside(listing: Listing, files: ListFiles, caller: Caller) -> None:
    """One report of all rows that can't be read."""
    rejected = rejected_rows(listing)
    path = files.rejects_path
    if rejected.first is None:
        return
    rows = "row" if len(rejected) == 1 else "rows"
    said = f"{len(rejected):,} {rows} can't be read (line {rejected.first.line}: {rejected.first.problem})"
    if path is None:
        caller.note(f"{said}; nothing is asked about them.")
        return
    rejected.write(path)
    caller.note(f"{said}; nothing is asked about them. They are in {path}.")


class _Enriching:
    """Estimates are agreed to as a whole, then waterfalls run under one budget."""

    def __init__(self, project: Project, warehouse: Warehouse, request: EnrichRequest, caller: Caller) -> None:
        self._project, self._warehouse = project, warehouse
        self._request, self._caller = request, caller
        self._budget = SharedBudget(request.max_spend_usd)
        self.result = EnrichResult()

    def go_on(self, inputs: Sequence[WaterfallInput]) -> bool:
        """GuardrailError where the cost is not agreed to; False for a dry run."""
        request = self._request
        name_missing_credentials(self._project, inputs, self._caller, dry_run=request.dry_run)
        found = estimate_all(self._project, self._warehouse, inputs, self._budget, "enrich", self._caller)
        self.result.estimates = found
        if request.on_estimates is not None:
            request.on_estimates(found)
        if request.dry_run:
            return False
        if request.agreed or not costs_anything(found) or (request.ask is not None and request.ask()):
            return True
        raise GuardrailError(NOT_AGREED)

    def ask(self, inputs: Sequence[WaterfallInput]) -> None:
        if costs_anything(self.result.estimates):
            names = [given.spec.name for given in inputs]
            spend = self._request.max_spend_usd
            audited(self._warehouse, self._caller, "enrich", names, max_spend_usd=None if spend is None else str(spend))
        for given, foreseen in zip(inputs, self.result.estimates, strict=True):
            self.result.reports.append(
                ask_providers(self._project, self._warehouse, given, self._budget, foreseen, "enrich", self._caller)
            )


def _chosen(waterfalls: Mapping[str, WaterfallSpec], request: EnrichRequest) -> dict[str, WaterfallSpec]:
    """All where nothing is said. ConfigError for a name that is none, or a pattern that matches none."""
    names, patterns = request.names, request.patterns
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


def _partial(output: str) -> Path | None:
    """Where the list goes as far as it is when the run is stopped: beside the output, which appears whole or not."""
    path = Path(output)
    return None if output == "-" else path.with_name(f"{path.stem}.partial{path.suffix}")
