"""Scores of clusters, and what a change of them is: against plain counting over random clusterings."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest

from revetl.errors import ConfigError
from revetl.golden.cells import cluster_table, differing_cells, labelled_cells, labels_in_warehouse
from revetl.golden.clusters import Cell, changes, score
from revetl.model import Relation
from revetl.warehouse.duckdb import DuckDBWarehouse

Clustering = dict[str, str]


def cells_of(left: Clustering, right: Clustering) -> list[Cell]:
    counts = Counter((left[record], right[record]) for record in left if record in right)
    return [Cell(one, other, n) for (one, other), n in sorted(counts.items())]


def drawn(dice: random.Random, n: int) -> tuple[Clustering, Clustering]:
    records = [f"r{i}" for i in range(n)]
    return ({r: f"a{dice.randint(1, 5)}" for r in records}, {r: f"b{dice.randint(1, 5)}" for r in records})


def together(clustering: Clustering) -> set[tuple[str, str]]:
    return {(a, b) for a, b in combinations(sorted(clustering), 2) if clustering[a] == clustering[b]}


def groups(clustering: Clustering) -> set[frozenset[str]]:
    return {frozenset(r for r in clustering if clustering[r] == name) for name in clustering.values()}


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_those_of_plain_counting(seed: int) -> None:
    dice = random.Random(seed)
    found, truth = drawn(dice, dice.randint(1, 14))
    scores = score(cells_of(found, truth))
    joined, true = together(found), together(truth)
    assert scores.pairs.precision == pytest.approx(len(joined & true) / len(joined) if joined else 1)
    assert scores.pairs.recall == pytest.approx(len(joined & true) / len(true) if true else 1)
    assert scores.exact.precision == pytest.approx(len(groups(found) & groups(truth)) / len(groups(found)))
    assert scores.exact.recall == pytest.approx(len(groups(found) & groups(truth)) / len(groups(truth)))
    own = {r: ({x for x in found if found[x] == found[r]}, {x for x in truth if truth[x] == truth[r]}) for r in found}
    assert scores.b3.precision == pytest.approx(sum(len(f & t) / len(f) for f, t in own.values()) / len(own))
    assert scores.b3.recall == pytest.approx(sum(len(f & t) / len(t) for f, t in own.values()) / len(own))
    assert sum(n for _, n in scores.worst_joins) == len(joined - true)
    assert sum(n for _, n in scores.worst_misses) == len(true - joined)


def test_a_change_is_merged_split_or_moved() -> None:
    before = {"r1": "a", "r2": "b", "r3": "c", "r4": "c", "r5": "d", "r6": "d", "r7": "e", "r8": "f"}
    after = {"r1": "A", "r2": "A", "r3": "C", "r4": "X", "r5": "D", "r6": "E", "r7": "E", "r8": "F"}
    found = changes(cells_of(before, after))
    assert [(c.kind, c.before, c.after) for c in found] == [
        ("moved", (("d", 2), ("e", 1)), (("E", 2), ("D", 1))),
        ("merged", (("a", 1), ("b", 1)), (("A", 2),)),
        ("split", (("c", 2),), (("C", 1), ("X", 1))),
    ]


@pytest.fixture
def warehouse() -> DuckDBWarehouse:
    connection = DuckDBWarehouse(":memory:")
    connection.execute("CREATE SCHEMA old")
    connection.execute("CREATE SCHEMA new")
    return connection


def test_what_is_the_same_does_not_leave_the_warehouse(warehouse: DuckDBWarehouse) -> None:
    rows = {
        "old": [("contact", "r1", "a"), ("contact", "r2", "b"), ("contact", "r3", "c"), ("company", "r1", "x")],
        "new": [("contact", "r1", "a"), ("contact", "r2", "a"), ("contact", "r3", "c"), ("company", "r1", "y")],
    }
    rows["old"].append(("contact", "r9", "z"))
    rows["new"].append(("contact", "r4", "q"))
    for schema, members in rows.items():
        warehouse.execute(
            f"CREATE TABLE {schema}.golden_members (entity VARCHAR, record_key VARCHAR, golden_id VARCHAR)"
        )
        for member in members:
            warehouse.execute(f"INSERT INTO {schema}.golden_members VALUES (?, ?, ?)", list(member))
    old, new = (cluster_table(warehouse, Relation(schema, "golden_members")) for schema in ("old", "new"))
    cells, sizes = differing_cells(warehouse, old, new)
    assert sorted((c.left, c.right, c.n_records) for c in cells) == [
        ("contact|a", "contact|a", 1),
        ("contact|b", "contact|a", 1),
    ]
    assert sizes == {"unchanged": 2, "gone": 1, "new": 1}


def test_labels_are_of_one_kind_and_strangers_are_counted(warehouse: DuckDBWarehouse) -> None:
    warehouse.execute(
        "CREATE TABLE new.golden_members AS FROM (VALUES"
        " ('contact', 'r1', 'a'), ('contact', 'r2', 'a'), ('company', 'r1', 'x')) t(entity, record_key, golden_id)"
    )
    found = cluster_table(warehouse, Relation("new", "golden_members"), only="contact")
    with labels_in_warehouse(warehouse, [("r1", "t"), ("r2", "t"), ("nobody", "t")]) as labels:
        cells, unknown = labelled_cells(warehouse, found, labels)
    assert cells == [Cell("a", "t", 2)]
    assert unknown == 1


def test_a_table_that_says_nothing_of_clusters_is_refused(warehouse: DuckDBWarehouse) -> None:
    warehouse.execute("CREATE TABLE new.plain AS SELECT 1 AS n")
    with pytest.raises(ConfigError, match="does not say"):
        cluster_table(warehouse, Relation("new", "plain"))
    with pytest.raises(ConfigError, match="no table"):
        cluster_table(warehouse, Relation("new", "nothing"))
