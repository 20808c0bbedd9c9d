"""`revetl match`: what matching learns from the data, how good it is, and what a change of it changes. Nothing is sent,
and the warehouse is only read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from revetl.errors import ConfigError, quoted
from revetl.golden.cells import cluster_table, differing_cells
from revetl.golden.clusters import ClusterChange, changes
from revetl.golden.expectation import Learned, Pattern, Start, learn
from revetl.golden.weights import SEED, WeightsFile, fingerprint, weights_file
from revetl.model import Relation
from revetl.project.matching_meta import MatchingMeta
from revetl.usecases.caller import Caller
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

# By kind, as the macro `matching_config` has them.
_THREE: Mapping[str, float] = {"equal": 0.9, "similar": 0.08, "other": 0.02}
_TWO: Mapping[str, float] = {"equal": 0.95, "other": 0.05}
_CANDIDATES, _CHANCE = "candidates", "chance"


@dataclass(frozen=True, slots=True)
class Training:
    """`n_patterns`: rows that were learned from. `model`: the model of pairs whose weights these are."""

    model: str
    learned: Learned
    n_records: int
    n_candidates: int
    n_patterns: int
    file: WeightsFile


@dataclass(frozen=True, slots=True)
class MatchDiff:
    """`unchanged`: clusters that are the same. `gone`, `new`: records that one side alone has."""

    changes: tuple[ClusterChange, ...]
    unchanged: int
    gone: int
    new: int


def train(project: Project, patterns: str, caller: Caller) -> Training:
    """Learns from the model `patterns` (of the macro `matching_patterns`). The seed is not written yet. ConfigError
    where the model is none of that macro, is not built, or has no pairs."""
    model, meta = _pairs_model(project, patterns)
    columns = list(meta.columns)
    with caller.warehouse(project) as warehouse:
        samples, n_records = _counted(warehouse, project.relation(patterns), patterns, columns)
    candidates, chance = samples[_CANDIDATES], samples[_CHANCE]
    if not candidates or not chance:
        raise ConfigError(f"{patterns} has no pairs to learn from: {n_records:,} records, none of which share a block")
    n_pairs = n_records * (n_records - 1) / 2
    begin = Start(_given(meta), _seen(chance, meta), min(2 * meta.duplicates_per_record / (n_records - 1), 0.5))
    learned = learn(candidates, chance, columns, begin, n_pairs=n_pairs)
    path = project.dbt_dir / "seeds" / f"{SEED}.csv"
    file = weights_file(path, model, learned, fingerprint(samples, n_records))
    n_candidates = int(sum(p.n_pairs for p in candidates))
    return Training(model, learned, n_records, n_candidates, len(candidates), file)


def diff(project: Project, model: str, before: str, caller: Caller) -> MatchDiff:
    """What differs between the table `before` and `model` as it is now: who became one, who fell apart. `before`:
    `schema.table`, or a schema that holds a table of the model's name. ConfigError where one of them is not there."""
    relation = project.relation(model)
    schema, _, name = before.rpartition(".")
    other = Relation(schema, name, relation.database) if schema else Relation(before, relation.name, relation.database)
    with caller.warehouse(project) as warehouse:
        old, new = cluster_table(warehouse, other), cluster_table(warehouse, relation)
        cells, sizes = differing_cells(warehouse, old, new)
    return MatchDiff(changes(cells), **sizes)


def _pairs_model(project: Project, patterns: str) -> tuple[str, MatchingMeta]:
    """The model of pairs that `patterns` counts, and its configuration."""
    nodes = project.manifest.nodes
    project.manifest.relation(patterns)  # a ConfigError with the nearest name
    ours = next(n for n in nodes.values() if n.get("name") == patterns and n.get("resource_type") == "model")
    for parent in ours.get("depends_on", {}).get("nodes", []):
        node: Mapping[str, Any] = nodes.get(parent, {})
        given = node.get("config", {}).get("meta", {}).get("matching")
        if given is not None:
            return str(node["name"]), MatchingMeta.model_validate(given)
    raise ConfigError(
        f"{patterns} counts no pairs of a model with config.meta.matching",
        hint="Make it by the macro: {{ matching_patterns(ref('records'), ref('pairs')) }}",
    )


def _levels(kind: str) -> Mapping[str, float]:
    return _THREE if kind in ("name", "text", "date") else _TWO


def _given(meta: MatchingMeta) -> dict[str, dict[str, float]]:
    return {
        name: {level: getattr(column.agreement, level) or usual for level, usual in _levels(column.kind).items()}
        for name, column in meta.columns.items()
    }


def _seen(chance: Sequence[Pattern], meta: MatchingMeta) -> dict[str, dict[str, float]]:
    """How often each level is among pairs by chance, half a pair added to each."""
    found = {}
    for place, (name, column) in enumerate(meta.columns.items()):
        sums = dict.fromkeys(_levels(column.kind), 0.5)
        for pattern in chance:
            if pattern.levels[place] in sums:
                sums[pattern.levels[place]] += pattern.n_pairs
        total = sum(sums.values())
        found[name] = {level: n / total for level, n in sums.items()}
    return found


def _counted(
    warehouse: Warehouse, relation: Relation, name: str, columns: Sequence[str]
) -> tuple[Mapping[str, list[Pattern]], int]:
    wanted = ["sample", "n_pairs", "n_records", *(f"{column}_level" for column in columns)]
    present = {c.name for c in warehouse.columns(relation)}
    missing = [column for column in wanted if column not in present]
    if missing:
        raise ConfigError(
            f"{name} has no column {quoted(missing[0])}" if present else f"{name} is not built",
            hint="Build it first: revetl build",
        )
    rows = warehouse.rows(f"SELECT {', '.join(map(ident, wanted))} FROM {table(relation)}")
    samples = defaultdict[str, list[Pattern]](list)
    for sample, n_pairs, _, *levels in rows:
        samples[str(sample)].append(Pattern(tuple(map(str, levels)), float(str(n_pairs))))
    for found in samples.values():  # whatever the warehouse gave first
        found.sort(key=lambda pattern: pattern.levels)
    return samples, int(str(rows[0][2])) if rows else 0
