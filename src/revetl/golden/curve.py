"""The threshold curve: what precision and recall pairs would have at each weight that could be asked for.

It is about pairs by their own weight, before anything is clustered: where its two lines cross says what a threshold
costs, not what the clusters score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from revetl.golden.clusters import Score
from revetl.golden.review.bands import Band
from revetl.golden.review.review_file import ReviewedPair
from revetl.model import Relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table


@dataclass(frozen=True, slots=True)
class WeighedPairs:
    """`right`, `wrong`: how many pairs of this weight are one person's, and are not. `weight` in bits; None where the
    pair was not compared or is vetoed, so that no threshold takes it."""

    weight: float | None
    right: float
    wrong: float


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """Of the pairs that weigh `threshold` bits or more."""

    threshold: float
    score: Score


def threshold_curve(pairs: Iterable[WeighedPairs]) -> tuple[ThresholdPoint, ...]:
    """By rising threshold, a point for each weight that occurs; empty where no pair has a weight."""
    every = list(pairs)
    total = sum(one.right for one in every)
    right = wrong = 0.0
    found = []
    weights = sorted({one.weight for one in every if one.weight is not None}, reverse=True)
    by_weight = defaultdict[float, list[WeighedPairs]](list)
    for one in every:
        if one.weight is not None:
            by_weight[one.weight].append(one)
    for weight in weights:
        right += sum(one.right for one in by_weight[weight])
        wrong += sum(one.wrong for one in by_weight[weight])
        found.append(ThresholdPoint(weight, Score(right / (right + wrong), right / total if total else 1.0)))
    return tuple(reversed(found))


def best_point(curve: Sequence[ThresholdPoint]) -> ThresholdPoint | None:
    """The highest F1; of equals the lowest threshold."""
    return max(curve, key=lambda point: (point.score.f1, -point.threshold), default=None)


def reviewed_weights(pairs: Sequence[ReviewedPair]) -> tuple[WeighedPairs, ...]:
    """Each answer stands for as many pairs as its band has for each answer."""
    answered = [pair for pair in pairs if pair.same is not None]
    n_answers = defaultdict[Band, int](int)
    for pair in answered:
        n_answers[pair.band] += 1
    found = []
    for pair in answered:
        n = pair.band.n_pairs / n_answers[pair.band]
        found.append(WeighedPairs(pair.weight, n * bool(pair.same), n * (not pair.same)))
    return tuple(found)


def labelled_weights(warehouse: Warehouse, pairs: Relation, labels: Relation) -> tuple[WeighedPairs, ...]:
    """Pairs of two records that have a label, by half bits, counted in the warehouse; pairs that share a label and were
    never compared with weight None. `labels`: record and cluster."""
    rows = warehouse.rows(
        f"""
        WITH compared AS (
            SELECT
                least(left_key, right_key) AS left_key,
                greatest(left_key, right_key) AS right_key,
                CASE WHEN count(*) = count(weight) THEN floor(2 * max(CAST(weight AS DOUBLE))) / 2 END AS weight
            FROM {table(pairs)}
            WHERE left_key <> right_key
            GROUP BY least(left_key, right_key), greatest(left_key, right_key)
        ),
        judged AS (
            SELECT
                compared.weight,
                CASE WHEN left_labels.cluster = right_labels.cluster THEN 1 ELSE 0 END AS is_right
            FROM compared
            JOIN {table(labels)} left_labels ON left_labels.record = compared.left_key
            JOIN {table(labels)} right_labels ON right_labels.record = compared.right_key
        )
        SELECT weight, sum(is_right), count(*) - sum(is_right)
        FROM judged
        GROUP BY weight
        """
    )
    sizes = warehouse.counts(f"SELECT cluster, count(*) FROM {table(labels)} GROUP BY cluster").values()
    found = [
        WeighedPairs(None if weight is None else float(str(weight)), float(str(right)), float(str(wrong)))
        for weight, right, wrong in rows
    ]
    never = sum(n * (n - 1) // 2 for n in sizes) - sum(one.right for one in found)
    return (*found, WeighedPairs(None, never, 0.0))
