"""revetl.yml, profiles.yml and connections.yml: every mistake at its place, all at once, no secret told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.project import load
from revetl.state.schema import create_all
from tests.support.project_files import make_project, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def messages(root: Path, **options: str) -> list[str]:
    with pytest.raises(ConfigError) as e:
        load(root, **options)
    assert e.value.exit_code == 2
    return [str(p).replace(str(root) + os.sep, "") for p in e.value.problems]


def test_loads_with_defaults(root: Path) -> None:
    project = load(root)
    assert (project.name, project.target, project.state_schema) == ("tiny", "dev", "revetl")
    assert project.providers == {}
    assert not project.built


def test_is_found_from_below(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "dbt_project")
    assert load().root == root


def test_no_project_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no revetl\.yml"):
        load()
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "nowhere")


def test_misspelt_setting(root: Path) -> None:
    write(root / "revetl.yml", "name: tiny\nstate_shema: x\n")
    assert messages(root) == ["revetl.yml:2: 'state_shema' is not known here\n    Did you mean 'state_schema'?"]


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_settings_that_are_no_mapping(root: Path, text: str) -> None:
    write(root / "revetl.yml", text)
    assert "not a mapping" in messages(root)[0]


def test_state_schema_must_be_a_name(root: Path) -> None:
    write(root / "revetl.yml", "name: tiny\nstate_schema: 'a; drop'\n")
    assert messages(root)[0].startswith("revetl.yml:2: state_schema:")


def test_missing_directory(root: Path) -> None:
    write(root / "revetl.yml", "name: tiny\ndbt_project: dbt\n")
    assert messages(root)[0].startswith("revetl.yml:2: dbt_project: no directory")


def test_mistakes_of_several_files_at_once(root: Path) -> None:
    write(root / "profiles/connections.yml", "destination:\n  hubspot: {}\n")
    write(root / "enrichment/providers/x.yml", "a: [\n")
    found = messages(root, target="dve")
    assert len(found) == 3
    assert "profiles/profiles.yml:3: no target 'dve'\n    Did you mean 'dev'?" in found
    assert "profiles/connections.yml:1: 'destination' is not known here\n    Did you mean 'destinations'?" in found
    assert any(m.startswith("enrichment/providers/x.yml:") for m in found)


def test_unknown_profile_and_warehouse(root: Path) -> None:
    write(root / "dbt_project/dbt_project.yml", "name: tiny\nprofile: tinny\n")
    assert messages(root) == ["profiles/profiles.yml:1: no profile 'tinny'\n    Did you mean 'tiny'?"]
    make_project(root)
    write(root / "profiles/profiles.yml", "tiny:\n  outputs:\n    default: {type: duckdbb}\n")
    assert messages(root) == ["profiles/profiles.yml:3: type 'duckdbb' is not supported\n    Did you mean 'duckdb'?"]


def test_only_the_target_in_use_needs_its_secrets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINY_PROD_PATH", raising=False)
    load(root)
    assert messages(root, target="prod")[0].startswith(
        "profiles/profiles.yml:5: the environment variable TINY_PROD_PATH is not set"
    )


def test_a_missing_secret_is_named_when_the_connection_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_PROD_PATH", "prod.duckdb")
    monkeypatch.delenv("TINY_HUBSPOT_TOKEN", raising=False)
    connections = load(root, target="prod").connections
    with pytest.raises(ConfigError) as e:
        connections.output("destinations", "hubspot")
    assert (e.value.problems[0].line, e.value.problems[0].message) == (
        7,
        "the environment variable TINY_HUBSPOT_TOKEN is not set",
    )
    monkeypatch.setenv("TINY_HUBSPOT_TOKEN", "pat-secret")
    project = load(root, target="prod")
    assert project.connections.output("destinations", "hubspot").data == {"token": "pat-secret"}
    assert "pat-secret" not in repr(project)


def test_default_output_serves_other_targets(root: Path) -> None:
    assert load(root).connections.output("destinations", "hubspot").data["token"] == "pat-test"


def test_unknown_connection(root: Path) -> None:
    connections = load(root).connections
    with pytest.raises(ConfigError, match="Did you mean 'hubspot'"):
        connections.output("destinations", "hubsport")
    with pytest.raises(ConfigError, match="no provider 'hunter'"):
        connections.provider_account("hunter")


def test_provider_account_names_a_misspelt_option_but_no_value(root: Path) -> None:
    write(root / "profiles/connections.yml", "providers:\n  hunter:\n    outputs:\n      default: {api_kye: s3cret}\n")
    with pytest.raises(ConfigError) as e:
        load(root).connections.provider_account("hunter")
    assert "Did you mean 'api_key'" in str(e.value)
    assert "connections.yml:4" in str(e.value)
    assert "s3cret" not in str(e.value)


def test_warehouse_stands_in_the_project_root(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    warehouse = load(root).open_warehouse()
    create_all(warehouse)
    warehouse.close()
    assert (root / "tiny.duckdb").is_file()


def test_duckdb_settings_of_the_profile_hold(root: Path) -> None:
    write(
        root / "profiles/profiles.yml",
        "tiny:\n  target: dev\n  outputs:\n"
        "    dev: {type: duckdb, path: t.duckdb, settings: {Calendar: japanese, TimeZone: Asia/Tokyo}}\n",
    )
    warehouse = load(root).open_warehouse()
    assert warehouse.rows("SELECT current_setting('Calendar')") == [("japanese",)]
    # But not the zone: what is written down and compared must not depend on a profile.
    assert warehouse.rows("SELECT current_setting('TimeZone')") == [("UTC",)]
    warehouse.close()


def test_memory_is_refused(root: Path) -> None:
    write(root / "profiles/profiles.yml", "tiny:\n  target: dev\n  outputs:\n    dev: {type: duckdb}\n")
    with pytest.raises(ConfigError, match=":memory:"):
        load(root).open_warehouse()
