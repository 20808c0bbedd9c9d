"""Which dbt is started: the one beside revetl, one of another environment, or none; and what is said of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from revetl.cli.main import run
from revetl.errors import ConfigError
from revetl.project import load
from revetl.project.dbt import Dbt, dbt_versions, find_dbt
from tests.support.project_files import make_project, write

ANSWER = """\
Core:
  - installed: 1.12.6
  - latest:    1.12.6 - Up to date!

Plugins:
  - postgres: 1.11.0 - Up to date!
"""


def executable(place: Path, said: str) -> Path:
    """A program that answers whatever it is asked with `said`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\ncat <<'EOF'\n{said}EOF\n")
    place.chmod(0o755)
    return place


def started(program: Path) -> Dbt:
    nowhere = program.parent
    return Dbt(
        executable=str(program),
        root=nowhere,
        project_dir=nowhere,
        profiles_dir=nowhere,
        profile="p",
        target="t",
        target_path=nowhere,
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBT", raising=False)


@pytest.mark.parametrize("named", ["env", "env/bin/dbt"])
def test_an_environment_or_its_executable_may_be_named(tmp_path: Path, named: str) -> None:
    program = executable(tmp_path / "env/bin/dbt", ANSWER)
    assert find_dbt(named, tmp_path) == (True, str(program))


def test_the_variable_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "mine/bin/dbt", ANSWER)
    monkeypatch.setenv("DBT", str(tmp_path / "mine"))
    assert find_dbt("elsewhere", tmp_path) == (True, str(program))


def test_the_versions_of_another_environment_are_its_own(tmp_path: Path) -> None:
    other = started(executable(tmp_path / "bin/dbt", ANSWER))
    assert dbt_versions(other, "postgres") == "dbt-core 1.12.6, dbt-postgres 1.11.0"


def test_an_adapter_that_is_missing_there_is_named_with_the_place(tmp_path: Path) -> None:
    program = executable(tmp_path / "bin/dbt", ANSWER)
    with pytest.raises(ConfigError, match=f"dbt-snowflake is not installed in the environment of {program}"):
        dbt_versions(started(program), "snowflake")


def test_a_program_that_is_no_dbt_core_is_named(tmp_path: Path) -> None:
    program = executable(tmp_path / "bin/dbt", "dbt-fusion 2.0.0-preview.5\n")
    with pytest.raises(ConfigError, match=r"does not answer as dbt Core does: dbt-fusion 2\.0\.0"):
        dbt_versions(started(program), "duckdb")


def test_debug_says_that_the_named_dbt_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "revetl.yml", "name: tiny\ndbt: /opt/none\n")
    assert run(["debug", "--json"]) == 2
    checks = {c["check"]: c for c in json.loads(capsys.readouterr().out)}
    assert "no dbt at '/opt/none'" in checks["dbt"]["detail"]


@pytest.mark.parametrize("command", [["build"], ["debug"], ["plan"]])
def test_without_any_dbt_the_three_ways_out_are_named(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("revetl.project.dbt.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", os.devnull)
    assert run(command) == 2
    said = capsys.readouterr()
    words = " ".join((said.out + said.err).split())
    for way in ("`dbt:` in revetl.yml", "pip install 'revetl[starter]'", "`dbt: elsewhere`"):
        assert way in words, words


def test_a_dbt_that_is_elsewhere_is_no_fault(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "revetl.yml", "name: tiny\ndbt: elsewhere\n")
    run(["debug", "--json"])
    checks = {c["check"]: c for c in json.loads(capsys.readouterr().out)}
    assert checks["dbt"]["ok"]
    assert str(load(root).artifacts.users) in checks["dbt"]["detail"]
