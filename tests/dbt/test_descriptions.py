"""What others read and what we read is described, column by column, and the descriptions cover what is really there."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from revetl.state.schema import TABLES
from tests.dbt.conftest import REPOSITORY, Built
from tests.support.dbt_process import DBT

pytestmark = pytest.mark.xdist_group("starter")

FIELDS_OF_THE_CONTRACT = {"company_enrichment", "contact_enrichment", "enriched_companies", "enriched_contacts"}
# dbt enforces contracts in the materializations that come with it. This one creates its table from columns of its own.
CREATES_ITS_TABLE = {"golden_id_assignments"}
Manifest = dict[str, Any]
PUBLIC = ("marts", "enrichment", "activation")  # folders of models that are read outside of the project
PROJECTS = {
    "starter": (REPOSITORY / "dbt_project", REPOSITORY / "profiles"),
    "officials": (REPOSITORY / "examples/officials/dbt_project", REPOSITORY / "examples/officials/profiles"),
}


def parse(project: Path, profiles: Path, directory: Path) -> Manifest:
    """What dbt reads in the project. A warning, such as that of a deprecated key, is an error."""
    command = [*DBT, "--no-use-colors", "--warn-error", "parse"]
    command += ["--log-path", str(directory / "logs"), "--target-path", str(directory / "target")]
    command += ["--project-dir", str(project), "--profiles-dir", str(profiles), "--show-all-deprecations"]
    environment = {**os.environ, "REVETL_DUCKDB_PATH": ":memory:"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:]
    manifest: Manifest = json.loads((directory / "target/manifest.json").read_text("utf-8"))
    return manifest


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    return {name: parse(*paths, tmp_path_factory.mktemp(name)) for name, paths in PROJECTS.items()}


def models(manifest: Manifest, *folders: str) -> list[dict[str, Any]]:
    """The models in `folders`; in every folder where none is named."""
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return [node for node in found if not folders or Path(node["original_file_path"]).parts[1] in folders]


def undescribed(nodes: list[dict[str, Any]]) -> list[str]:
    """Models and tables without a description, or without columns, and their columns without one."""
    missing = []
    for node in nodes:
        if not node["description"].strip() or not node["columns"]:
            missing.append(node["name"])
        missing += [f"{node['name']}.{c['name']}" for c in node["columns"].values() if not c["description"].strip()]
    return missing


@pytest.mark.parametrize("project", PROJECTS)
def test_every_public_model_and_column_is_described(manifests: dict[str, Manifest], project: str) -> None:
    public = models(manifests[project], *PUBLIC)
    assert len(public) >= 4
    assert undescribed(public) == []
    # With its contract enforced dbt builds a model only where the columns of the .yml are the columns of the table. Not
    # so where the columns are the fields of the golden contract, to which a user adds in one place.
    free = {node["name"] for node in public if not node["config"]["contract"]["enforced"]}
    assert free == (FIELDS_OF_THE_CONTRACT | CREATES_ITS_TABLE if project == "starter" else set())
    assert [node["name"] for node in models(manifests[project]) if not node["description"].strip()] == []


@pytest.mark.parametrize("project", PROJECTS)
def test_every_source_table_and_column_is_described(manifests: dict[str, Manifest], project: str) -> None:
    sources = list(manifests[project]["sources"].values())
    assert sources
    assert undescribed(sources) == []


def test_a_missing_description_is_found(manifests: dict[str, Manifest]) -> None:
    damaged = copy.deepcopy(models(manifests["starter"], "marts"))
    damaged[0]["description"] = " "
    column = next(iter(damaged[1]["columns"].values()))
    column["description"] = ""
    damaged[2]["columns"] = {}
    expected = [damaged[0]["name"], f"{damaged[1]['name']}.{column['name']}", damaged[2]["name"]]
    assert undescribed(damaged) == expected


def test_described_source_columns_are_the_tables_columns(manifests: dict[str, Manifest], built: Built) -> None:
    for source in manifests["starter"]["sources"].values():
        name = source["name"]
        if source["source_name"] == "revetl":
            actual = {column for column, _ in TABLES[name]}
        else:
            rows = built.db.execute(f"DESCRIBE {source['schema']}.{name}").fetchall()
            actual = {str(row[0]) for row in rows}
        assert set(source["columns"]) == actual, name


def test_the_columns_of_models_without_a_contract_are_there(manifests: dict[str, Manifest], built: Built) -> None:
    """Those that are described, and those of every field that providers may fill."""
    for model in models(manifests["starter"], "enrichment"):
        if model["name"] not in FIELDS_OF_THE_CONTRACT:
            continue
        actual = {str(row[0]) for row in built.db.execute(f"DESCRIBE analytics.{model['name']}").fetchall()}
        golden = "golden_companies" if "compan" in model["name"] else "golden_contacts"
        columns = next(m for m in models(manifests["starter"], "marts") if m["name"] == golden)["columns"].values()
        fields = {c["name"] for c in columns if c["config"]["meta"].get("enrichable")}
        assert len(fields) >= 7
        assert set(model["columns"]) | fields | {f"{name}_source" for name in fields} <= actual


def test_exported_tables_have_freshness_and_state_tables_have_none(manifests: dict[str, Manifest]) -> None:
    for source in manifests["starter"]["sources"].values():
        warn_after = (source["freshness"] or {}).get("warn_after") or {}
        if source["source_name"] == "revetl":
            assert not warn_after.get("count"), source["name"]
        else:
            assert warn_after.get("count"), source["name"]
            assert source["loaded_at_field"] in source["columns"], source["name"]


@pytest.mark.parametrize("project", PROJECTS)
def test_intermediate_models_live_in_intermediate(manifests: dict[str, Manifest], project: str) -> None:
    every = models(manifests[project])
    here = {node["name"] for node in models(manifests[project], "intermediate")}
    assert here == {node["name"] for node in every if node["name"].startswith("int_")}
    assert here


def test_unit_tests_have_names_that_postgres_takes() -> None:
    """dbt makes a relation of that name. Postgres takes 63 characters, and with one more the build ends there."""
    files = [path for project, _ in PROJECTS.values() for path in (project / "models").rglob("*.yml")]
    named = [test["name"] for path in files for test in yaml.safe_load(path.read_text("utf-8")).get("unit_tests", ())]
    assert len(named) > 15
    assert [name for name in named if len(name) > 63] == []
