"""Our reading of dbt's selectors, against dbt itself on the starter project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.project.manifest import read_manifest
from revetl.project.selection import selected

REPOSITORY = Path(__file__).resolve().parents[2]
SELECTORS = [
    "hubspot__contacts",
    "hubspot__*",
    "*contact*",
    "revetl_starter.activation",
    "activation",
    "marts.golden_contacts",
    "revetl_starter.*.hubspot__contacts",
    "tag:*",
    "path:models/activation",
    "path:models/activation/hubspot__contacts.sql",
    "path:models/activation/hubspot__contacts.yml",
    "path:models/*/golden_*.sql",
    "path:models/**/golden_*.sql",
    "models/activation",
    "file:hubspot__contacts",
    "hubspot__contacts.sql",
    "package:this",
    "package:revetl_starter,marts",
    "config.meta.revetl.destination:hubspot",
    "config.meta.revetl.object:contacts",
    "config.contract.enforced:true",
    "config.materialized:view",
    "config.materialized:table,activation",
    "resource_type:model",
    "access:protected",
    "source:*",
    "source:revetl.enrichment_values+",
    "source:revetl+1",
    "+hubspot__contacts",
    "1+hubspot__contacts",
    "2+hubspot__contacts",
    "0+hubspot__contacts",
    "golden_contacts+",
    "golden_contacts+1",
    "1+golden_contacts+2",
    "@golden_companies",
    "@hubspot__contacts",
    "+hubspot__contacts,marts",
    "hubspot__contacts hubspot__companies",
    "golden_contacts+,activation +hubspot__companies,marts",
]
EXCLUDED = [("activation", "hubspot__contacts"), ("+activation", "marts+1 tag:none"), ("models", "@golden_companies")]

# dbt's own parser and selector, once for all: starting it for each selector would take a minute.
SCRIPT = """
import json, sys
from dbt.cli.main import dbtRunner
arguments, cases = json.loads(sys.argv[1]), json.loads(sys.argv[2])
runner = dbtRunner(manifest=dbtRunner().invoke(["parse", *arguments]).result)
out = []
for select, exclude in cases:
    words = ["ls", "--quiet", "--resource-type", "model", "--output", "json", "--output-keys", "unique_id"]
    words += ["--select", select, *(["--exclude", exclude] if exclude else []), *arguments]
    out.append([json.loads(line)["unique_id"] for line in runner.invoke(words).result or []])
print("RESULT" + json.dumps(out))
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ls")


def ask_dbt(target: Path, cases: list[tuple[str, str]]) -> list[set[str]]:
    arguments = ["--project-dir", str(REPOSITORY / "dbt_project"), "--profiles-dir", str(REPOSITORY / "profiles")]
    arguments += ["--target-path", str(target), "--log-path", str(target), "--no-partial-parse"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments), json.dumps(cases)],
        env={**os.environ, "REVETL_DUCKDB_PATH": str(target / "warehouse.duckdb")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "RESULT" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return [set(found) for found in json.loads(done.stdout.rpartition("RESULT")[2])]


def test_selectors_mean_what_dbt_means(target: Path) -> None:
    cases = [(s, "") for s in SELECTORS] + EXCLUDED
    answers = ask_dbt(target, cases)
    manifest = read_manifest(target, REPOSITORY / "dbt_project")
    models = [id_ for id_, node in manifest.nodes.items() if node["resource_type"] == "model"]
    assert sum(map(bool, answers)) > 30, "most of them name something"
    for (select, exclude), expected in zip(cases, answers, strict=True):
        try:
            found = selected(manifest, [select], [w for w in exclude.split() if w != "tag:none"], models)
        except ConfigError:
            found = set()  # dbt only warns of a selector that names nothing
        assert found == expected, f"--select {select!r} --exclude {exclude!r}"
