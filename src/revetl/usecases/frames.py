"""A waterfall over a frame: it comes back with what providers know of its rows, from the project's own ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.lists.columns import SAMPLE_ROWS, ColumnMatch, added_columns, choose
from revetl.enrich.lists.entity_table import entity_name, loaded
from revetl.enrich.lists.frames import SUFFIXES, listing_of
from revetl.enrich.lists.winners import FoundValue, found_values
from revetl.enrich.lists.words import read_placeholders
from revetl.enrich.options import WaterfallOptions
from revetl.errors import ConfigError, Denied, did_you_mean
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.enrich.report import EnrichReport, OnProgress
    from revetl.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRequest:
    """`waterfall` None: the one that can use the most of the columns. `columns`: provider input → the frame's column,
    or None for an input that is not to be used. `on_progress` and `on_report` are called on the run's own thread."""

    waterfall: str | None = None
    max_spend_usd: Decimal | None = None
    columns: Mapping[str, str | None] | None = None
    limit: int | None = None
    verify_only: bool = False
    on_progress: OnProgress | None = None
    on_report: Callable[[EnrichReport], None] | None = None


class FrameEnrichment:
    """One call, from the frame to the frame. TypeError where it is neither a DataFrame nor an Arrow table."""

    def __init__(self, project: Project, frame: Any, request: FrameRequest, caller: Caller) -> None:
        self._project, self._request, self._caller = project, request, caller
        self._listing = listing_of(frame)
        self._report: EnrichReport | None = None

    async def run(self, stop: asyncio.Event) -> Any:
        """The enriched frame. Safe to repeat. Raises ConfigError before anything is asked, WarehouseError, and Denied
        where a provider refused its key; what others answered is kept."""
        match, now = self._match(), self._caller.clock.now
        self._listing.used = match.columns
        # Opened here: its connection belongs to this thread.
        with (
            self._caller.warehouse(self._project) as warehouse,
            loaded(warehouse, match, self._listing, now(), limit=self._request.limit) as held,
        ):
            relation = held.relation
            ctx = self._caller.context(self._project, warehouse, "enrich", stop=stop)
            spend = self._request.max_spend_usd
            said = {"max_spend_usd": None if spend is None else str(spend), "rows": "of a frame"}
            audited(warehouse, self._caller, "enrich", [match.spec.name], **said)
            options = WaterfallOptions(
                max_spend_usd=self._request.max_spend_usd,
                entity_name=entity_name(match.spec),
                on_progress=self._request.on_progress,
                project_budget=self._project.settings.budget,
            )
            connected = self._project.connected(match.spec.provider_names, ctx.clock)
            self._report = await run_waterfall(ctx, match.spec, connected, relation, options)
            if self._request.on_report is not None:
                self._request.on_report(self._report)
            if self._report.denied:
                raise Denied("; ".join(f"{name}: {why}" for name, why in self._report.denied.items()))
            providers = self._project.providers
            rows = found_values(warehouse, match, providers, self._listing, relation, now(), priced=True)
            return self._listing.extended(_added(match, self._listing.header, rows))

    def notes(self) -> list[str]:
        """What the caller should know of a frame that was given all the same: not everything was asked for."""
        report = self._report
        if report is None:
            return []
        found = [*filter(None, [report.stopped])]
        found += [f"{name}: {why}" for name, why in (report.unavailable | report.exhausted).items()]
        if report.in_doubt_usd:
            found.append(f"${report.in_doubt_usd} may have been charged without an answer: these calls are in doubt")
        return found

    def _match(self) -> ColumnMatch:
        specs = self._project.waterfalls
        if self._request.waterfall is not None:
            if self._request.waterfall not in specs:
                hint = did_you_mean(self._request.waterfall, list(specs))
                raise ConfigError(f"no waterfall {self._request.waterfall!r}", hint=hint)
            specs = {self._request.waterfall: specs[self._request.waterfall]}
        rows = self._listing.sample(SAMPLE_ROWS)
        match = choose(
            specs,
            self._project.providers,
            self._listing.header,
            self._request.columns,
            rows,
            verify_only=self._request.verify_only,
        )
        match = replace(match, placeholders=read_placeholders(self._project.placeholders_seed))
        if self._request.max_spend_usd is None and match.spec.budget.per_run_usd is None:
            raise ConfigError(
                f"nothing bounds what {match.spec.name} may cost",
                hint="Say max_spend_usd=…, or give the waterfall a budget.per_run_usd.",
            )
        return match


def _added(
    match: ColumnMatch, header: Sequence[str], rows: Iterator[tuple[list[tuple[Any, ...]], list[dict[str, FoundValue]]]]
) -> dict[str, tuple[str, list[Any]]]:
    """Name of a new column → its suffix and its cells."""
    names = added_columns(match, header, SUFFIXES)
    cells: dict[str, list[Any]] = {name: [] for group in names.values() for name in group}
    for _, found in rows:
        for field, group in names.items():
            value, source, confidence, verification, cost = (cells[name] for name in group)
            for known in (each.get(field) for each in found):
                value.append(None if known is None else known.value)
                source.append(None if known is None else known.source)
                confidence.append(None if known is None else known.confidence)
                verification.append(None if known is None else known.verification)
                cost.append(None if known is None else known.cost_usd)
    suffixes = {name: suffix for group in names.values() for name, suffix in zip(group, SUFFIXES, strict=True)}
    return {name: (suffixes[name], column) for name, column in cells.items()}
