"""A project whose owner runs dbt without revetl, in another target folder, for two targets of one database. One story:
each step of it is a dbt command or two, and those are slow."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from revetl.cli.main import run
from tests.support.cli_project import sandbox_thread
from tests.support.dbt_process import DBT
from tests.support.project_files import write

META = "{destination: hubspot, object: contacts, key: id, match_on: email%s}"
YML = """\
models:
  - name: %s
    config: {contract: {enforced: true}, meta: {revetl: %s}}
    columns:
      - {name: id, data_type: varchar}
      - {name: email, data_type: varchar, data_tests: [not_null]}
"""
SQL = "select id, nullif(email, '') as email from raw.people where target = '{{ target.name }}'"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("acme")
    with sandbox_thread() as url, pytest.MonkeyPatch.context() as patched:
        patched.setenv("REVETL_PROJECT_DIR", str(root))
        patched.setenv("ARTIFACTS", "artifacts")
        patched.delenv("DBT_TARGET_PATH", raising=False)
        patched.setenv("SANDBOX", url)
        write(root / "revetl.yml", "name: acme\n")
        write(
            root / "dbt_project/dbt_project.yml",
            "name: acme\nversion: '1.0'\nprofile: acme\ntarget-path: \"{{ env_var('ARTIFACTS') }}/t\"\n"
            "models: {+materialized: table}\nflags: {send_anonymous_usage_stats: false}\n",
        )
        write(
            root / "profiles/profiles.yml",
            "acme:\n  target: staging\n  outputs:\n"
            f"    staging: {{type: duckdb, path: {root}/w.duckdb, schema: staging}}\n"
            f"    prod: {{type: duckdb, path: {root}/w.duckdb, schema: prod}}\n",
        )
        write(
            root / "profiles/connections.yml",
            "destinations:\n  hubspot:\n    type: hubspot\n    outputs:\n"
            f"      default: {{base_url: '{url}', token: pat-test}}\n",
        )
        declare(root, "contacts")
        rows(root, staging=["s1"], prod=["p1"])
        yield root


def declare(root: Path, name: str, more: str = "") -> None:
    write(root / f"dbt_project/models/{name}.sql", SQL)
    write(root / f"dbt_project/models/{name}.yml", YML % (name, META % more))


def rows(root: Path, **by_target: list[str]) -> None:
    """Of each target, the people by name; an empty name has no email."""
    with duckdb.connect(str(root / "w.duckdb")) as db:
        db.execute("create schema if not exists raw")
        db.execute("create or replace table raw.people (target varchar, id varchar, email varchar)")
        for target, names in by_target.items():
            for i, name in enumerate(names):
                db.execute(
                    "insert into raw.people values (?, ?, ?)", [target, f"{target}-{i}", name and f"{name}@x.example"]
                )


def dbt(root: Path, *arguments: str) -> int:
    line = [*DBT, "-q", *arguments]
    where = ["--project-dir", str(root / "dbt_project"), "--profiles-dir", str(root / "profiles")]
    return subprocess.run([*line, *where], cwd=root, capture_output=True, check=False, timeout=300).returncode


def emails() -> set[str]:
    address = f"{os.environ['SANDBOX']}/crm/v3/objects/contacts?limit=100&properties=email"
    request = urllib.request.Request(address, headers={"authorization": "Bearer pat-test"})
    with urllib.request.urlopen(request) as answer:
        return {r["properties"]["email"].partition("@")[0] for r in json.load(answer)["results"]}


def test_the_story(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def revetl(*arguments: str) -> tuple[int, str]:
        code = run([*arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    # Staging is built; prod was never built, and staging's rows are not its.
    assert dbt(root, "build") == 0
    code, said = revetl("sync", "-t", "prod")
    assert (code, "of the target 'staging'" in said) == (3, True)
    assert revetl("sync")[0] == 0
    assert emails() == {"s1"}

    # A test fails in prod, in a target folder of its own.
    rows(root, staging=["s1"], prod=["p1", ""])
    assert dbt(root, "build", "--target", "prod") == 1
    code, said = revetl("sync", "-t", "prod")
    assert (code, "its test not_null_contacts_email failed" in said) == (3, True)

    # Mended, but both targets would keep their state in one schema of one database.
    rows(root, staging=["s1"], prod=["p1", "p2"])
    assert dbt(root, "build", "--target", "prod") == 0
    code, said = revetl("sync", "-t", "prod")
    assert (code, "holds the state of the target 'staging'" in said) == (3, True)
    assert emails() == {"s1"}
    write(root / "revetl.yml", "name: acme\nstate_schema: {default: revetl, prod: revetl_prod}\n")
    code, said = revetl("sync", "-t", "prod")
    assert (code, emails()) == (0, {"s1", "p1", "p2"}), said

    # A failed build of prod that nobody looked at is overwritten by a good one of staging.
    rows(root, staging=["s1"], prod=["p3", ""])
    assert dbt(root, "build", "--target", "prod") == 1
    assert dbt(root, "build") == 0
    code, said = revetl("sync", "-t", "prod")
    assert (code, "was run since by dbt" in said) == (3, True)
    assert "p3" not in emails()
    assert revetl("sync")[0] == 0

    # The model is renamed, and an exposure file of an earlier version still names the old one.
    old = root / "dbt_project/models/exposures/revetl.yml"
    write(
        old,
        "# Written by `revetl build`, one exposure per sync. Change the model's config.meta.revetl, not this file.\n"
        "exposures:\n- {name: sync_contacts, type: application, owner: {name: x}, depends_on: [ref('contacts')]}\n",
    )
    for kind in ("sql", "yml"):
        (root / f"dbt_project/models/contacts.{kind}").unlink()
    declare(root, "persons")
    code, said = revetl("ls", "--json")
    listing = json.loads(said)
    assert [s["name"] for s in listing["syncs"]] == ["persons"]
    assert [o["sync"] for o in listing["orphaned"]] == ["contacts"]
    assert not old.exists()
    assert revetl("sync", "-s", "contacts")[0] == 2
    code, said = revetl("sync")
    assert (code, "persons: was never built" in said) == (3, True)
    write(root / "revetl.yml", "name: acme\nexposures: dbt_project/models/made/revetl.yml\n")
    declare(root, "persons", ", renamed_from: contacts")
    assert revetl("build")[0] == 0
    assert "ref('persons')" in (root / "dbt_project/models/made/revetl.yml").read_text()
    checks = {c["check"]: c["detail"] for c in json.loads(revetl("debug", "--json")[1])}
    assert checks["sync persons"].startswith("w.staging.persons → hubspot (hubspot, http://127.0.0.1")
    code, said = revetl("sync")
    assert (code, "persons has taken over the state of contacts" in said) == (0, True)
    assert json.loads(revetl("ls", "--json")[1])["orphaned"] == []
    with duckdb.connect(str(root / "w.duckdb")) as db:
        assert db.execute("select count(*) from revetl.snapshot__persons").fetchone() == (1,)

    # A disabled model is no sync, and its exposure does not keep dbt from parsing.
    sql = root / "dbt_project/models/persons.sql"
    write(sql, "{{ config(enabled=false) }}\n" + sql.read_text())
    code, said = revetl("ls", "--json")
    assert (code, json.loads(said.partition("No model")[0])["syncs"]) == (0, [])
