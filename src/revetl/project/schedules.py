"""`schedule:` of syncs and waterfalls, and what only the whole project can say of them: whom each waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.documents import Document, Path_, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.project.manifest import Manifest
from revetl.project.sync_meta import SyncMeta
from revetl.schedules.spec import EVENTS, SOURCE_CHANGE, Schedule

if TYPE_CHECKING:
    from revetl.enrich.waterfall import WaterfallSpec


def read_schedules(
    manifest: Manifest | None, syncs: Sequence[str], waterfalls: Mapping[str, WaterfallSpec], folder: Path
) -> list[Schedule]:
    """`syncs`: their names, in order. `folder`: that of the waterfalls. ConfigError with every mistake."""
    found, places, problems = list[Schedule](), list[tuple[Document, Path_]](), list[Problem]()
    for name in syncs:
        place = manifest.place(name) if manifest is not None else None
        if manifest is None or place is None:
            continue
        node = next(n for n in manifest.sync_nodes().values() if n["name"] == name)
        meta = SyncMeta.model_validate(node["config"]["meta"]["revetl"])
        if meta.schedule is not None:
            places.append((place.document, (*place.at, "schedule")))
            found.append(Schedule("sync", name, meta.schedule, name, _where(*places[-1])))
    documents = _documents(folder) if any(w.schedule for w in waterfalls.values()) else {}
    for name, waterfall in waterfalls.items():
        if waterfall.schedule is not None:
            places.append((documents.get(name, Document(folder, None, {})), ("schedule",)))
            found.append(Schedule("waterfall", name, waterfall.schedule, waterfall.entity, _where(*places[-1])))
    for schedule, (document, at) in zip(found, places, strict=True):
        for message, hint in _mistakes(schedule, manifest, [*syncs, *waterfalls]):
            problems.append(document.problem((*at, "after"), f"after: {message}", hint))
    problems += _circle(found, places)
    if problems:
        raise ConfigError(problems)
    return found


def _documents(folder: Path) -> dict[str, Document]:
    read = [read_yaml(path) for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])]
    return {str(document.data["name"]): document for document in read}


def _where(document: Document, at: Path_) -> str:
    line = document.line(at)
    return f"{document.path}:{line}" if line else str(document.path)


def _mistakes(schedule: Schedule, manifest: Manifest | None, subjects: Sequence[str]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for name in schedule.spec.after:
        if name == schedule.subject:
            found.append((f"{name!r} would wait for itself", "Leave it out."))
        elif name not in (*EVENTS, *subjects):
            hint = did_you_mean(name, [*subjects, *EVENTS])
            found.append((f"{name!r} is no sync, no waterfall and none of {', '.join(map(repr, EVENTS))}", hint))
    if SOURCE_CHANGE in schedule.spec.after and manifest is not None:
        found += _source_mistakes(schedule, manifest)
    return found


def _source_mistakes(schedule: Schedule, manifest: Manifest) -> list[tuple[str, str | None]]:
    id_ = manifest.model_id(schedule.model)
    if id_ is None:
        return []
    if not manifest.source_moments(schedule.model):
        message = f"{SOURCE_CHANGE!r} can't be seen: no source of {schedule.model} says when its rows were loaded"
        return [(message, "Give a source `loaded_at_field`, the column with that moment.")]
    if manifest.holds_rows(id_) and not schedule.spec.build:
        message = f"{SOURCE_CHANGE!r} changes nothing in {schedule.model}, whose rows are those of its last build"
        return [(message, "Write `build: true` beside it, or `after: [dbt build]` where dbt is run elsewhere.")]
    return []


def _circle(found: Sequence[Schedule], places: Sequence[tuple[Document, Path_]]) -> list[Problem]:
    """Schedules that wait for each other never run. A sync and a waterfall of one name count as one here."""
    graph: dict[str, set[str]] = {}
    for schedule in found:
        graph.setdefault(schedule.subject, set()).update(set(schedule.spec.after) - {schedule.subject})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        names: list[str] = e.args[1]
        document, at = next(p for s, p in zip(found, places, strict=True) if s.subject == names[0])
        # graphlib names each before the one that needs it.
        circle = " after ".join(reversed(names))
        return [document.problem((*at, "after"), f"after: these wait for each other: {circle}", "Leave one out.")]
    return []
