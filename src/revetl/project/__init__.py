"""revetl.yml, dbt's profiles and manifest, connections and enrichment files → one typed `Project`."""

from revetl.project.dbt import BuildResult, DbtFailed, NodeResult
from revetl.project.project import Project, load

__all__ = ["BuildResult", "DbtFailed", "NodeResult", "Project", "load"]
