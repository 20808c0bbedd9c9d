"""docs/guides/salesforce.md, done as it says: its files are written, its commands run against the sandbox."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.guides import reader

pytestmark = pytest.mark.xdist_group("guides")


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "crm"
    project.mkdir()

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "crm.duckdb")) as db:
            return db.execute(sql).fetchall()

    with reader(project, tmp_path / "state", ask) as somebody:
        somebody.addresses = {"SALESFORCE_URL": "{}/salesforce"}
        somebody.read("docs/guides/salesforce.md")
    codes = ask("select key, error_code from revetl.outcomes where status = 'rejected' group by all order by key")
    assert codes == [("g3", "PARENT_NOT_FOUND"), ("g4", "INVALID_EMAIL_ADDRESS")]
    assert ask("select count(*) from revetl.snapshot__salesforce__contacts") == [(2,)]
