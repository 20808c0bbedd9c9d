"""docs/guides/databases.md, done as it says, on real servers; its user has the rights of docs/guides/permissions.md and
no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.guides import blocks, reader
from tests.support.mariadb_servers import lasting_mariadb
from tests.support.postgres_servers import NEWEST, lasting_server

pytestmark = pytest.mark.xdist_group("mariadb")
PAGE, RIGHTS = "docs/guides/databases.md", "docs/guides/permissions.md"
PASSWORD = "a word of the guide"
PROJECT = {
    "revetl.yml": "name: customers\ndbt_project: .\nprofiles: profiles\nenrichment: .\n",
    "dbt_project.yml": "name: customers\nconfig-version: 2\nprofile: customers\nmodel-paths: [models]\n",
    "profiles/profiles.yml": (
        "customers:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: customers.duckdb, schema: analytics}\n"
    ),
}


class Databases:
    """`app` and `shop`, each asked one statement at a time by its administrator."""

    def __init__(self) -> None:
        self.postgres, self.mariadb = lasting_server(NEWEST), lasting_mariadb()
        self.postgres.ask("CREATE DATABASE app")
        self.postgres.ask("REVOKE ALL ON DATABASE app FROM PUBLIC")
        if not self.postgres.ask("SELECT 1 FROM pg_roles WHERE rolname = 'sender'"):
            self.postgres.ask("CREATE ROLE sender LOGIN")
        self.mariadb.ask("CREATE DATABASE shop")
        self.mariadb.ask(f"CREATE OR REPLACE USER 'sender'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")

    def ask(self, name: str, text: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for statement in filter(str.strip, text.split(";")):
            if name == "app":
                rows = self.postgres.ask(statement, "app")
            else:
                rows = self.mariadb.ask(statement, database="shop")
        return rows

    def drop(self) -> None:
        self.postgres.ask("DROP DATABASE app WITH (FORCE)")
        self.mariadb.ask("DROP DATABASE shop")


@pytest.fixture
def databases() -> Iterator[Databases]:
    made = Databases()
    try:
        yield made
    finally:
        made.drop()


def test_the_page(databases: Databases, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for path, text in PROJECT.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, "utf-8")
    environ = {
        "APP_PORT": str(databases.postgres.port),
        "APP_PASSWORD": PASSWORD,
        "SHOP_PORT": str(databases.mariadb.port),
        "SHOP_PASSWORD": PASSWORD,
        "TZ": os.environ.get("TZ", "UTC"),
    }
    seen: dict[str, list[tuple[Any, ...]]] = {}
    with reader(project, tmp_path / "state", print, **environ) as somebody:
        for block in blocks(PAGE):
            if block.language == "sql" and block.file is None:
                name = block.words.split()[1]
                seen[name] = databases.ask(name, block.text)
                if "CREATE TABLE" in block.text:  # the rights are given once the tables are there
                    for rights in blocks(RIGHTS):
                        if rights.words == block.words:
                            databases.ask(name, rights.text)
            else:
                somebody.run(block)
    ann = ("ann@example.com", "Ann", Decimal("1200.50"))
    bob = ("bob@example.com", "Bob", Decimal("80.00"))
    assert sorted(seen["app"]) == [ann, bob]
    assert sorted(seen["shop"]) == [ann, bob, ("cid@example.com", "Cid", Decimal("-5.00"))]
