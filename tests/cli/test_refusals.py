"""What is refused, and that the refusal names the cure."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

from revetl import api, enrich_frame
from revetl.cli import main as shell
from revetl.cli.render.plans import REASONS
from revetl.errors import ConfigError
from revetl.project import load as load_project
from revetl.project.dbt import DbtFailed
from revetl.usecases import build as building
from revetl.usecases.caller import Caller
from tests.support.cli_project import NAME, call, declare

REPOSITORY = Path(__file__).resolve().parents[2]
LIMITED = [
    name
    for name in shell.COMMANDS
    if any("--limit" in p.opts for p in import_module(f"revetl.cli.commands.{name}").command.params)
]


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("limit", ["0", "-1", "x"])
def test_a_limit_is_at_least_one_record(name: str, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, name, "--limit", limit)
    assert (code, "--limit" in err) == (2, True)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5])
def test_so_it_is_in_python(project: Path, limit: Any) -> None:
    for function in (api.sync, api.plan):
        with pytest.raises(ValueError, match="limit is a number of records from 1 on"):
            function(limit=limit, project_dir=project)
    table = duckdb.sql("SELECT 'a@x.example' AS email").to_arrow_table()
    with pytest.raises(ValueError, match="limit is a number of records from 1 on"):
        enrich_frame(table, limit=limit, project_dir=project)


def test_a_plan_that_is_a_directory_is_a_mistake_of_who_named_it(project: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: Is a directory") as caught:
        api.apply(project, project_dir=project)
    assert caught.value.problems[0].path == project


def test_a_list_in_a_column_is_refused_as_other_clashes_are(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"ALTER TABLE {NAME} ADD COLUMN tags VARCHAR[]")
        db.execute(f"ALTER TABLE {NAME} ADD COLUMN span INTERVAL")
    declare(project, columns=("golden_id", "email", "tags", "span"))
    code, out, _ = call(capsys, "check", "--json")
    (found,) = json.loads(out)
    said = "\n".join(found["problems"])
    assert code == 2
    assert "tags: a list (VARCHAR[]) into a field: no field can hold it" in said
    assert "Join it in the model, with ';' for a multi-select: array_to_string(tags, ';')." in said
    assert "span: INTERVAL into a field: no field can hold it\n    Cast span to text in the model." in said


@pytest.mark.parametrize(
    ("dbt_project", "cure"),
    [
        ("revetl_starter", "; `revetl sandbox generate -t dev` makes some to play with."),
        ("tiny", "Load them, or say in the sources' yml where they are."),
    ],
)
def test_a_build_without_its_sources_says_how_to_get_them(
    project: Path, monkeypatch: pytest.MonkeyPatch, dbt_project: str, cure: str
) -> None:
    loaded = load_project(project)
    manifest = loaded.artifacts.own / "manifest.json"
    document = json.loads(manifest.read_text("utf-8"))
    document["metadata"]["project_name"] = dbt_project
    document["sources"] = {
        name: {"source_name": source, "schema": source, "identifier": name, "database": None, "name": name}
        for source, name in (("raw_crm", "contacts"), ("main", NAME), ("revetl", "enrichment_values"))
    }
    manifest.write_text(json.dumps(document), "utf-8")
    (project / "dbt_project/dbt_project.yml").write_text(
        f"name: {dbt_project}\nversion: '1.0'\nprofile: tiny\nmodel-paths: [models]\n", "utf-8"
    )

    def fails(*_: object, **__: object) -> None:
        raise DbtFailed("dbt build: 1 failed")

    monkeypatch.setattr(building, "run_dbt", fails)
    with pytest.raises(DbtFailed, match="1 failed") as caught:
        building.build(loaded, building.BuildRequest(), Caller())
    assert "Not in the warehouse: raw_crm.contacts. Load them" in str(caught.value)
    assert str(caught.value).endswith(cure)


def test_a_build_that_fails_with_all_its_sources_says_nothing_of_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise DbtFailed("dbt build: 1 failed")

    monkeypatch.setattr(building, "run_dbt", fails)
    with pytest.raises(DbtFailed) as caught:
        building.build(load_project(project), building.BuildRequest(), Caller())
    assert str(caught.value) == "dbt build: 1 failed"


# A reason is set as `reason="WORD"` where a line is withheld, or is a constant of that module.
GIVEN = re.compile(
    r"""(?:reason=|\b(?:\w*CHANGED|NOT_FOUND|NOT_OURS|NO_IDENTITY|SAME_RECORD|VALUE_HELD) = |reason = )"""
    r"""["']([A-Z][A-Z_]+)["']"""
    r"""|'([A-Z]+_[A-Z_]+)' AS reason"""
)


def reasons() -> set[str]:
    sources = [*(REPOSITORY / "src/revetl/sync").rglob("*.py"), REPOSITORY / "src/revetl/state/outcomes.py"]
    text = "\n".join(p.read_text("utf-8") for p in sources)
    return {a or b for a, b in GIVEN.findall(text)}


def test_every_reason_is_documented_and_said_in_words() -> None:
    page = (REPOSITORY / "docs/design/plans.md").read_text("utf-8")
    found = reasons()
    assert {"NO_ID", "INVALID_IDENTITY", "EXISTS", "EVENT_CHANGED"} <= found
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    assert documented == found | {"LEFT_ALONE", "EXISTS_BY_NOW"}
    assert found <= set(REASONS) | {"LEFT_ALONE"}


def test_every_flag_with_a_count_refuses_less_than_none() -> None:
    """`--limit`, `--days`, `--threads` and their like are ranges, not any whole number."""
    counted = {"--seed"}  # any number is another seed
    unbounded = [
        f"{name} {option.opts[0]}"
        for name in shell.COMMANDS
        for option in import_module(f"revetl.cli.commands.{name}").command.params
        if option.type is click.INT and not counted & {*option.opts}
    ]
    assert unbounded == []
