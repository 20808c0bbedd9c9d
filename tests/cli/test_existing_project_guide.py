"""docs/guides/existing-project.md, run as it stands on a project that someone has already."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import urllib.request
from pathlib import Path

import duckdb
import pytest
import yaml
from jsonschema import Draft202012Validator

from revetl.cli.main import run
from tests.support.dbt_process import DBT
from tests.support.existing_project import make_existing_project

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/existing-project.md"
_BLOCK = re.compile(r"^```(console|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str, list[str]]]:
    """(what it is, the command or the file's text, what is shown), in order."""
    found: list[tuple[str, str, list[str]]] = []
    for kind, text in _BLOCK.findall(GUIDE.read_text()):
        if kind == "yaml":
            if text.startswith("# revetl.yml"):
                found.append(("file", text, []))
            continue
        for line in text.splitlines():
            if line.startswith("$ "):
                found.append(("command", line[2:], []))
            else:
                found[-1][2].append(line.strip())
    return found


def test_every_command_does_what_the_guide_shows(
    tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_existing_project(tmp_path)
    for name in ("COLUMNS", "REVETL_PROJECT_DIR", "DBT_TARGET_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DBT_PROFILES_DIR", "~/secrets")
    monkeypatch.setenv("HUBSPOT_BASE_URL", sandbox_url)
    line = [*DBT, "-q", "deps", "--profiles-dir"]
    subprocess.run([*line, str(tmp_path / "home/secrets")], check=True, timeout=120)
    before = {
        p: p.read_bytes() for p in project.rglob("*") if p.is_file() and not {"dbt_packages", "logs"} & {*p.parts}
    }
    commands = 0
    for kind, text, shown in steps():
        if kind == "file":
            settings = project / "revetl.yml"
            settings.write_text(settings.read_text() + text)
            continue
        program, *arguments = shlex.split(text)
        assert program == "revetl"
        code = run(arguments)
        said = capsys.readouterr()
        assert code == 0, f"{text}\n{said.out}{said.err}"
        for expected in shown:
            assert expected in said.out + said.err, f"{text}\n{said.out}{said.err}"
        commands += 1
    assert commands >= 11
    assert {p: p.read_bytes() for p in before} == before  # no file of the project was touched
    assert (tmp_path / "build/dbt/revetl/dev/manifest.json").is_file()
    with duckdb.connect(str(tmp_path / "w.duckdb")) as db:
        schemas = {row[0] for row in db.execute("select schema_name from information_schema.schemata").fetchall()}
        assert {"dev_mart", "prod_mart", "revetl", "revetl_prod"} <= schemas
        assert db.execute("select count(*) from revetl.snapshot__hubspot__contacts").fetchone() == (2,)
    request = urllib.request.Request(
        f"{sandbox_url}/crm/v3/objects/contacts?limit=100&properties=email,firstname",
        headers={"authorization": "Bearer pat-sandbox"},
    )
    with urllib.request.urlopen(request) as answer:
        held = {r["properties"]["email"]: r["properties"]["firstname"] for r in json.load(answer)["results"]}
    assert {"ann@acme.example": "Ann", "cid@acme.example": "Cid"}.items() <= held.items()


def test_every_piece_of_yaml_is_one() -> None:
    """Of revetl.yml, or of a sync's meta, as the page says before it."""
    from revetl.usecases.schema import json_schema

    pieces = [yaml.safe_load(text) for kind, text in _BLOCK.findall(GUIDE.read_text()) if kind == "yaml"]
    settings, renamed = pieces
    Draft202012Validator(json_schema("project")).validate({"name": "x", **settings})
    sync = {"destination": "hubspot", "object": "contacts", "key": "customer_id", "match_on": "email"}
    Draft202012Validator(json_schema("sync")).validate({**sync, **renamed})


def test_init_writes_nothing_twice_and_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_existing_project(tmp_path)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    assert run(["init"]) == 0
    err = capsys.readouterr().err
    assert f"no profiles.yml in {project / 'profiles'}, {project}, {tmp_path / 'nobody/.dbt'}" in err.replace("\n", "")
    (project / "revetl.yml").write_text("name: mine\n")
    assert run(["init"]) == 2
    assert "already holds revetl.yml, connections.yml" in capsys.readouterr().err
    assert (project / "revetl.yml").read_text() == "name: mine\n"


def test_a_profiles_folder_that_init_was_told_is_known_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_existing_project(tmp_path)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    assert run(["init", "--profiles-dir", "../home/secrets"]) == 0
    assert 'profiles: "../home/secrets"' in (project / "revetl.yml").read_text()
    capsys.readouterr()
    run(["debug", "--json"])
    checks = {c["check"]: c for c in json.loads(capsys.readouterr().out)}
    assert checks["warehouse (duckdb)"]["ok"]


def test_init_where_there_is_no_project_names_the_starter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == 2
    assert "revetl init --starter NAME" in capsys.readouterr().err
    assert run(["init", "--starter", "crm"]) == 0
    assert (tmp_path / "crm/README.md").is_file()
    assert "*.duckdb" in (tmp_path / "crm/.gitignore").read_text()
