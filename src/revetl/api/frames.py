"""`enrich_frame`: a waterfall over a pandas DataFrame or a pyarrow Table, with the project's ledger and cache."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from revetl.api.arguments import as_limit, as_usd, load_project
from revetl.usecases.background import Running
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from revetl.enrich.report import EnrichReport, OnProgress
    from revetl.usecases.frames import FrameEnrichment

Frame = TypeVar("Frame", bound="pd.DataFrame | pa.Table")


class FrameOptions(TypedDict, total=False):
    """What `enrich_frame` takes by name."""

    max_spend_usd: Decimal | float | str | None
    columns: Mapping[str, str | None] | None
    limit: int | None
    verify_only: bool
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
    verify_only: bool = False,
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
    limit            look at the first so many rows only; from 1 on.
    verify_only      what the frame holds is verified, where the field is to be, and nobody is asked for more.
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
        max_spend_usd=max_spend_usd,
        columns=columns,
        limit=limit,
        verify_only=verify_only,
        progress=progress,
        on_report=on_report,
    )
    options |= FrameOptions(project_dir=project_dir, profiles_dir=profiles_dir, target=target)
    return _enriched(frame, waterfall, options, stacklevel=3)


def _enriched(frame: Frame, waterfall: str | None, options: FrameOptions, *, stacklevel: int) -> Frame:
    """`stacklevel`: the caller's, as `warnings.warn` counts from here."""
    enrichment = _enrichment(frame, waterfall, options)
    running = Running(enrichment.run)
    try:
        result: Frame = running.result()
    except KeyboardInterrupt:
        running.stop()
        running.wait()
        raise
    _warn(enrichment, stacklevel=stacklevel + 1)
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
    enrichment = _enrichment(frame, waterfall, options)
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
    _warn(enrichment, stacklevel=3)
    return result


async def enrich_async(frame: Frame, waterfall: str | None = None, **options: Unpack[FrameOptions]) -> Frame:
    """The old name of `enrich_frame_async`. It goes with the next release."""
    _warn_of_old_name("enrich_async", stacklevel=3)
    return await enrich_frame_async(frame, waterfall, **options)


def _enrichment(frame: Any, waterfall: str | None, options: FrameOptions) -> FrameEnrichment:
    from revetl.usecases.frames import FrameEnrichment, FrameRequest

    if strange := sorted(set(options) - set(FrameOptions.__annotations__)):
        raise TypeError(f"unexpected keyword argument {strange[0]!r}")
    spend = options.get("max_spend_usd")
    request = FrameRequest(
        waterfall=waterfall,
        max_spend_usd=None if spend is None else as_usd(spend),
        columns=options.get("columns"),
        limit=as_limit(options.get("limit")),
        verify_only=options.get("verify_only", False),
        on_progress=options.get("progress"),
        on_report=options.get("on_report"),
    )
    project = load_project(options.get("project_dir"), options.get("profiles_dir"), options.get("target"))
    return FrameEnrichment(project, frame, request, Caller())


def _warn(enrichment: FrameEnrichment, stacklevel: int) -> None:
    for note in enrichment.notes():
        warnings.warn(note, EnrichWarning, stacklevel=stacklevel)
