"""`revetl match evaluate` and `match review`: how good clusters are, by labels or by the answers of a person who was
shown a sample. The warehouse is only read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, Problem, quoted
from revetl.golden.cells import ClusterTable, cluster_table, labelled_cells, labels_in_warehouse
from revetl.golden.clusters import Scores, score
from revetl.golden.curve import ThresholdPoint, labelled_weights, reviewed_weights, threshold_curve
from revetl.golden.review.estimate import ReviewScores, review_scores
from revetl.golden.review.review_file import is_review, read_review, refuse_existing, write_review
from revetl.golden.review.sampling import DrawnPair, clusters_of, draw, values
from revetl.usecases.caller import Caller
from revetl.usecases.matching_models import matching_of, pairs_above

if TYPE_CHECKING:
    from revetl.model import Relation
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

# How models of records name the record, where no configuration says it.
_KEYS = ("record_key", "node")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`scores`: against labels, of which `unknown` are of records that the model does not have. `review`: what the
    answers of a review say of all pairs. One of the two is there. `curve`: by rising threshold; empty where no pair has
    a weight."""

    scores: Scores | None
    review: ReviewScores | None
    unknown: int
    curve: tuple[ThresholdPoint, ...]


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What is drawn from. `clusters`: the model that is judged; `entity`: of golden_members, which kind. `records`: the
    model whose values are shown, `columns` of it or all; for a model with `config.meta.matching` both are known."""

    pairs: str
    clusters: str
    path: Path
    entity: str | None = None
    records: str | None = None
    columns: tuple[str, ...] = ()
    n_pairs: int = 200
    seed: int = 1


@dataclass(frozen=True, slots=True)
class MatchReview:
    """`columns`: those that are shown."""

    path: Path
    pairs: tuple[DrawnPair, ...]
    columns: tuple[str, ...]


def evaluate(
    project: Project, model: str, labels: Path, caller: Caller, *, entity: str | None = None, pairs: str | None = None
) -> Evaluation:
    """Scores the clusters of `model` against a CSV of a record and its true cluster per line, under a head, or against
    a review that a person has filled in. `pairs`: the model whose weights the threshold curve is of; the one with
    `config.meta.matching` above `model` where none is named. ConfigError where the file can't be read so, or none of
    its records is in the model."""
    if is_review(labels):
        return _by_review(project, model, labels, caller, entity)
    said = _labels(labels)
    weights_of = pairs or pairs_above(project, model)
    weighed = None if weights_of is None else project.relation(weights_of)
    with caller.warehouse(project) as warehouse:
        found = _clusters(project, warehouse, model, entity)
        with labels_in_warehouse(warehouse, said) as lines:
            cells, unknown = labelled_cells(warehouse, found, lines)
            if not cells:
                raise ConfigError(Problem(f"none of its {len(said):,} records is in {model}", labels))
            has_weights = weighed is not None and "weight" in {c.name for c in warehouse.columns(weighed)}
            if pairs is not None and not has_weights:
                raise ConfigError(f"{pairs} has no column 'weight'", hint="Name a model of pairs that has weights.")
            weights = labelled_weights(warehouse, weighed, lines) if weighed is not None and has_weights else ()
    return Evaluation(score(cells), None, unknown, threshold_curve(weights))


def review(project: Project, request: ReviewRequest, caller: Caller) -> MatchReview:
    """Draws pairs and writes them for a person to fill in. Nothing is written over. ConfigError where it is not known
    which values to show, or there is no pair."""
    refuse_existing(request.path)  # before anything takes its time
    with caller.warehouse(project) as warehouse:
        found = _clusters(project, warehouse, request.clusters, request.entity)
        records, key, columns = _shown(project, warehouse, request)
        drawn = draw(warehouse, project.relation(request.pairs), found, n_pairs=request.n_pairs, seed=request.seed)
        keys = [each for pair in drawn for each in (pair.left_key, pair.right_key)]
        write_review(request.path, drawn, columns, values(warehouse, records, key, columns, keys))
    return MatchReview(request.path, drawn, columns)


def _by_review(project: Project, model: str, path: Path, caller: Caller, entity: str | None) -> Evaluation:
    answers = read_review(path)
    if all(pair.same is None for pair in answers):
        raise ConfigError(Problem("nobody has answered yet: yes or no in the column `same`", path))
    with caller.warehouse(project) as warehouse:
        found = _clusters(project, warehouse, model, entity)
        keys = [key for pair in answers for key in (pair.left_key, pair.right_key)]
        clusters = clusters_of(warehouse, found, keys)
    scores = review_scores(answers, clusters)
    if not scores.n_answers:
        raise ConfigError(Problem(f"no pair that was answered is in {model}", path))
    return Evaluation(None, scores, scores.unknown, threshold_curve(reviewed_weights(answers)))


def _clusters(project: Project, warehouse: Warehouse, model: str, entity: str | None) -> ClusterTable:
    found = cluster_table(warehouse, project.relation(model), only=entity)
    if found.entity is not None and entity is None:
        raise ConfigError(f"{model} has golden records of several kinds", hint="Say which: --entity contact")
    return found


def _shown(project: Project, warehouse: Warehouse, request: ReviewRequest) -> tuple[Relation, str, tuple[str, ...]]:
    """The relation of the records, its key, and the columns to show."""
    project.relation(request.pairs)  # a ConfigError with the nearest name
    node = next(n for n in project.manifest.nodes.values() if n.get("name") == request.pairs)
    given = matching_of(node)
    if request.records is None and given is None:
        raise ConfigError(
            f"{request.pairs} does not say which records its pairs are of", hint="Name their model: --records MODEL"
        )
    key = None if given is None else given.key
    usual = () if given is None else tuple(given.columns)
    if request.records is not None:
        candidates = [project.relation(request.records)]
    else:
        parents = [project.manifest.nodes.get(parent, {}) for parent in node["depends_on"]["nodes"]]
        candidates = [
            project.relation(str(parent["name"])) for parent in parents if parent.get("resource_type") != "source"
        ]
    for relation in candidates:
        names = [c.name for c in warehouse.columns(relation)]
        found = key if key in names else next((name for name in _KEYS if name in names), None)
        columns = request.columns or tuple(n for n in usual if n in names) or tuple(n for n in names if n != found)
        if found is not None and set(columns) <= set(names):
            return relation, found, columns
    raise ConfigError(
        f"no records of {request.pairs} with the columns {', '.join(request.columns or usual) or 'record_key'}",
        hint="Name their model, which is built: --records MODEL",
    )


def _labels(path: Path) -> Sequence[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise ConfigError(Problem(f"can't be read as CSV: {type(e).__name__}", path)) from e
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) < 2 or not row[0].strip():
            raise ConfigError(Problem("a line is a record and its cluster", path, line=number))
        if found.setdefault(row[0].strip(), row[1].strip()) != row[1].strip():
            raise ConfigError(Problem(f"{quoted(row[0].strip())} is in two clusters", path, line=number))
    return list(found.items())
