"""docs/guides/connect-any-api.md, done as it says: its files are written, its commands run against the sandbox."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.guides import reader

pytestmark = pytest.mark.xdist_group("guides")


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "kin"
    project.mkdir()

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "kin.duckdb")) as db:
            return db.execute(sql).fetchall()

    with reader(project, tmp_path / "state", ask) as somebody:
        somebody.addresses = {"KIN_URL": "{}/any_api"}
        somebody.read("docs/guides/connect-any-api.md")
    assert ask("select count(*) from revetl.snapshot__kin__users") == [(2,)]
    assert ask("select count(*) from revetl.snapshot__kin_contacts__contacts") == [(2,)]
    sent = ask("select after from revetl.outcomes where sync = 'kin__users' and status = 'ok' order by key limit 1")
    assert '"address":"{\\"city\\":\\"Riga\\"' in str(sent[0][0])
