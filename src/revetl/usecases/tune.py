"""`revetl tune`: which order of a waterfall's providers is the best, by what the ledger knows. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from revetl.enrich.lists.columns import choose
from revetl.enrich.lists.entity_table import entity_name, loaded
from revetl.enrich.lists.files import open_list
from revetl.enrich.lists.words import read_placeholders
from revetl.enrich.ordering.compare import Comparison, Objective, compare
from revetl.enrich.ordering.history import History, HistoryFilter, read_history
from revetl.enrich.ordering.rewrite import WaterfallRewrite, find, reorder
from revetl.enrich.ordering.solve import MAX_CANDIDATES
from revetl.enrich.selection.columns import check_columns
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.model import Relation
from revetl.state.schema import create_all
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """`fields`: only these, all where empty. `segment`: an expression of SQL whose values are looked at one by one.
    `days`: only answers that young. `within`: the share to which a proposed audit tells savings. `list_file`: the
    records are those of a list, and no model need be built; `-` is `stdin`."""

    objective: Objective
    fields: tuple[str, ...] = ()
    segment: str | None = None
    days: int | None = None
    within: float = 0.05
    list_file: str | None = None
    stdin: BinaryIO | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """`whole`: over all records; `segments`: over each segment, empty where there is one at most."""

    spec: WaterfallSpec
    history: History
    whole: Comparison
    segments: Sequence[Comparison]


def tune(project: Project, waterfall: str, request: TuneRequest, caller: Caller) -> Tuning:
    """Compares the waterfall's order with the best one and the usual ones. Reads only. ConfigError: no such waterfall
    or field, no answer in the ledger yet, too many providers to solve for."""
    spec = _named(project, waterfall, request.fields)
    history = _history(project, spec, request, caller)
    if len(history.candidates) > MAX_CANDIDATES:
        raise ConfigError(
            f"{spec.name} asks {len(history.candidates)} providers;"
            f" the most whose order can be solved are {MAX_CANDIDATES}",
            hint="Look at one field at a time with --field.",
        )
    whole = compare(history, history.asked_records, request.objective, within=request.within)
    if len(history.segments) < 2:
        return Tuning(spec, history, whole, ())
    segments = [
        compare(history, records, request.objective, segment=name, within=request.within)
        for name, records in history.segments.items()
    ]
    return Tuning(spec, history, whole, segments)


def rewritten(project: Project, tuning: Tuning) -> WaterfallRewrite:
    """The waterfall's file with the best order in it. Nothing is written until it is applied."""
    best = tuning.whole.by_rule or tuning.whole.best
    compared = {name for line in tuning.whole.lines for name in line.order}
    others = tuple(stage.provider for stage in tuning.spec.stages if stage.provider not in compared)
    path = find(project.root / project.settings.enrichment / "waterfalls", tuning.spec.name)
    return reorder(path, (*best, *others))


def _named(project: Project, name: str, fields: tuple[str, ...]) -> WaterfallSpec:
    spec = project.waterfalls.get(name)
    if spec is None:
        raise ConfigError(f"no waterfall {name!r}", hint=did_you_mean(name, list(project.waterfalls)))
    for each in fields:
        if each not in spec.fields:
            raise ConfigError(f"{name} has no field {each!r}", hint=did_you_mean(each, list(spec.fields)))
    return spec


def _history(project: Project, spec: WaterfallSpec, request: TuneRequest, caller: Caller) -> History:
    with caller.warehouse(project) as warehouse:
        create_all(warehouse)
        now = caller.clock.now()
        only = HistoryFilter(segment=request.segment, fields=request.fields, since=_since(now, request.days))
        with _records(project, spec, request, warehouse, now) as (relation, entity):
            check_columns(warehouse, spec, relation)
            only = replace(only, entity_name=entity)
            history = read_history(warehouse, spec, project.providers, relation, now=now, only=only)
    if not history.asked_records:
        said = "" if request.list_file is None else f"{request.list_file} "
        raise ConfigError(
            f"the ledger holds no answer for {spec.name}"
            f"{'' if request.days is None else f' of the last {request.days} days'}: there is nothing to learn from",
            hint=f"Run it first: revetl enrich {said}--waterfall {spec.name}",
        )
    return history


@contextmanager
def _records(
    project: Project, spec: WaterfallSpec, request: TuneRequest, warehouse: Warehouse, now: datetime
) -> Iterator[tuple[Relation, str]]:
    """Where the records stand, and what their values are kept under."""
    if request.list_file is None:
        yield project.relation(spec.entity), spec.entity
        return
    with open_list(request.list_file, request.stdin or BytesIO()) as listing:
        match = choose({spec.name: spec}, project.providers, listing.header)
        match = replace(match, placeholders=read_placeholders(project.placeholders_seed))
        with loaded(warehouse, match, listing, now) as held:
            yield held.relation, entity_name(spec)


def _since(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
