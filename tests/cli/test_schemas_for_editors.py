"""An editor checks what an operator writes: each file names its schema, which takes the right and refuses the wrong."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from jsonschema import Draft202012Validator

from revetl.cli.commands.schema import KINDS
from revetl.cli.main import run
from revetl.usecases import schema
from tests.support.cli_project import call
from tests.support.project_files import model, write, write_manifest

# As yaml-language-server reads it, among the comments before a document.
NAMED = re.compile(r"^#\s+yaml-language-server\s*:\s*\$schema=(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("starter") / "mine"
    assert run(["init", "--starter", str(root)]) == 0
    return root


def named(file: Path) -> Path:
    (path,) = NAMED.findall(file.read_text("utf-8").partition("\n\n")[0])
    return (file.parent / path).resolve()


def mistakes(file: Path, data: Any = None) -> list[str]:
    validator = Draft202012Validator(json.loads(named(file).read_text("utf-8")))
    document = yaml.safe_load(file.read_text("utf-8")) if data is None else data
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(document)]


def written_by_hand(root: Path) -> dict[str, list[Path]]:
    """Kind → the starter's files of it."""
    return {
        "project": [root / "revetl.yml"],
        "connections": [root / "profiles/connections.yml"],
        "provider": sorted((root / "enrichment/providers").glob("*.yml")),
        "waterfall": sorted((root / "enrichment/waterfalls").glob("*.yml")),
        "model": sorted((root / "dbt_project/models/activation").rglob("*__*.yml")),
    }


@pytest.mark.parametrize("kind", ["project", "connections", "provider", "waterfall", "model"])
def test_the_starters_files_name_a_schema_that_is_there_and_takes_them(starter: Path, kind: str) -> None:
    files = written_by_hand(starter)[kind]
    assert files
    for file in files:
        assert named(file) == starter.resolve() / ".revetl/schemas" / f"{kind}.json"
        assert mistakes(file) == [], file


def test_every_yml_that_declares_a_sync_is_among_them(starter: Path) -> None:
    declaring = [p for p in (starter / "dbt_project/models").rglob("*.yml") if "revetl:\n" in p.read_text("utf-8")]
    assert {*declaring} <= {*written_by_hand(starter)["model"]}


WRONG: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "project": (("state_shema",), "revetl"),
    "connections": (("destinations", "hubspot", "typ"), "hubspot"),
    "provider": (("endpoint",), {}),
    "waterfall": (("budgets",), {"per_run_usd": 1}),
    "model": (("models", 0, "config", "meta", "revetl", "mode"), "upsrt"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_is_one_in_the_editor_too(starter: Path, kind: str) -> None:
    file = written_by_hand(starter)[kind][0]
    data = copy.deepcopy(yaml.safe_load(file.read_text("utf-8")))
    place, value = WRONG[kind]
    holder = data
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    assert mistakes(file, data)


def test_the_schemas_are_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / ".revetl/schemas"
    for _ in range(2):
        assert run(["schema", "--write", str(folder)]) == 0
    assert {p.stem for p in folder.iterdir()} == {*KINDS} == {*schema.KINDS}
    for path in folder.iterdir():
        Draft202012Validator.check_schema(json.loads(path.read_text("utf-8")))
    capsys.readouterr()
    assert run(["schema", "waterfall"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "waterfall.json").read_text("utf-8"))


@pytest.mark.parametrize("arguments", [[], ["project", "--write", "x"], ["--markdown", "--write", "x"]])
def test_a_kind_or_all_of_them(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", *arguments]) == 2
    assert "--write" in capsys.readouterr().err


def test_init_in_a_project_names_schemas_and_writes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "dbt_project.yml", "name: shop\nversion: '1.0'\nprofile: shop\n")
    assert run(["init", str(tmp_path)]) == 0
    assert not (tmp_path / ".revetl").exists(), "it touches nothing but its own three files"
    assert "`revetl schema --write .revetl/schemas`" in (tmp_path / "revetl.yml").read_text("utf-8")
    assert run(["schema", "--write", str(tmp_path / ".revetl/schemas")]) == 0
    for file, kind in (("revetl.yml", "project"), ("connections.yml", "connections")):
        assert named(tmp_path / file) == tmp_path.resolve() / ".revetl/schemas" / f"{kind}.json"
        assert mistakes(tmp_path / file) == []


def test_a_scaffolded_sync_names_its_schema(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "dbt_project/models/activation/hubspot__contacts.yml"
    for made in (file, file.with_suffix(".sql")):
        made.unlink()
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute("CREATE TABLE people AS SELECT 'a' AS person_id, 'a@x.example' AS email")
    write_manifest(project, model("people"))
    assert call(capsys, "schema", "--write", str(project / ".revetl/schemas"))[0] == 0
    assert call(capsys, "scaffold", "people", "--to", "hubspot.contacts", "--write")[0] == 0
    assert named(file) == project.resolve() / ".revetl/schemas/model.json"
    assert mistakes(file) == []


def test_the_options_of_our_own_types_are_known(starter: Path) -> None:
    """As the guide writes them; a misspelt key deep inside is found, and a number may come from the environment."""
    guide = (Path(__file__).parents[2] / "docs/guides/connect-any-api.md").read_text("utf-8")
    parts = re.findall(r'^```yaml (?:title|append)="profiles/connections.yml"\n(.*?)^```$', guide, re.M | re.S)
    document = yaml.safe_load("".join(parts))
    file = starter / "profiles/connections.yml"
    assert mistakes(file, document) == []
    options = document["destinations"]["kin"]["outputs"]["default"]
    options["concurrency"] = "{{ env_var('KIN_CALLS') }}"
    assert mistakes(file, document) == []
    options["objects"]["users"]["create"]["methud"] = "POST"
    assert any("methud" in said for said in mistakes(file, document))
    document["destinations"]["kin"]["type"] = "brought_by_another_package"
    assert not any("methud" in said for said in mistakes(file, document))
