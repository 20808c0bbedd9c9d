"""docs/guides/permissions.md, word for word: its grants are given on a server where everybody else's rights were taken
back, and every step runs under exactly these."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from revetl.cli.main import run
from tests.support import postgres_servers
from tests.support.cli_project import sandbox_thread
from tests.support.dbt_process import DBT
from tests.support.postgres_servers import PostgresServer
from tests.support.small_project import SOURCES, SYNC, small_project

pytestmark = pytest.mark.xdist_group("postgres")
GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/permissions.md"
POSTGRES = GUIDE.with_name("postgres.md")
DATABASE = "crm"


def grants(user: str) -> list[str]:
    blocks = re.findall(rf"```sql {user}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return [statement.strip() for block in blocks for statement in block.split(";") if statement.strip()]


def rights(statement: str) -> list[str]:
    """One statement for each right that it gives."""
    names, _, rest = statement.removeprefix("GRANT ").partition(" ON ")
    return [f"GRANT {name} ON {rest}" for name in names.split(", ")]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_servers.server(version="15" if postgres_servers.is_installed("15") else "18") as made:
        yield made


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with sandbox_thread() as url:
        yield url


@pytest.fixture
def database(server: PostgresServer) -> Iterator[PostgresServer]:
    """Empty schemas and sources, and two users who may do nothing yet."""
    for user in ("builder", "sender"):
        if not server.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{user}'"):
            server.ask(f"CREATE ROLE {user} LOGIN")
    server.ask(f"CREATE DATABASE {DATABASE}")
    server.ask(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
    for sql in (
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "CREATE SCHEMA raw",
        "CREATE SCHEMA analytics",
        "CREATE SCHEMA revetl",
        *SOURCES,
    ):
        server.ask(sql, DATABASE)
    yield server
    server.ask(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def project(database: PostgresServer, sandbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment says which user works."""
    output = {
        **database.output,
        "user": "{{ env_var('WHO') }}",
        "dbname": DATABASE,
        "schema": "analytics",
        "threads": 2,
    }
    small_project(tmp_path, output, sandbox)
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("WHO", "builder")
    return tmp_path


def give(database: PostgresServer, *statements: str) -> None:
    for statement in statements:
        database.ask(statement, DATABASE)


def dbt(project: Path, *arguments: str) -> None:
    """As `builder`."""
    places = ("--project-dir", str(project / "dbt_project"), "--profiles-dir", str(project / "profiles"))
    done = subprocess.run(
        [*DBT, *arguments, *places, "--log-path", str(project / "logs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "WHO": "builder"},
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_step_runs_under_exactly_these(
    database: PostgresServer, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(database, *grants("builder"), *grants("sender"))

    def called(*arguments: str) -> Any:
        code = run(list(arguments))
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        return json.loads(said.out) if "--json" in arguments else said.out

    dbt(project, "build")
    monkeypatch.setenv("WHO", "sender")
    called("debug")
    called("plan")
    called("sync", "--json")
    give(database, f"UPDATE analytics.{SYNC} SET firstname = 'Changed'")
    (changed,) = called("sync", "--json")
    assert changed["counts"] == {"ok": 3}
    (undone,) = called("rollback", changed["run_id"], "--yes", "--json")
    assert undone["counts"] == {"ok": 3}
    called("enrich", "--yes")
    assert database.ask("SELECT count(*) > 0 FROM revetl.enrichment_calls", DATABASE) == [(True,)]
    owners = database.ask("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'revetl'", DATABASE)
    assert owners == [("sender",)]
    dbt(project, "build", "--vars", '{"answers": true}')
    assert database.ask("SELECT 1 FROM pg_tables WHERE tablename = 'answers'", DATABASE) == [(1,)]


def test_one_user_for_both_has_both_lists(
    database: PostgresServer, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [
        re.sub(r"\b(builder|sender)\b", "one", statement)
        for user in ("builder", "sender")
        for statement in grants(user)
    ]
    if not database.ask("SELECT 1 FROM pg_roles WHERE rolname = 'one'"):
        database.ask("CREATE ROLE one LOGIN")
    give(database, *both)
    monkeypatch.setenv("WHO", "one")
    (first_run,) = re.findall(r"```sh first-run\n(.*?)```", POSTGRES.read_text("utf-8"), re.DOTALL)
    for line in first_run.splitlines():
        assert run(line.removeprefix("revetl ").split()) == 0, (line, capsys.readouterr())
    assert run(["run", "--yes"]) == 0, capsys.readouterr()
    assert database.ask("SELECT count(*) FROM revetl.outcomes", DATABASE) == [(3,)]


def test_none_of_them_is_more_than_is_needed(
    database: PostgresServer, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each right that `sender` is given, left out: a step says what is missing, and names this guide."""
    give(database, *grants("builder"))
    dbt(project, "build")
    monkeypatch.setenv("WHO", "sender")
    given = [
        one for statement in grants("sender")[:-1] for one in rights(statement)
    ]  # the last: tables of later builds
    assert len(given) == 6
    for left_out in given:
        database.ask("DROP OWNED BY sender", DATABASE)
        give(database, *(statement for statement in given if statement != left_out))
        assert run(["plan"]) in (1, 4), left_out
        said = "".join(capsys.readouterr())
        assert "permission denied" in said, left_out
        assert "permissions.md" in said or "GRANT CONNECT" in said, left_out
    give(database, *given)
    assert run(["plan"]) == 0, capsys.readouterr()


def test_the_guide_has_every_grant_that_is_tested() -> None:
    assert len(grants("sender")) == 5
    assert len(grants("builder")) == 6
