"""A build that is killed between a model and its tests, ours and the user's: what it rebuilt is not sent. By the real
dbt, as a process that gets SIGKILL: it can't say anything any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from revetl.cli.main import run
from tests.support.cli_project import sandbox_thread
from tests.support.project_files import write
from tests.support.small_project import SOURCES, SYNC, small_project

# A test that does not end before it is killed.
WAITING = """\
{% if execute and env_var('HELD_UP', '') %}
  {% for _ in range(100000) %}{% do run_query('select count(*) from range(10000000)') %}{% endfor %}
{% endif %}
select * from {{ ref('hubspot__contacts') }} where email is null
"""
LAUNCH = {"revetl": "from revetl.cli.main import main; main()", "dbt": "from dbt.cli.main import cli; cli()"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    monkeypatch.delenv("DBT_TARGET_PATH", raising=False)
    with sandbox_thread() as url:
        output = {"type": "duckdb", "path": str(tmp_path / "w.duckdb"), "schema": "main", "threads": 1}
        small_project(tmp_path, output, url)
        project = tmp_path / "dbt_project/dbt_project.yml"
        write(project, yaml.safe_dump({**yaml.safe_load(project.read_text()), "test-paths": ["tests"]}))
        write(tmp_path / "dbt_project/tests/has_email.sql", WAITING)
        sql(tmp_path, "create schema raw", *SOURCES)
        yield tmp_path


def sql(root: Path, *statements: str) -> None:
    with duckdb.connect(str(root / "w.duckdb")) as db:
        for statement in statements:
            db.execute(statement)


def dbt(root: Path) -> list[str]:
    where = ["--project-dir", str(root / "dbt_project"), "--profiles-dir", str(root / "profiles")]
    return [sys.executable, "-c", LAUNCH["dbt"], "build", *where]


def kill_once_built(root: Path, line: list[str], folder: str) -> None:
    """Runs the command until the model is built again, and kills it and all that it started."""
    ran = root / f"dbt_project/{folder}/run/tiny/models/{SYNC}.sql"
    before = ran.stat().st_mtime_ns if ran.exists() else 0
    log = root / "killed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            line, cwd=root, env={**os.environ, "HELD_UP": "1"}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        # The next node after the model is the test, which dbt names as it starts.
        while not (ran.exists() and ran.stat().st_mtime_ns != before and built(log)):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def built(log: Path) -> bool:
    said = log.read_text()
    return f"model    {SYNC}" in said or f"OK created sql table model main.{SYNC}" in said


def test_what_a_killed_build_left_is_not_sent(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def revetl(*arguments: str) -> tuple[int, str]:
        code = run([*arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert revetl("build")[0] == 0
    assert revetl("sync")[0] == 0
    sql(root, "update raw.people set email = null, first_name = 'BAD' where golden_id = 'g0'")

    kill_once_built(root, [sys.executable, "-c", LAUNCH["revetl"], "build"], "target/revetl/dev")
    code, said = revetl("sync")
    assert (code, "may have been changed by a build that began at" in said) == (3, True), said
    assert "`revetl build`" in said

    # The user's own dbt: its good results are of the build before the killed one.
    sql(root, "update raw.people set email = 'p0@x.example', first_name = 'GOOD' where golden_id = 'g0'")
    assert subprocess.run(dbt(root), cwd=root, capture_output=True, check=False, timeout=300).returncode == 0
    assert revetl("sync")[0] == 0
    sql(root, "update raw.people set email = null, first_name = 'BAD' where golden_id = 'g0'")
    kill_once_built(root, dbt(root), "target")
    code, said = revetl("sync")
    assert (code, f"{SYNC}: was run since by dbt" in said) == (3, True), said

    sql(root, "update raw.people set email = 'p0@x.example', first_name = 'BETTER' where golden_id = 'g0'")
    assert revetl("build")[0] == 0
    assert revetl("sync")[0] == 0
