"""The materialization against union-find: shapes that are hard for it, and random graphs, all in one dbt run."""

from __future__ import annotations

import csv
import os
import random
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from tests.dbt.conftest import REPOSITORY
from tests.support.dbt_process import DBT

pytestmark = pytest.mark.xdist_group("starter")

Edge = tuple[str, str]


def union_find(edges: list[Edge]) -> dict[str, str]:
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in edges:
        a, b = sorted((root(left), root(right)))
        parent[b] = a
    return {node: root(node) for node in parent}


def label(graph: str, n: int) -> str:
    return f"{graph}:{n:05d}"


def path(graph: str, order: list[int]) -> list[Edge]:
    return [(label(graph, a), label(graph, b)) for a, b in pairwise(order)]


def graphs() -> list[Edge]:
    dice = random.Random(5)
    shuffled = list(range(1000))
    dice.shuffle(shuffled)
    edges = path("ordered path", list(range(1000))) + path("backward path", list(range(999, -1, -1)))
    edges += path("shuffled path", shuffled) + path("ring", [*range(300), 0])
    edges += [(label("star", 150), label("star", n)) for n in range(300)]
    # Zigzag: every smallest neighbour lies far away.
    edges += path("zigzag", [n for pair in zip(range(200), range(399, 199, -1), strict=True) for n in pair])
    for g in range(40):
        size = dice.randint(1, 60)
        edges += [(label(f"r{g}", n), label(f"r{g}", n)) for n in range(size)]
        for _ in range(dice.randint(0, 2 * size)):
            edges.append((label(f"r{g}", dice.randrange(size)), label(f"r{g}", dice.randrange(size))))
    dice.shuffle(edges)
    return edges


def test_components_equal_union_find(tmp_path: Path) -> None:
    edges = graphs()
    for part in ("models", "seeds", "macros/materializations"):
        (tmp_path / part).mkdir(parents=True)
    shutil.copy(
        REPOSITORY / "dbt_project/macros/materializations/connected_components.sql",
        tmp_path / "macros/materializations",
    )
    with (tmp_path / "seeds/edges.csv").open("w", newline="") as f:
        csv.writer(f).writerows([("left_key", "right_key"), *edges])
    (tmp_path / "dbt_project.yml").write_text("name: graphs\nprofile: revetl_starter\nversion: '1.0.0'\n")
    (tmp_path / "models/parts.sql").write_text(
        "{{ config(materialized='connected_components') }}\nselect left_key, right_key from {{ ref('edges') }}\n"
    )
    command = [*DBT, "build", "--project-dir", str(tmp_path)]
    command += ["--profiles-dir", str(REPOSITORY / "profiles")]
    environment = {**os.environ, "REVETL_DUCKDB_PATH": str(tmp_path / "w.duckdb")}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as db:
        found = dict(db.execute("SELECT node, component FROM analytics.parts").fetchall())
        left_over = db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'parts\\_\\_%' ESCAPE '\\'")
        assert left_over.fetchall() == [(0,)]
    assert found == union_find(edges)
