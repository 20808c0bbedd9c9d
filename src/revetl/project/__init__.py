"""revetl.yml, dbt's profiles and manifest, connections and enrichment files → one typed `Project`.

Its names are loaded when they are asked for: a shell that completes a name reads a few files, and needs no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from revetl.project.dbt import BuildResult, DbtFailed, NodeResult
    from revetl.project.loading import load
    from revetl.project.project import Project

__all__ = ["BuildResult", "DbtFailed", "NodeResult", "Project", "load"]


def __getattr__(name: str) -> object:
    if name in ("BuildResult", "DbtFailed", "NodeResult"):
        from revetl.project import dbt

        return getattr(dbt, name)
    if name == "Project":
        from revetl.project.project import Project

        return Project
    if name == "load":
        from revetl.project.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
