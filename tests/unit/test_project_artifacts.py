"""Which of dbt's artifacts are believed: where they are, of which target, project and command, and how old."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError, GuardrailError
from revetl.project import load
from revetl.project.exposures import HEADER, remove_unasked
from revetl.project.target_path import target_path
from tests.support.project_files import SYNC, check_on, make_project, model, write, write_manifest, write_results

ID, TEST = "model.tiny.contacts", "test.tiny.t"
NAMED = '"tiny"."main"."contacts"'
DONE = {ID: "success", TEST: "pass"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DBT_TARGET_PATH", "DBT_ENGINE_TARGET_PATH"):
        monkeypatch.delenv(name, raising=False)
    root = make_project(tmp_path)
    generic = {**check_on("t", "contacts", attached=ID), "original_file_path": "models/contacts.yml", "path": "t.sql"}
    write_manifest(root, {**model("contacts", dict(SYNC)), "relation_name": NAMED}, generic)
    return root


def results(folder: Path, statuses: dict[str, str], *, invocation: str = "i-1", at: str = "", **more: Any) -> None:
    """run_results.json of the user's own dbt."""
    relation = more.pop("relation", NAMED)
    data = {
        "metadata": {"invocation_id": invocation, "generated_at": at or _at(0)},
        "args": {"which": "build", **more},
        "results": [
            {"unique_id": id_, "status": status, "relation_name": relation if id_.startswith("model") else None}
            for id_, status in statuses.items()
        ],
    }
    write(folder / "run_results.json", json.dumps(data))


def _at(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(GuardrailError) as e:
        load(root, **options).syncs()
    assert e.value.exit_code == 3
    return str(e.value)


@pytest.mark.parametrize(
    ("declared", "environ", "flag", "found"),
    [
        (None, {}, None, "target"),
        ("out", {}, None, "out"),
        ('\'{{ env_var("PLACE", "far") }}/t\'', {}, None, "far/t"),
        ('\'{{ env_var("PLACE", "far") }}/t\'', {"PLACE": "/abs"}, None, "/abs/t"),
        ("out", {"DBT_TARGET_PATH": "env"}, None, "env"),
        ("out", {"DBT_TARGET_PATH": "env", "DBT_ENGINE_TARGET_PATH": "newer"}, None, "newer"),
        ("out", {"DBT_TARGET_PATH": "env"}, "flag", "flag"),
    ],
)
def test_the_target_folder_is_where_dbt_keeps_it(
    tmp_path: Path, declared: str | None, environ: dict[str, str], flag: str | None, found: str
) -> None:
    line = "" if declared is None else f"target-path: {declared}\n"
    # `flags: {target_path: …}` has no effect on dbt: it was tried.
    write(tmp_path / "dbt_project.yml", f"name: tiny\nprofile: tiny\nflags: {{target_path: no}}\n{line}")
    assert target_path(tmp_path, Path(flag) if flag else None, environ) == (tmp_path / found).resolve()


def test_a_target_folder_that_only_dbt_can_work_out_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "dbt_project.yml", "name: tiny\ntarget-path: 'out/{{ target.name }}'\n")
    with pytest.raises(ConfigError, match=r"dbt_project.yml:2: target-path: .*\n.*--target-path"):
        target_path(tmp_path, None, {})
    assert target_path(tmp_path, Path("out/dev"), {}) == (tmp_path / "out/dev").resolve()


