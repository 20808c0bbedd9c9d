"""`sagas:` of revetl.yml: which syncs stand or fall together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from revetl.documents import read_yaml
from revetl.errors import ConfigError, Problem
from revetl.model import SagaSpec
from revetl.project.manifest import Manifest
from revetl.project.selection import selected
from revetl.project.settings import SagaSettings


def read_sagas(
    file: Path, declared: Mapping[str, SagaSettings], manifest: Manifest, in_order: Sequence[str]
) -> list[SagaSpec]:
    """By name; `in_order`: the names of all syncs, as they run. ConfigError with every mistake: a selector that names
    nothing, a saga of fewer than two syncs, a sync in two sagas."""
    document, found, problems = read_yaml(file), list[SagaSpec](), list[Problem]()
    names = {id_: str(node["name"]) for id_, node in manifest.sync_nodes().items()}

    def wrong(saga: str, message: str, hint: str | None) -> None:
        problems.append(document.problem(("sagas", saga, "syncs"), f"sagas.{saga}: {message}", hint))

    for saga, settings in sorted(declared.items()):
        try:
            chosen = {names[id_] for id_ in selected(manifest, settings.syncs, (), names)}
        except ConfigError as e:
            for problem in e.problems:
                wrong(saga, problem.message, problem.hint)
            continue
        if len(chosen) < 2:
            said = f"{' '.join(settings.syncs)} selects {len(chosen)} sync(s): two at least stand or fall together"
            wrong(saga, said, "Syncs: " + ", ".join(in_order))
        for other in found:
            for name in sorted(chosen.intersection(other.syncs)):
                wrong(saga, f"{name} is in the saga {other.name} already", "A sync is in one saga at most.")
        found.append(SagaSpec(saga, tuple(name for name in in_order if name in chosen), settings.max_failures))
    if problems:
        raise ConfigError(problems)
    return found
