"""`revetl tune`: which order of a waterfall's providers is the best, by what the ledger knows. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from revetl.enrich.ordering.compare import Comparison, Objective, compare
from revetl.enrich.ordering.history import History, HistoryFilter, read_history
from revetl.enrich.ordering.rewrite import WaterfallRewrite, find, reorder
from revetl.enrich.ordering.solve import MAX_CANDIDATES
from revetl.enrich.selection.columns import check_columns
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.state.schema import create_all
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """`fields`: only these, all where empty. `segment`: an expression of SQL whose values are looked at one by one.
    `days`: only answers that young. `within`: the share to which a proposed audit tells savings."""

    objective: Objective
    fields: tuple[str, ...] = ()
    segment: str | None = None
    days: int | None = None
    within: float = 0.05


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
        relation = project.relation(spec.entity)
        check_columns(warehouse, spec, relation)
        now = caller.clock.now()
        only = HistoryFilter(segment=request.segment, fields=request.fields, since=_since(now, request.days))
        history = read_history(warehouse, spec, project.providers, relation, now=now, only=only)
    if not history.asked_records:
        raise ConfigError(
            f"the ledger holds no answer for {spec.name}"
            f"{'' if request.days is None else f' of the last {request.days} days'}: there is nothing to learn from",
            hint=f"Run it first: revetl enrich --waterfall {spec.name}",
        )
    return history


def _since(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
