"""One build of the project by dbt, and what is known of it however it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.errors import ConfigError
from revetl.project.artifacts import MANIFEST, RESULTS
from revetl.project.dbt import NOT_HERE, Dbt, DbtFailed
from revetl.project.exposures import remove_unasked
from revetl.project.selection import selected
from revetl.project.unfinished_builds import begin_build

if TYPE_CHECKING:
    from revetl.project.project import Project


@contextmanager
def building(project: Project, select: Sequence[str], exclude: Sequence[str]) -> Iterator[Dbt]:
    """As `Project.building` says."""
    dbt = project.dbt()
    if dbt is None:
        raise ConfigError("there is no dbt here, so nothing can be built", hint=NOT_HERE)
    project.health()  # failures of the last dbt command, before this one overwrites them
    project.reread()
    artifacts, exposures = project.artifacts, project.exposures_file
    remove_unasked(project.dbt_dir, exposures)
    if exposures is not None and not (artifacts.is_current() and exposures.exists()):
        project.parse(dbt)  # writes them as the project is now: dbt build reads them
    manifest, results = artifacts.own / MANIFEST, artifacts.own / RESULTS
    ids = _built_by(project, select, exclude)
    before, old_results, digest = _written_at(manifest), _written_at(results), artifacts.begin()
    build, ran = begin_build(artifacts.own, ids), True
    try:
        yield dbt
        ran = False  # all went well: what it ran is in its results
    except DbtFailed as e:
        ran = e.ran
        raise
    finally:
        if _written_at(manifest) != before:
            artifacts.parsed(digest)
        health = project.health()
        if _written_at(results) != old_results:
            for other in health.unfinished:
                if build.covers(other):
                    other.finish()
            build.finish()
        elif not ran and not _any_since(artifacts.own / "run", build.at):
            build.finish()


def _built_by(project: Project, select: Sequence[str], exclude: Sequence[str]) -> set[str] | None:
    """The nodes that a build of this selection may change; None where that can't be known beforehand."""
    if not (select or exclude) or not project.artifacts.is_current():
        return None
    manifest = project.artifacts.current()
    try:
        return selected(manifest, select, exclude, manifest.nodes)
    except ConfigError:
        return None


def _written_at(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.exists() else None


def _any_since(folder: Path, moment: str) -> bool:
    """Whether any file below was written since. `moment`: ISO."""
    return any(file.is_file() and edited_after(file, moment) for file in folder.rglob("*"))


def edited_after(file: Path, moment: str) -> bool:
    """`moment` in dbt's form, UTC."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC) > datetime.fromisoformat(moment)