@pytest.mark.parametrize("how", ["yml", "environment", "flag"])
def test_a_failed_test_is_refused_wherever_dbt_keeps_its_target(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder = root / "dbt_project/elsewhere"
    options: dict[str, Any] = {}
    if how == "yml":
        project = root / "dbt_project/dbt_project.yml"
        write(project, f"{project.read_text()}target-path: elsewhere\n")
    elif how == "environment":
        monkeypatch.setenv("DBT_TARGET_PATH", "elsewhere")
    else:
        options = {"target_path": Path("elsewhere")}
    artifacts = load(root, **options).artifacts
    assert artifacts.users == folder.resolve()
    manifest = (root / "dbt_project/target/revetl/dev/manifest.json").read_text()
    digest = artifacts.begin()
    write(artifacts.own / "manifest.json", manifest)
    artifacts.parsed(digest)
    results(folder, {ID: "success", TEST: "fail"})
    assert "contacts: its test t failed" in refusal(root, **options)
    # what lies in the default folder says nothing: dbt does not write there
    results(root / "dbt_project/target", DONE, invocation="i-0")
    assert "contacts: its test t failed" in refusal(root, **options)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"target": "prod"}, "of the target 'prod'"),
        ({"profile": "another"}, "of the profile 'another'"),
        ({"which": "compile"}, "of `dbt compile`"),
        ({"relation": '"tiny"."staging"."contacts"'}, '"staging"."contacts", and for this target contacts is'),
        ({"empty": True}, "with --empty"),
    ],
)
def test_results_that_say_nothing_of_this_target_are_no_results(root: Path, how: dict[str, Any], said: str) -> None:
    results(root / "dbt_project/target", DONE, **how)
    assert said in refusal(root)


def test_results_of_a_foreign_project_are_no_results(root: Path) -> None:
    target = root / "dbt_project/target"
    write(target / "manifest.json", json.dumps({"metadata": {"project_name": "other", "invocation_id": "i-1"}}))
    results(target, DONE)
    assert "of the project 'other'" in refusal(root)


def test_a_test_that_has_not_run_since_its_model_was_built_says_nothing(root: Path) -> None:
    target = root / "dbt_project/target"
    results(target, {ID: "success"})
    assert "its test t was never run" in refusal(root)
    results(target, DONE, invocation="i-2", at=_at(1))
    assert len(load(root).syncs()) == 1
    results(target, {ID: "success"}, invocation="i-3", at=_at(2), which="run")
    assert "its test t has not run since it was built" in refusal(root)
    results(target, {TEST: "pass"}, invocation="i-4", at=_at(3), which="test")
    assert len(load(root).syncs()) == 1


def test_the_later_word_counts_whoever_ran_dbt(root: Path) -> None:
    """A failure by the user's dbt after our build, and our build after it."""
    project = load(root)
    results(project.artifacts.own, DONE, invocation="ours", at=_at(-60))
    results(project.artifacts.users, {ID: "success", TEST: "fail"}, invocation="his", at=_at(-30))
    assert "its test t failed" in refusal(root)
    results(project.artifacts.own, DONE, invocation="ours again", at=_at(-10))
    assert len(load(root).syncs()) == 1


def test_what_ran_after_the_last_result_that_is_known_is_not_known(root: Path) -> None:
    """A build of everything, a failed one of contacts that nobody looked at, and one of something else."""
    target = root / "dbt_project/target"
    results(target, DONE, at=_at(-60))
    assert len(load(root).syncs()) == 1
    ran = write(target / "run/tiny/models/activation/contacts.sql", "select 1")
    results(target, {"model.tiny.other": "success"}, invocation="i-3", at=_at(0))
    assert "contacts: was run since by dbt" in refusal(root)
    os.utime(ran, (time.time() - 90, time.time() - 90))  # of the first build
    assert len(load(root).syncs()) == 1
    write(target / "run/tiny/models/contacts.yml/t.sql", "select 1")
    assert "its test t was run since by dbt" in refusal(root)


def test_a_folder_that_was_copied_here_is_believed_for_what_its_results_say(root: Path) -> None:
    target = root / "dbt_project/target"
    results(target, DONE, at=_at(-3600))
    write(target / "manifest.json", json.dumps({"metadata": {"project_name": "tiny", "invocation_id": "i-1"}}))
    write(target / "run/tiny/models/activation/contacts.sql", "select 1")  # the copy is newer than the build
    assert len(load(root).syncs()) == 1


@pytest.fixture
def without_dbt(root: Path) -> Path:
    """Only dbt's target folder is here: what another container built."""
    write(root / "revetl.yml", "name: tiny\ndbt: elsewhere\n")
    manifest = json.loads((root / "dbt_project/target/revetl/dev/manifest.json").read_text())
    manifest["metadata"]["invocation_id"] = "i-1"
    write(root / "dbt_project/target/manifest.json", json.dumps(manifest))
    return root


