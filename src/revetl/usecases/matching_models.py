"""Models of records that are matched by a configuration: which one holds the pairs, and which one the clusters made of
them. Read from dbt's manifest; nothing is asked of the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from revetl.model import Relation
from revetl.project.matching_meta import MatchingMeta

if TYPE_CHECKING:
    from revetl.project import Project

_LINKAGE = "linkage"  # the materialization of a model of clusters
_UNSCORED = -2.0  # its default for two records that were not compared


@dataclass(frozen=True, slots=True)
class MatchedClusters:
    """`name`: of the model of clusters. `unscored`: what two records count there that were not compared, in bits."""

    name: str
    clusters: Relation
    pairs: Relation
    meta: MatchingMeta
    unscored: float


def matching_of(node: Mapping[str, Any]) -> MatchingMeta | None:
    """`config.meta.matching` of a model; None where it has none."""
    given = node.get("config", {}).get("meta", {}).get("matching")
    return None if given is None else MatchingMeta.model_validate(given)


def pairs_above(project: Project, model: str) -> str | None:
    """The nearest model with `config.meta.matching` that `model` is made from, or `model` itself."""
    nodes = project.manifest.nodes
    waiting = [id_ for id_, node in nodes.items() if node.get("name") == model]
    seen = set(waiting)
    while waiting:
        id_ = waiting.pop(0)
        node = nodes.get(id_, {})
        if matching_of(node) is not None:
            return str(node["name"])
        above = [parent for parent in project.manifest.parents.get(id_, ()) if parent not in seen]
        seen.update(above)
        waiting += above
    return None


def matched_clusters(project: Project) -> Iterator[MatchedClusters]:
    """Every model of clusters that goes by a configuration, by name."""
    nodes = project.manifest.nodes
    by_name = {str(n["name"]): n for n in nodes.values() if n.get("config", {}).get("materialized") == _LINKAGE}
    for name, node in sorted(by_name.items()):
        pairs = pairs_above(project, name)
        if pairs is not None:
            meta = next(meta for n in nodes.values() if n.get("name") == pairs and (meta := matching_of(n)) is not None)
            unscored = float(node["config"].get("unscored", _UNSCORED))
            yield MatchedClusters(name, project.relation(name), project.relation(pairs), meta, unscored)
