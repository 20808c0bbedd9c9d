"""The Python API: a waterfall over a pandas DataFrame or a pyarrow Table, with the project's ledger and cache.

    enriched = revetl.enrich_frame(frame, waterfall="contact_profile", max_spend_usd=5)

The run has a thread and an event loop of its own, so it works in a notebook, whose loop is busy already.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from revetl.enrich.lists.frames import SUFFIXES, listing_of
from revetl.errors import ConfigError, Denied, did_you_mean
from revetl.usecases.background import Running

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from revetl.enrich.lists.columns import ColumnMatch
    from revetl.enrich.lists.entity_table import FoundValue
    from revetl.enrich.report import EnrichReport, OnProgress
    from revetl.project import Project

Frame = TypeVar("Frame", bound="pd.DataFrame | pa.Table")


class FrameOptions(TypedDict, total=False):
    """What `enrich_frame` takes by name."""

    max_spend_usd: Decimal | float | str | None
    columns: Mapping[str, str | None] | None
    limit: int | None
    progress: OnProgress | None
    on_report: Callable[[EnrichReport], None] | None
    project_dir: Path | str | None
    profiles_dir: Path | str | None
    target: str | None


class EnrichWarning(UserWarning):
    """The frame is whole, but not everything that it lacks was asked for: a budget is spent, a provider is away."""


def enrich_frame(
    frame: Frame,
    waterfall: str | None = None,
    *,
    max_spend_usd: Decimal | float | str | None = None,
    columns: Mapping[str, str | None] | None = None,
    limit: int | None = None,
    progress: OnProgress | None = None,
    on_report: Callable[[EnrichReport], None] | None = None,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
) -> Frame:
    """The frame with what providers know of its rows: the same rows in the same order, its own columns as they were.

    Per field of the waterfall it gets `<field>`, `<field>_source` (the provider, or `input` for a value of the frame's
    own), `<field>_confidence` (0 to 1), `<field>_verification` and `<field>_cost_usd`; where the frame has a column of
    that name, they start with `<field>_enriched`. Values are text.

    frame            a pandas DataFrame or a pyarrow Table; the same kind comes back. It is not changed.
    waterfall        a name from enrichment/waterfalls/; None: the one that can use the most of the columns.
    max_spend_usd    the most that this call may cost, in US dollars. Needed where the waterfall has no budget per run.
    columns          provider input → the frame's column, or None for an input that is not to be used. The others are
                     matched by name.
    limit            look at the first so many rows by key only.
    progress         is called with a `revetl.enrich.Progress` about once a second, on another thread.
    on_report        is called with the `revetl.enrich.EnrichReport` at the end.
    project_dir      where revetl.yml is; default: $REVETL_PROJECT_DIR, else here or above. `profiles_dir` and `target`
                     are as on the command line.

    Safe to repeat: what was answered before, whoever asked, is in the warehouse and costs nothing. ctrl-C lets no more
    calls leave and waits for those under way, since they are paid for; a second one ends at once: they are in doubt.

    Raises ConfigError (a column, a file, no budget) before anything is asked, WarehouseError, and Denied where a
    provider refused its key; what others answered is kept. Gives an EnrichWarning where a budget was spent or a
    provider was away.
    """
    options = FrameOptions(
        max_spend_usd=max_spend_usd, columns=columns, limit=limit, progress=progress, on_report=on_report
    )
    options |= FrameOptions(project_dir=project_dir, profiles_dir=profiles_dir, target=target)
    return _enriched(frame, waterfall, options, stacklevel=3)


def _enriched(frame: Frame, waterfall: str | None, options: FrameOptions, *, stacklevel: int) -> Frame:
    """`stacklevel`: the caller's, as `warnings.warn` counts from here."""
    enrichment = _FrameEnrichment(frame, waterfall, options)
    running = Running(enrichment.run)
    try:
        result: Frame = running.result()
    except KeyboardInterrupt:
        running.stop()
        running.wait()
        raise
    enrichment.warn(stacklevel=stacklevel + 1)
    return result


def enrich(frame: Frame, waterfall: str | None = None, **options: Unpack[FrameOptions]) -> Frame:
    """The old name of `enrich_frame`, reached as `revetl.enrich(frame)`. It goes with the next release."""
    # Two frames up: past the package that is called.
    _warn_of_old_name("enrich", stacklevel=4)
    return _enriched(frame, waterfall, options, stacklevel=4)


def _warn_of_old_name(name: str, *, stacklevel: int) -> None:
    new = name.replace("enrich", "enrich_frame")
    message = f"revetl.{name}(…) is now revetl.{new}(…); the old name goes with the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


async def enrich_frame_async(frame: Frame, waterfall: str | None = None, **options: Unpack[FrameOptions]) -> Frame:
    """`enrich_frame` for code that has an event loop, which goes on meanwhile. Takes the same arguments. When it is
    cancelled no more calls leave, and it ends once those under way are written down."""
    enrichment = _FrameEnrichment(frame, waterfall, options)
    running = Running(enrichment.run)
    try:
        result: Frame = await asyncio.shield(asyncio.wrap_future(running.future))
    except asyncio.CancelledError:
        running.stop()
        while not running.future.done():
            try:
                await asyncio.wait([asyncio.wrap_future(running.future)])
            except asyncio.CancelledError:
                running.stop()  # a second time: at once
        raise
    enrichment.warn(stacklevel=3)
    return result


