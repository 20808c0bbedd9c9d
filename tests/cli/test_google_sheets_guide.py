"""docs/guides/google-sheets.md, done as it says: its files are written, its commands run against the sandbox."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.guides import reader

pytestmark = pytest.mark.xdist_group("guides")


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "board"
    project.mkdir()

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "board.duckdb")) as db:
            return db.execute(sql).fetchall()

    with reader(project, tmp_path / "state", ask) as somebody:
        somebody.addresses = {"SANDBOX": "{}"}
        somebody.read("docs/guides/google-sheets.md")
    sent = ask("select key, status, count(*) from revetl.outcomes group by all order by key")
    assert sent == [("c1", "ok", 1), ("c2", "ok", 1)]
