"""`sagas:` of revetl.yml: which syncs stand or fall together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revetl.documents import read_yaml
from revetl.errors import ConfigError, Problem
from revetl.model import SagaSpec
from revetl.project.manifest import Manifest
from revetl.project.selection import selected
from revetl.project.settings import SagaSettings


@dataclass(frozen=True, slots=True)
class DeclaredSaga:
    """`said`: what is missing of it, with file:line; None: nothing. One of fewer than two syncs binds nothing."""

    spec: SagaSpec
    said: str | None


def read_sagas(
    file: Path, declared: Mapping[str, SagaSettings], manifest: Manifest, in_order: Sequence[str]
) -> list[DeclaredSaga]:
    """By name; `in_order`: the names of all syncs, as they run. ConfigError with every mistake: a selector that is not
    understood, a sync in two sagas. One that names nothing is told only: the model may have been deleted since, and
    that must not stop syncs that are in no saga."""
    document, found, problems = read_yaml(file), list[DeclaredSaga](), list[Problem]()
    names = {id_: str(node["name"]) for id_, node in manifest.sync_nodes().items()}

    def wrong(saga: str, message: str, hint: str | None) -> None:
        problems.append(document.problem(("sagas", saga, "syncs"), f"sagas.{saga}: {message}", hint))

    for saga, settings in sorted(declared.items()):
        chosen, missing = set[str](), list[str]()
        for selector in (word for words in settings.syncs for word in words.split()):
            try:
                chosen |= {names[id_] for id_ in selected(manifest, [selector], (), names, nothing=missing)}
            except ConfigError as e:
                for problem in e.problems:
                    wrong(saga, problem.message, problem.hint)
        for other in found:
            for name in sorted(chosen.intersection(other.spec.syncs)):
                wrong(saga, f"{name} is in the saga {other.spec.name} already", "A sync is in one saga at most.")
        spec = SagaSpec(saga, tuple(name for name in in_order if name in chosen), settings.max_failures)
        if len(chosen) < 2:
            alone = f": {spec.syncs[0]} is sent alone" if chosen else ""
            missing.append(f"{' '.join(settings.syncs)} selects {len(chosen)} sync(s), so it binds nothing{alone}")
        said = document.problem(("sagas", saga, "syncs"), f"sagas.{saga}: {'; '.join(missing)}")
        found.append(DeclaredSaga(spec, str(said) if missing else None))
    if problems:
        raise ConfigError(problems)
    return found
