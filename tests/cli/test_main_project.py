"""Commands that read a project: ls, debug, init, schema, build with a failing dbt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from revetl.cli import main as shell
from revetl.usecases.init import PARTS
from tests.support.project_files import SYNC, make_project, model, write, write_manifest, write_results


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


def test_ls_before_and_after_a_build(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["ls"]) == 0
    out, err = capsys.readouterr()
    assert "hubspot" in out
    assert "revetl build" in err
    write_manifest(root, model("contacts", dict(SYNC)))
    assert shell.run(["ls", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in listing["syncs"]] == ["contacts"]
    assert listing["syncs"][0]["columns"] == ["email", "jobtitle", "company_golden_id"]


def test_a_mistake_in_the_project_ends_with_2(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(root, model("contacts", {**SYNC, "destination": "hubspt"}))
    assert shell.run(["ls"]) == 2
    assert "Did you mean 'hubspot'?" in capsys.readouterr().err


def test_debug_names_what_is_missing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        root / "profiles/connections.yml",
        "destinations:\n  hubspot:\n    type: hubspot\n    outputs:\n"
        "      default: {token: \"{{ env_var('SURELY_NOT_SET') }}\"}\n",
    )
    assert shell.run(["debug", "--json"]) == 2
    checks = {c["check"]: c for c in json.loads(capsys.readouterr().out)}
    assert checks["dbt"]["ok"]
    assert checks["warehouse (duckdb)"]["ok"]
    assert "SURELY_NOT_SET" in checks["destination hubspot"]["detail"]
    assert "connections.yml:5" in checks["destination hubspot"]["detail"]


def test_init_writes_the_starter_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert shell.run(["init", str(new)]) == 0
    assert {p.name for p in new.iterdir()} == {*PARTS, "README.md", ".gitignore", ".revetl"}
    assert not (new / "dbt_project" / "target").exists()
    write(new / "revetl.yml", "name: mine\n")
    assert shell.run(["init", str(new)]) == 2
    assert "already holds" in capsys.readouterr().err
    assert (new / "revetl.yml").read_text() == "name: mine\n"


@pytest.mark.parametrize("kind", ["project", "connections", "sync", "provider", "waterfall"])
def test_schema_is_json_schema(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def test_results_go_to_stdout_without_colour(root: Path) -> None:
    env = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "revetl.cli.main", "ls"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    assert "\x1b[" not in done.stdout + done.stderr


def test_build_runs_dbt_and_names_what_failed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one test with a real dbt: a good build, a failing test on a synced model, a model that can't be parsed."""
    write(root / "revetl.yml", "name: tiny\nexposures: dbt_project/models/exposures/revetl.yml\n")
    models = root / "dbt_project/models"
    write(models / "contacts.sql", "select '1' as golden_id, cast(null as varchar) as email")
    yml = (
        "models:\n  - name: contacts\n    config:\n      contract: {enforced: true}\n"
        "      meta: {revetl: {destination: hubspot, object: contacts, key: golden_id, match_on: email}}\n"
        "    columns:\n      - {name: golden_id, data_type: varchar}\n      - {name: email, data_type: varchar%s}\n"
    )
    write(models / "contacts.yml", yml % "")
    assert shell.run(["build", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"] == {"success": 1}
    assert "contacts" in err
    exposures = models / "exposures/revetl.yml"
    assert "sync_contacts" in exposures.read_text()

    written = exposures.read_text()
    write(models / "contacts.yml", yml % ", data_tests: [not_null]")
    assert shell.run(["build"]) == 1
    err = capsys.readouterr().err
    assert "test not_null_contacts_email" in err
    assert "Got 1 result" in err
    assert exposures.read_text() == written

    from revetl.errors import GuardrailError
    from revetl.project import load

    with pytest.raises(GuardrailError, match="not_null_contacts_email failed"):
        load(root).syncs()

    write(models / "contacts.sql", "select {{ ref('nowhere') }}")
    assert shell.run(["build"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_syncs_of_a_refused_model_end_with_3(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(root, model("contacts", dict(SYNC)))
    write_results(root, {"model.tiny.contacts": "error"})
    assert shell.run(["plan"]) == 3
    assert "contacts: failed to build" in capsys.readouterr().err
