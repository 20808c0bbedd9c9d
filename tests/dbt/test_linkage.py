"""The materialization `linkage` against an oracle in plain Python that merges the best two clusters at a time.

Average linkage gives the same clusters whichever mutually best pairs are merged first, as long as no two means are
equal.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import duckdb
import pytest

from tests.dbt.conftest import REPOSITORY
from tests.support.dbt_process import DBT

pytestmark = pytest.mark.xdist_group("starter")

UNSCORED = -2
GRAPHS = 80
Weights = dict[tuple[str, str], float | None]  # None: never


def graph(dice: random.Random, number: int) -> tuple[list[str], Weights]:
    nodes = [f"g{number:03d}:{place:02d}" for place in range(dice.randint(1, 12))]
    weights: Weights = {}
    for pair in combinations(nodes, 2):
        drawn = dice.random()
        if drawn < 0.12:
            weights[pair] = None
        elif drawn < 0.75:
            weights[pair] = round(dice.uniform(-6, 9), 6)
    return nodes, weights


def merged(nodes: list[str], weights: Weights) -> dict[str, str]:
    clusters = [[node] for node in nodes]

    def mean(left: list[str], right: list[str]) -> float | None:
        said = [weights.get((min(a, b), max(a, b)), UNSCORED) for a in left for b in right]
        known = [weight for weight in said if weight is not None]
        return sum(known) / len(known) if len(known) == len(said) else None

    while True:
        means = [(mean(left, right), left, right) for left, right in combinations(clusters, 2)]
        likely = [(value, left, right) for value, left, right in means if value is not None and value > 0]
        if not likely:
            return {node: min(cluster) for cluster in clusters for node in cluster}
        _, left, right = max(likely, key=lambda found: found[0])
        clusters = [c for c in clusters if c not in (left, right)] + [left + right]


def linked(directory: Path, rows: list[tuple[str, str, float | None]]) -> dict[str, str]:
    for part in ("models", "seeds"):
        (directory / part).mkdir(parents=True)
    shutil.copytree(REPOSITORY / "dbt_project/macros/materializations", directory / "macros/materializations")
    with (directory / "seeds/weights.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("left_key", "right_key", "weight"), *rows])
    (directory / "dbt_project.yml").write_text("name: graphs\nprofile: revetl_starter\nversion: '1.0.0'\n")
    (directory / "models/clusters.sql").write_text(
        "{{ config(materialized='linkage') }}\nselect left_key, right_key, weight from {{ ref('weights') }}\n"
    )
    command = [*DBT, "build", "--project-dir", str(directory)]
    command += ["--profiles-dir", str(REPOSITORY / "profiles")]
    environment = {**os.environ, "REVETL_DUCKDB_PATH": str(directory / "w.duckdb")}
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    with duckdb.connect(str(directory / "w.duckdb"), read_only=True) as db:
        left_over = db.execute("SELECT count(*) FROM duckdb_tables() WHERE contains(table_name, '__')").fetchall()
        assert left_over == [(0,)]
        return dict(db.execute("SELECT node, cluster FROM analytics.clusters").fetchall())


def test_clusters_equal_those_of_the_oracle_and_no_veto_is_lost(tmp_path: Path) -> None:
    dice = random.Random(17)
    rows: list[tuple[str, str, float | None]] = []
    expected: dict[str, str] = {}
    vetoes = []
    for number in range(GRAPHS):
        nodes, weights = graph(dice, number)
        expected |= merged(nodes, weights)
        vetoes += [pair for pair, weight in weights.items() if weight is None]
        rows += [(node, node, 0) for node in nodes]
        # The order in a pair means nothing.
        rows += [(a, b, weight) if dice.random() < 0.5 else (b, a, weight) for (a, b), weight in weights.items()]
    dice.shuffle(rows)
    found = linked(tmp_path, rows)
    assert len(set(expected.values())) < len(expected)
    assert [pair for pair in vetoes if found[pair[0]] == found[pair[1]]] == []
    assert found == expected
