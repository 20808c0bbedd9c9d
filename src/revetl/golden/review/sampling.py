"""Pairs for a review, drawn in the warehouse: of all pairs only those that may be drawn leave it. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from revetl.errors import ConfigError
from revetl.golden.cells import ClusterTable
from revetl.golden.review.bands import NOT_COMPARED, Band, allotted, score_case
from revetl.model import Relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

_AT_ONCE = 500  # keys of one statement


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """`weight` in bits; None where it was not compared, is vetoed, or the model has no weights."""

    left_key: str
    right_key: str
    band: Band
    weight: float | None


def draw(
    warehouse: Warehouse, pairs: Relation, clusters: ClusterTable, *, n_pairs: int, seed: int
) -> tuple[DrawnPair, ...]:
    """About `n_pairs` pairs, in the order in which they are to be shown. The same rows and seed give the same
    pairs. `pairs`: left_key, right_key and weight, or match_rule where it has no weight; two records may be
    several rows, of which the highest weight counts. ConfigError where it has none of that, or no pair."""
    names = {c.name for c in warehouse.columns(pairs)}
    if not {"left_key", "right_key"} <= names or not names & {"weight", "match_rule"}:
        raise ConfigError(
            f"{pairs.schema}.{pairs.name} has no pairs" if names else f"{pairs.schema}.{pairs.name} is not built",
            hint="It needs the columns left_key and right_key, and weight or match_rule.",
        )
    weighed = "weight" in names
    score = score_case("weight") if weighed else "score"
    # A pair with a veto in one row is vetoed, whatever its other rows weigh.
    highest = "CASE WHEN count(*) = count(weight) THEN max(CAST(weight AS DOUBLE)) END"
    weight = highest if weighed else "CAST(NULL AS DOUBLE)"
    rule = "CAST(NULL AS VARCHAR)" if weighed else "min(match_rule)"
    rows = warehouse.rows(
        f"""
        WITH members AS ({clusters.select}),
        compared AS (
            SELECT
                least(left_key, right_key) AS left_key,
                greatest(left_key, right_key) AS right_key,
                {weight} AS weight,
                {rule} AS score
            FROM {table(pairs)}
            WHERE left_key <> right_key
            GROUP BY least(left_key, right_key), greatest(left_key, right_key)
        ),
        judged AS (
            SELECT
                compared.left_key,
                compared.right_key,
                compared.weight,
                {score} AS score,
                left_members.cluster = right_members.cluster AS joined
            FROM compared
            JOIN members left_members ON left_members.record = compared.left_key
            JOIN members right_members ON right_members.record = compared.right_key
            UNION ALL
            SELECT
                left_members.record,
                right_members.record,
                CAST(NULL AS DOUBLE),
                '{NOT_COMPARED}',
                TRUE
            FROM members left_members
            JOIN members right_members
                ON right_members.cluster = left_members.cluster AND left_members.record < right_members.record
            LEFT JOIN compared
                ON compared.left_key = left_members.record AND compared.right_key = right_members.record
            WHERE compared.left_key IS NULL
        ),
        shuffled AS (
            SELECT
                judged.*,
                md5(concat(CAST(? AS VARCHAR), '|', left_key, '|', right_key)) AS draw
            FROM judged
        ),
        placed AS (
            SELECT
                shuffled.*,
                count(*) OVER (PARTITION BY score, joined) AS n_pairs,
                row_number() OVER (PARTITION BY score, joined ORDER BY draw, left_key, right_key) AS place
            FROM shuffled
        )
        SELECT left_key, right_key, weight, score, joined, n_pairs, place
        FROM placed
        WHERE place <= ?
        ORDER BY draw, left_key, right_key
        """,
        [str(seed), n_pairs],
    )
    found = [
        (DrawnPair(str(left), str(right), Band(str(name), bool(joined), int(str(n))), _number(bits)), int(str(place)))
        for left, right, bits, name, joined, n, place in rows
    ]
    if not found:
        raise ConfigError(f"{pairs.schema}.{pairs.name} has no pair of records that are in {clusters.relation.name}")
    bands = sorted({pair.band for pair, _ in found}, key=lambda band: band.name)
    drawn = allotted(bands, n_pairs)
    return tuple(pair for pair, place in found if place <= drawn[pair.band.name])


def _number(cell: object) -> float | None:
    return None if cell is None else float(str(cell))


def values(
    warehouse: Warehouse, records: Relation, key: str, columns: Sequence[str], keys: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Of each record its columns as text, in this order; "" where there is no value. Records that are not there are
    left out."""
    shown = [f"CAST({ident(name)} AS VARCHAR)" for name in (key, *columns)]
    wanted = sorted(set(keys))
    found: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        rows = warehouse.rows(
            f"""
            SELECT {", ".join(shown)}
            FROM {table(records)}
            WHERE {shown[0]} IN ({", ".join("?" for _ in some)})
            """,
            some,
        )
        found |= {str(row[0]): tuple("" if cell is None else str(cell) for cell in row[1:]) for row in rows}
    return found


def clusters_of(warehouse: Warehouse, clusters: ClusterTable, keys: Sequence[str]) -> dict[str, str]:
    """The cluster of each of these records; records that are in none are left out."""
    wanted = sorted(set(keys))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        rows = warehouse.rows(
            f"""
            WITH members AS ({clusters.select})
            SELECT record, cluster
            FROM members
            WHERE record IN ({", ".join("?" for _ in some)})
            """,
            some,
        )
        found |= {str(record): str(cluster) for record, cluster in rows}
    return found