async def enrich_async(frame: Frame, waterfall: str | None = None, **options: Unpack[FrameOptions]) -> Frame:
    """The old name of `enrich_frame_async`. It goes with the next release."""
    _warn_of_old_name("enrich_async", stacklevel=3)
    return await enrich_frame_async(frame, waterfall, **options)


class _FrameEnrichment:
    """One call, from the frame to the frame."""

    def __init__(self, frame: Any, waterfall: str | None, options: FrameOptions) -> None:
        from revetl import project

        if strange := sorted(set(options) - set(FrameOptions.__annotations__)):
            raise TypeError(f"unexpected keyword argument {strange[0]!r}")
        spend = options.get("max_spend_usd")
        self._listing = listing_of(frame)
        self._waterfall = waterfall
        self._max_spend = None if spend is None else _usd(spend)
        self._columns = options.get("columns")
        self._limit = options.get("limit")
        self._progress = options.get("progress")
        self._on_report = options.get("on_report")
        root, profiles = options.get("project_dir") or os.environ.get("REVETL_PROJECT_DIR"), options.get("profiles_dir")
        self._project: Project = project.load(
            None if root is None else Path(root), None if profiles is None else Path(profiles), options.get("target")
        )
        self._report: EnrichReport | None = None

    async def run(self, stop: asyncio.Event) -> Any:
        from revetl.clock import SystemClock
        from revetl.context import RunContext
        from revetl.enrich.execution.engine import run_waterfall
        from revetl.enrich.lists.entity_table import entity_name, found_values, loaded
        from revetl.enrich.options import WaterfallOptions
        from revetl.state.runs import new_run_id

        clock = SystemClock()
        match = self._match()
        self._listing.used = {*match.inputs.values(), *match.fields.values()}
        # Opened here: its connection belongs to this thread.
        warehouse = self._project.open_warehouse()
        try:
            with loaded(warehouse, match, self._listing, clock.now()) as relation:
                ctx = RunContext(
                    warehouse=warehouse,
                    clock=clock,
                    run_id=new_run_id(clock),
                    command="enrich",
                    target=self._project.target,
                    stop=stop,
                )
                options = WaterfallOptions(
                    max_spend_usd=self._max_spend,
                    limit=self._limit,
                    entity_name=entity_name(match.spec),
                    on_progress=self._progress,
                )
                connected = self._project.connected(match.spec.provider_names, clock)
                self._report = await run_waterfall(ctx, match.spec, connected, relation, options)
                if self._on_report is not None:
                    self._on_report(self._report)
                if self._report.denied:
                    raise Denied("; ".join(f"{name}: {why}" for name, why in self._report.denied.items()))
                terms = self._project.providers
                rows = found_values(warehouse, match, terms, self._listing, relation, clock.now(), priced=True)
                return self._listing.extended(_added(match, self._listing.header, rows))
        finally:
            warehouse.close()

    def warn(self, stacklevel: int) -> None:
        """What the caller should know of a frame that was given all the same."""
        report = self._report
        if report is None:
            return
        notes = [*filter(None, [report.stopped])]
        notes += [f"{name}: {why}" for name, why in (report.unavailable | report.exhausted).items()]
        if report.in_doubt_usd:
            notes.append(f"${report.in_doubt_usd} may have been charged without an answer: these calls are in doubt")
        for note in notes:
            warnings.warn(note, EnrichWarning, stacklevel=stacklevel)

    def _match(self) -> ColumnMatch:
        from revetl.enrich.lists.columns import choose

        specs = self._project.waterfalls
        if self._waterfall is not None:
            if self._waterfall not in specs:
                hint = did_you_mean(self._waterfall, list(specs))
                raise ConfigError(f"no waterfall {self._waterfall!r}", hint=hint)
            specs = {self._waterfall: specs[self._waterfall]}
        match = choose(specs, self._project.providers, self._listing.header, self._columns)
        if self._max_spend is None and match.spec.budget.per_run_usd is None:
            raise ConfigError(
                f"nothing bounds what {match.spec.name} may cost",
                hint="Say max_spend_usd=…, or give the waterfall a budget.per_run_usd.",
            )
        return match


def _added(
    match: ColumnMatch, header: Sequence[str], rows: Iterator[tuple[list[tuple[Any, ...]], list[dict[str, FoundValue]]]]
) -> dict[str, tuple[str, list[Any]]]:
    """Name of a new column → its suffix and its cells."""
    from revetl.enrich.lists.columns import added_columns

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
                cost.append(None if known is None or known.cost_usd is None else float(known.cost_usd))
    suffixes = {name: suffix for group in names.values() for name, suffix in zip(group, SUFFIXES, strict=True)}
    return {name: (suffixes[name], column) for name, column in cells.items()}


def _usd(given: Decimal | float | str) -> Decimal:
    try:
        usd = Decimal(str(given))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"max_spend_usd is an amount of US dollars, not {given!r}")
    return usd
