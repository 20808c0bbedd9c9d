"""A small project on disk: its files by hand, dbt's artifacts made up, so that no test has to run dbt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError
from revetl.project import load

SYNC = {"destination": "hubspot", "object": "contacts", "key": "golden_id", "match_on": "email"}
COLUMNS = ("golden_id", "email", "jobtitle", "company_golden_id")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def make_project(root: Path) -> Path:
    """revetl.yml, profiles and an empty dbt project named `tiny`. Returns `root`."""
    write(root / "revetl.yml", "name: tiny\n")
    write(root / "dbt_project/dbt_project.yml", "name: tiny\nversion: '1.0'\nprofile: tiny\nmodel-paths: [models]\n")
    write(
        root / "profiles/profiles.yml",
        "tiny:\n  target: dev\n  outputs:\n"
        "    dev: {type: duckdb, path: tiny.duckdb, schema: main, threads: 1}\n"
        "    prod: {type: duckdb, path: \"{{ env_var('TINY_PROD_PATH') }}\", schema: main}\n"
        "    cloud: {type: snowflake, account: x, schema: main}\n",
    )
    write(
        root / "profiles/connections.yml",
        "destinations:\n  hubspot:\n    type: hubspot\n    outputs:\n"
        "      default: {base_url: 'http://127.0.0.1:1', token: pat-test}\n"
        "      prod:\n        token: \"{{ env_var('TINY_HUBSPOT_TOKEN') }}\"\n",
    )
    return root


def model(
    name: str,
    meta: Mapping[str, Any] | None = None,
    *,
    columns: tuple[str, ...] = COLUMNS,
    contract: bool = True,
    tags: tuple[str, ...] = (),
    parents: tuple[str, ...] = (),
    materialized: str = "table",
) -> dict[str, Any]:
    """A model as the manifest tells it. `meta` becomes `config.meta.revetl`."""
    return {
        "unique_id": f"model.tiny.{name}",
        "resource_type": "model",
        "name": name,
        "alias": name,
        "database": "tiny",
        "schema": "main",
        "package_name": "tiny",
        "fqn": ["tiny", "activation", name],
        "original_file_path": f"models/activation/{name}.sql",
        "patch_path": f"tiny://models/activation/{name}.yml",
        "tags": list(tags),
        "config": {
            "materialized": materialized,
            "contract": {"enforced": contract},
            "meta": {} if meta is None else {"revetl": meta},
        },
        "columns": {c: {"name": c, "data_type": "varchar"} for c in columns},
        "depends_on": {"nodes": list(parents)},
    }


def check_on(name: str, *models: str, attached: str | None = None) -> dict[str, Any]:
    return {
        "unique_id": f"test.tiny.{name}",
        "resource_type": "test",
        "name": name,
        "package_name": "tiny",
        "fqn": ["tiny", name],
        "original_file_path": "tests/x.sql",
        "tags": [],
        "config": {},
        "columns": {},
        "attached_node": attached,
        "depends_on": {"nodes": [f"model.tiny.{m}" for m in models]},
    }


def write_manifest(root: Path, *nodes: Mapping[str, Any], adapter: str = "duckdb") -> None:
    """What dbt would have parsed of the project as it stands, for each target that can be loaded, and the models' own
    files where there are none. A file that is changed afterwards makes the next command run the real dbt."""
    for node in nodes:
        if "original_file_path" in node and node["resource_type"] == "model":
            _write_model(root / "dbt_project", node)
    parents = {str(n["unique_id"]): list(n["depends_on"]["nodes"]) for n in nodes}
    children: dict[str, list[str]] = {id_: [] for id_ in parents}
    for id_, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(id_)
    data = {
        "metadata": {"adapter_type": adapter, "project_name": "tiny"},
        "nodes": {n["unique_id"]: n for n in nodes},
        "sources": {},
        "unit_tests": {},
        "parent_map": parents,
        "child_map": children,
    }
    write_parsed(root, json.dumps(data))


def _write_model(dbt_dir: Path, node: Mapping[str, Any]) -> None:
    columns = ", ".join(f"cast(null as varchar) as {c}" for c in node["columns"])
    declared = {key: node[key] for key in ("name", "config")} | {"columns": [*node["columns"].values()]}
    for path, text in (
        (node["original_file_path"], f"select {columns}\n"),
        (node["patch_path"].partition("://")[2], json.dumps({"models": [declared]})),
    ):
        if not (dbt_dir / path).exists() or node["name"] in _MADE.get(dbt_dir / path, ""):
            write(dbt_dir / path, text)
            _MADE[dbt_dir / path] = node["name"]


_MADE: dict[Path, str] = {}  # what we wrote ourselves may be written again


def write_parsed(root: Path, manifest: str) -> None:
    for target in ("dev", "prod", "cloud"):
        with suppress(ConfigError):
            artifacts = load(root, target=target).artifacts
            digest = artifacts.begin()
            write(artifacts.own / "manifest.json", manifest)
            artifacts.parsed(digest)


def write_results(root: Path, statuses: Mapping[str, str], invocation: str = "i-1", **args: Any) -> None:
    """target/run_results.json as a `dbt build` of these nodes leaves it."""
    data = {
        "metadata": {"invocation_id": invocation, "generated_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"},
        "args": {"which": "build", **args},
        "results": [{"unique_id": id_, "status": status} for id_, status in statuses.items()],
    }
    write(root / "dbt_project/target/run_results.json", json.dumps(data))


def enriching_project(root: Path, sandbox_url: str) -> Path:
    """The shipped waterfalls, with the vendors that they ask at the sandbox. Returns `root`."""
    make_project(root)
    shutil.copytree(Path(__file__).resolve().parents[2] / "enrichment", root / "enrichment")
    vendors = "".join(
        f"  {v}:\n    outputs:\n      default: {{base_url: '{sandbox_url}/providers/{v}', api_key: key-of-a-test}}\n"
        for v in ("people_data_labs", "hunter", "zerobounce")
    )
    write(root / "profiles/connections.yml", f"destinations: {{}}\nproviders:\n{vendors}")
    return root
