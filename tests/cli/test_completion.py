"""Words that a shell completes: the script works, names come from files, and of what went wrong nothing is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from revetl.cli.main import run
from tests.support.cli_project import NAME, call
from tests.support.project_files import write

HEAVY = ("dbt", "duckdb", "pydantic", "pyarrow", "httpx", "aiohttp", "snowflake", "psycopg", "sqlglot")


def completed(line: str, folder: Path, *, environment: dict[str, str] | None = None) -> list[str]:
    """What the shell is given for the last word of the line, as fish asks for it. stderr stays empty, always."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "revetl.cli.main"],
        env={
            **os.environ,
            "_REVETL_COMPLETE": "fish_complete",
            "COMP_WORDS": " ".join(words[:-1]),
            "COMP_CWORD": words[-1],
            **(environment or {}),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [row.partition(",")[2].partition("\t")[0] for row in done.stdout.splitlines() if row]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_this_shell_reads(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_REVETL_COMPLETE={shell}_complete" in script
    if executable := shutil.which(shell):
        done = subprocess.run([executable, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    assert completed("revetl sy", tmp_path) == ["sync"]
    assert "--full-refresh" in completed("revetl sync --f", tmp_path)
    assert completed("revetl sandbox gen", tmp_path) == ["generate"]


def test_names_are_those_of_the_project(project: Path) -> None:
    write(project / "enrichment/waterfalls/a.yml", "# of contacts\nname: contact_profile\n")
    for line, found in (
        ("revetl sync -s hub", [NAME]),
        ("revetl plan --exclude ", [NAME]),
        ("revetl drift h", [NAME]),
        ("revetl tune con", ["contact_profile"]),
        ("revetl enrich -w ", ["contact_profile"]),
        ("revetl scaffold people --to hub", ["hubspot."]),
        ("revetl sync -t p", ["prod"]),
        ("revetl sync -s nothing", []),
    ):
        assert completed(line, project) == found, line


def test_a_run_that_was_listed_or_sent_something_is_completed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed("revetl rollback ", project) == []
    assert call(capsys, "sync", "--dry-run")[0] == 0
    assert completed("revetl rollback ", project) == [], "a dry run is no run"
    assert call(capsys, "sync")[0] == 0
    first = completed("revetl rollback ", project)
    assert call(capsys, "sync")[0] == 0
    assert completed("revetl runs show ", project)[1:] == first, "the newest first"
    listed = [r["run_id"] for r in json.loads(call(capsys, "runs", "--json")[1])]
    assert completed("revetl retry --run ", project) == listed


def test_what_cannot_be_read_is_passed_over_in_silence(project: Path) -> None:
    for manifest in project.rglob("manifest.json"):
        manifest.write_text("{ no json", "utf-8")
    assert completed("revetl sync -s ", project) == []
    (project / "revetl.yml").write_text("a: b: c", "utf-8")
    for line in ("revetl sync -s ", "revetl tune ", "revetl rollback ", "revetl sync -t ", "revetl scaffold m --to "):
        assert completed(line, project) == [], line
    completed("revetl nonsense ", project)


def test_without_a_project_there_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVETL_PROJECT_DIR", raising=False)
    assert completed("revetl sync -s ", tmp_path) == []


def test_a_name_is_completed_without_anything_heavy(project: Path) -> None:
    """What is imported decides how long it takes, on every machine the same; nobody waits for dbt or a warehouse."""
    code = (
        "import contextlib, sys\nfrom revetl.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n    main([])\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    words = {"_REVETL_COMPLETE": "fish_complete", "COMP_WORDS": "revetl sync -s", "COMP_CWORD": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **words},
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert NAME in done.stdout
    assert done.stdout.rstrip().endswith("[]")