def test_a_manifest_from_elsewhere_is_believed_with_the_results_of_its_own_command(without_dbt: Path) -> None:
    target = without_dbt / "dbt_project/target"
    assert "of which target" in refusal(without_dbt)
    results(target, DONE, invocation="i-2")
    assert "not of the same dbt command" in refusal(without_dbt)
    results(target, DONE, target="prod")
    assert "of the target 'prod', this is 'dev'" in refusal(without_dbt)
    results(target, DONE)
    assert [s.name for s in load(without_dbt).syncs()] == ["contacts"]


def test_a_manifest_of_another_project_is_refused(without_dbt: Path) -> None:
    path = without_dbt / "dbt_project/target/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["metadata"]["project_name"] = "other"
    write(path, json.dumps(manifest))
    results(path.parent, DONE)
    with pytest.raises(ConfigError, match="of the project 'other', this is 'tiny'"):
        load(without_dbt).syncs()


def test_a_model_whose_file_is_gone_is_refused_although_dbt_is_elsewhere(without_dbt: Path) -> None:
    results(without_dbt / "dbt_project/target", DONE)
    write(without_dbt / "dbt_project/models/activation/another.sql", "select 1")
    (without_dbt / "dbt_project/models/activation/contacts.sql").unlink()
    with pytest.raises(ConfigError, match=r"contacts\.sql is gone"):
        load(without_dbt).syncs()


def test_a_parse_holds_until_something_that_it_depends_on_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_current(**options: Any) -> bool:
        return load(root, **options).artifacts.is_current()

    assert is_current()
    sql = root / "dbt_project/models/activation/contacts.sql"
    os.utime(sql, (time.time() + 5, time.time() + 5))
    assert is_current()  # by content: a checkout touches every file
    assert not is_current(vars="{a: 1}")
    before = sql.read_text()
    for changed in (f"{before} ", before + " -- {{ env_var('PLACE', 'x') }}"):
        write(sql, changed)
        assert not is_current()
    artifacts = load(root).artifacts
    digest = artifacts.begin()
    artifacts.parsed(digest)
    assert is_current()
    monkeypatch.setenv("PLACE", "there")
    assert not is_current()
    monkeypatch.delenv("PLACE")
    assert is_current()
    sql.rename(sql.with_name("moved.sql"))
    assert not is_current()


def test_two_targets_share_no_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_PROD_PATH", "p.duckdb")
    assert load(root).artifacts.own != load(root, target="prod").artifacts.own


def test_exposures_that_nobody_asked_for_are_removed_and_others_left_alone(root: Path) -> None:
    dbt_dir = root / "dbt_project"
    old = write(
        dbt_dir / "models/exposures/revetl.yml",
        "# Written by `revetl build`, one exposure per sync. Change the model's config.meta.revetl, not this file.\n"
        "exposures: []\n",
    )
    assert HEADER.startswith(old.read_text()[:40])
    remove_unasked(dbt_dir, wanted=old)
    assert old.exists()
    remove_unasked(dbt_dir, wanted=None)
    assert not old.exists()
    write(old, "exposures: []  # own\n")
    remove_unasked(dbt_dir, wanted=None)
    assert old.exists()


def test_a_mirror_that_deletes_has_a_limit_that_the_plan_shows(root: Path) -> None:
    def limit(**meta: Any) -> tuple[float | None, bool]:
        write_manifest(root, model("contacts", {**SYNC, "mode": "mirror", **meta}))
        write_results(root, {ID: "success"}, "i-9")
        (spec,) = load(root).syncs()
        return spec.guardrails.max_deleted_share, spec.guardrails.deletes_declared

    assert limit(on_leave="archive") == limit(on_leave="clear") == (0.1, False)
    assert limit(on_leave="ignore") == (None, False)
    assert limit(on_leave="archive", guardrails={"max_deleted_share": 0.8}) == (0.8, True)
    assert limit(on_leave="archive", guardrails={"max_deleted_share": None}) == (None, True)
    assert limit(on_leave="clear", guardrails={"min_rows": 3}) == (0.1, False)
