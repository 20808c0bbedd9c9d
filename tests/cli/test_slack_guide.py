"""docs/guides/slack.md, done as it says: its files are written, its commands run against the sandbox."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.guides import reader

pytestmark = pytest.mark.xdist_group("guides")


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "news"
    project.mkdir()

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "news.duckdb")) as db:
            return db.execute(sql).fetchall()

    with reader(project, tmp_path / "state", ask) as somebody:
        somebody.addresses = {"SLACK_URL": "{}/slack/api"}
        somebody.read("docs/guides/slack.md")
    sent = ask("select key, count(*) from revetl.outcomes where status = 'ok' group by all order by key")
    assert sent == [("signup-1", 1), ("signup-1-plan", 1), ("signup-2", 1)]
