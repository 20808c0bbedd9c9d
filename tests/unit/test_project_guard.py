"""What must not be sent since nobody can say how its build ended: killed builds, views, results that were not written,
targets and profiles that are taken from the environment, models of one name."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError, GuardrailError
from revetl.model import Relation
from revetl.project import DbtFailed, load
from revetl.project.dbt import Dbt
from tests.support.project_files import SYNC, check_on, make_project, model, write, write_manifest

ID, TEST, GOLDEN, STAGED = "model.tiny.contacts", "test.tiny.t", "model.tiny.golden", "model.tiny.staged"
GOLDEN_TEST = "test.tiny.golden_t"
DONE = {ID: "success", TEST: "pass"}
ALL = {**DONE, GOLDEN: "success", GOLDEN_TEST: "pass"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("DBT_TARGET_PATH", "DBT_ENGINE_TARGET_PATH", "DBT_TARGET", "DBT_PROFILE", "WHERE"):
        monkeypatch.delenv(name, raising=False)
    root = make_project(tmp_path)
    parsed(root, "table")
    yield root
    while _KILLED:
        with suppress(KeyboardInterrupt):
            _KILLED.pop().__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def parsed(root: Path, materialized: str, between: str | None = None) -> None:
    """contacts, of this kind, over golden, a table; `between`: of this kind, a model that stands between them."""
    above = (GOLDEN,) if between is None else (STAGED,)
    more = [] if between is None else [model("staged", parents=(GOLDEN,), materialized=between)]
    write_manifest(
        root,
        model("contacts", dict(SYNC), parents=above, materialized=materialized),
        *more,
        model("golden", parents=("source.tiny.raw",)),
        check_on("t", "contacts", attached=ID),
        check_on("golden_t", "golden", attached=GOLDEN),
    )


def results(
    folder: Path, statuses: dict[str, str], at: float = 0, *, env: dict[str, str] | None = None, **args: Any
) -> None:
    """run_results.json of a command that ended `at` seconds from now, as dbt leaves it: with the file's time."""
    moment = datetime.now(UTC) + timedelta(seconds=at)
    metadata = {
        "invocation_id": f"i-{time.monotonic_ns()}",
        "generated_at": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
        "invocation_started_at": f"{moment - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S.%fZ}",
        "env": env or {},
    }
    found = [{"unique_id": id_, "status": status} for id_, status in statuses.items()]
    data = {"metadata": metadata, "args": {"which": "build", **args}, "results": found}
    touch(write(folder / "run_results.json", json.dumps(data)), at + 0.1)


def touch(file: Path, at: float) -> None:
    os.utime(file, (time.time() + at, time.time() + at))


def ran(root: Path, name: str, at: float, folder: str = "target") -> None:
    touch(write(root / f"dbt_project/{folder}/run/tiny/models/activation/{name}.sql", "select 1"), at)


def users(root: Path) -> Path:
    return root / "dbt_project/target"


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(GuardrailError) as e:
        load(root, **options).syncs()
    assert e.value.exit_code == 3
    return str(e.value)


def is_sent(root: Path) -> bool:
    return len(load(root).syncs()) == 1


# Our own build


def build(root: Path, *select: str, heard: dict[str, str] | None = None, error: BaseException | None = None) -> None:
    """A build of ours that leaves results of what it `heard`, if any, and ends with `error`."""
    project = load(root)
    with suppress(DbtFailed, KeyboardInterrupt), project.building(select):
        if heard is not None:
            results(project.artifacts.own, heard, 1)
        (project.artifacts.own / "manifest.json").touch()
        if error is not None:
            raise error


_KILLED: list[AbstractContextManager[Dbt]] = []  # kept, so that they end after the test only


def killed(root: Path, *select: str) -> None:
    """A build of ours that began, and then nothing of our process runs any more. The project is parsed anew."""
    project = load(root)
    _KILLED.append(project.building(select))
    _KILLED[-1].__enter__()
    project.artifacts.parsed(project.artifacts.fingerprint())


def test_a_build_that_was_killed_leaves_nothing_to_be_sent(root: Path) -> None:
    build(root, heard=DONE)
    assert is_sent(root)
    killed(root)
    said = refusal(root)
    assert "contacts: may have been changed by a build that began at" in said
    assert "`revetl build`" in said
    build(root, "golden", heard={GOLDEN: "success"})  # says nothing of contacts
    assert "may have been changed" in refusal(root)
    build(root, heard=ALL)
    assert is_sent(root)
    assert not [*load(root).artifacts.own.glob("revetl_build_*")]


def test_a_killed_build_of_something_else_is_no_matter(root: Path) -> None:
    build(root, heard=ALL)
    killed(root, "golden")
    assert is_sent(root)  # a table's rows are those of its own build
    killed(root, "golden+")
    assert "may have been changed" in refusal(root)


def test_the_users_own_build_mends_a_killed_one(root: Path) -> None:
    build(root, heard=DONE)
    killed(root)
    ran(root, "contacts", 3, "target/revetl/dev")
    assert "may have been changed" in refusal(root)
    results(users(root), DONE, 5)
    assert is_sent(root)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (DbtFailed("a model has a mistake"), True),  # it was not run
        (DbtFailed("killed", ran=True), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_a_build_that_ran_something_and_says_nothing_of_it(root: Path, error: BaseException, sent: bool) -> None:
    build(root, heard=DONE)
    build(root, error=error)
    if sent:
        assert is_sent(root)
    else:
        assert "may have been changed by a build" in refusal(root)


def test_a_build_whose_end_is_good_but_which_left_no_results_is_not_believed(root: Path) -> None:
    build(root, heard=DONE)
    project = load(root)
    with project.building():
        (project.artifacts.own / "manifest.json").touch()
        ran(root, "contacts", 2, "target/revetl/dev")
    assert "may have been changed by a build" in refusal(root)


def test_a_mark_that_cannot_be_read_stands_for_a_build_of_everything(root: Path) -> None:
    build(root, heard=DONE)
    touch(write(load(root).artifacts.own / "revetl_build_x.json", "{"), 5)
    assert "may have been changed by a build" in refusal(root)


def test_dbt_is_told_to_write_its_results(root: Path) -> None:
    dbt = load(root).dbt()
    assert dbt is not None
    line = dbt.line("build", ["--select", "x"])
    assert "--write-json" in line[: line.index("build")]


# The user's builds


@pytest.mark.parametrize("folder", ["target", "target/revetl/dev"])
def test_what_ran_after_the_results_that_are_there_is_not_known(root: Path, folder: str) -> None:
    """A build that was killed after it rebuilt the model, or one that wrote no JSON: the good results are older."""
    results(root / "dbt_project" / folder, DONE, -60)
    ran(root, "contacts", -60, folder)
    assert is_sent(root)
    ran(root, "contacts", -30, folder)
    said = refusal(root)
    assert "contacts: was run since by dbt" in said
    assert "`dbt build` (or `revetl build`) runs models and tests in one command" in said


@pytest.mark.parametrize("folder", ["target", "target/revetl/dev"])
def test_results_that_dbt_was_killed_writing_say_nothing_and_keep_nobody_from_building(root: Path, folder: str) -> None:
    results(root / "dbt_project" / folder, DONE, -60)
    ran(root, "contacts", -60, folder)
    assert is_sent(root)
    ran(root, "contacts", -30, folder)
    write(root / "dbt_project" / folder / "run_results.json", '{"metadata": {"inv')
    write(users(root) / "manifest.json", '{"metadata"')
    assert "contacts: was run since by dbt" in refusal(root)
    build(root, heard=DONE)
    assert is_sent(root)


def test_a_microbatch_model_is_run_in_batches(root: Path) -> None:
    node = model("contacts", dict(SYNC), materialized="incremental")
    node["config"]["incremental_strategy"] = "microbatch"
    write_manifest(root, node, check_on("t", "contacts", attached=ID))
    results(users(root), DONE, -60)
    assert is_sent(root)
    ran(root, "contacts/contacts_2026-11-01", -30)
    assert "contacts: was run since by dbt" in refusal(root)


def copied(root: Path, *, began_another: bool) -> None:
    """The target folder an hour after the build, with the times of the copy."""
    results(users(root), DONE, -3600)
    invocation = json.loads((users(root) / "run_results.json").read_text())["metadata"]["invocation_id"]
    metadata = {"project_name": "tiny", "invocation_id": "another" if began_another else invocation}
    write(users(root) / "manifest.json", json.dumps({"metadata": metadata}))
    touch(users(root) / "run_results.json", 0)


def test_in_a_copied_folder_the_manifest_says_whether_another_command_began(root: Path) -> None:
    copied(root, began_another=False)
    ran(root, "contacts", 2)  # copied after the results
    assert is_sent(root)
    ran(root, "contacts", 300)  # run after the copy
    assert "was run since by dbt" in refusal(root)
    copied(root, began_another=True)
    ran(root, "contacts", -2)  # copied before the results
    said = refusal(root)
    assert "was run since by dbt" in said
    assert "cp -p" in said


def test_times_that_are_made_up_prove_nothing(root: Path) -> None:
    copied(root, began_another=True)
    ran(root, "contacts", 0)
    for file in (users(root) / "run_results.json", users(root) / "run/tiny/models/activation/contacts.sql"):
        os.utime(file, (0, 0))  # as a reproducible archive has them
    assert "was run since by dbt" in refusal(root)


def test_run_and_then_test_is_told_the_cure(root: Path) -> None:
    ran(root, "contacts", -60)
    results(users(root), {TEST: "pass"}, which="test")
    said = refusal(root)
    assert "contacts: was never built as far as is known: dbt ran it" in said
    assert "`dbt run` and then `dbt test` leave only the results of the second" in said


# A view shows what its parents hold now


@pytest.mark.parametrize("kind", ["view", "materialized_view", "dynamic_table"])
@pytest.mark.parametrize("between", [None, "view", "ephemeral"])
def test_a_view_is_as_good_as_the_tables_below_it(root: Path, kind: str, between: str | None) -> None:
    parsed(root, kind, between)
    good = {**ALL, STAGED: "success"} if between == "view" else ALL
    results(users(root), good, -60)
    assert is_sent(root)
    results(users(root), {GOLDEN: "success", GOLDEN_TEST: "fail"}, -50)
    assert "golden, whose rows it shows: its test golden_t failed" in refusal(root)
    results(users(root), {GOLDEN: "error"}, -40)
    assert "golden, whose rows it shows: failed to build" in refusal(root)
    results(users(root), {GOLDEN: "success", GOLDEN_TEST: "pass"}, -30)
    assert "its test t has not run since golden was built" in refusal(root)
    results(users(root), {TEST: "pass"}, -20, which="test")
    assert is_sent(root)
    ran(root, "golden", -10)
    assert "golden, whose rows it shows: was run since by dbt" in refusal(root)


def test_a_table_is_not_touched_by_what_happens_to_its_parents(root: Path) -> None:
    results(users(root), ALL, -60)
    results(users(root), {GOLDEN: "error"}, -50)
    ran(root, "golden", -10)
    results(users(root), DONE, -5)
    assert is_sent(root)


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (DONE, {}, "golden, whose rows it shows: was never built"),
        (ALL, {"empty": True}, "golden, whose rows it shows: was last built with --empty"),
        (ALL, {"sample": "3 days"}, "golden, whose rows it shows: was last built with --sample"),
        (ALL, {"defer": True}, "contacts: was last built with --defer"),
    ],
)
def test_a_view_over_what_is_not_this_targets_data(
    root: Path, first: dict[str, str], then: dict[str, Any], said: str
) -> None:
    parsed(root, "view")
    results(users(root), first, -60, **then)
    assert said in refusal(root)


def test_a_view_whose_table_a_killed_build_may_have_changed(root: Path) -> None:
    parsed(root, "view")
    build(root, heard=ALL)
    killed(root, "golden")
    assert "golden, whose rows it shows: may have been changed by a build" in refusal(root)


def test_a_build_that_skipped_the_view_and_whose_results_are_gone(root: Path) -> None:
    parsed(root, "view")
    results(users(root), ALL, -60)
    assert is_sent(root)
    ran(root, "golden", -40)  # its test failed, so contacts was skipped
    results(users(root), {"model.tiny.other": "success"}, -20)
    assert "golden, whose rows it shows: was run since by dbt" in refusal(root)


# Which target, profile and database


def profiles(root: Path, target: str, path: str = "tiny.duckdb") -> None:
    write(
        root / "profiles/profiles.yml",
        f"tiny:\n  target: {target}\n  outputs:\n    dev: {{type: duckdb, path: '{path}', schema: main}}\n"
        "    prod: {type: duckdb, path: p.duckdb, schema: main}\n",
    )
    parsed(root, "table")


def test_a_target_from_the_environment_is_not_known_afterwards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles(root, "\"{{ env_var('WHERE', 'dev') }}\"")
    results(users(root), DONE, target="dev")
    assert is_sent(root)
    monkeypatch.setenv("WHERE", "prod")
    results(users(root), DONE)  # dbt may have run with another value of it
    said = refusal(root)
    assert "of a target that can't be known" in said
    assert "`dbt build --target prod`" in said
    results(users(root), DONE, target="prod")
    assert is_sent(root)


def test_a_target_from_a_variable_that_dbt_writes_down_is_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles(root, "\"{{ env_var('DBT_ENV_CUSTOM_ENV_WHERE', 'dev') }}\"")
    results(users(root), DONE, env={"WHERE": "prod"})
    assert "of the target 'prod'" in refusal(root)
    monkeypatch.setenv("DBT_ENV_CUSTOM_ENV_WHERE", "prod")
    assert is_sent(root)


def test_a_manifest_from_elsewhere_needs_a_target_that_is_known(root: Path) -> None:
    profiles(root, "\"{{ env_var('WHERE', 'dev') }}\"")
    write(root / "revetl.yml", "name: tiny\ndbt: elsewhere\n")
    results(users(root), DONE)
    manifest = json.loads((load(root).artifacts.own / "manifest.json").read_text())
    invocation = json.loads((users(root) / "run_results.json").read_text())["metadata"]["invocation_id"]
    manifest["metadata"]["invocation_id"] = invocation
    write(users(root) / "manifest.json", json.dumps(manifest))
    assert "`dbt build --target dev`" in refusal(root)


def test_results_without_a_profile_are_of_the_projects_profile(root: Path) -> None:
    shipped = root / "profiles/profiles.yml"
    write(shipped, shipped.read_text() + shipped.read_text().replace("tiny:", "second:", 1))
    results(users(root), DONE)
    artifacts = load(root, profile_name="second").artifacts
    artifacts.parsed(artifacts.fingerprint())
    assert "of the profile 'tiny'" in refusal(root, profile_name="second")


def test_results_without_a_profile_that_the_environment_names(root: Path) -> None:
    project = root / "dbt_project/dbt_project.yml"
    write(project, project.read_text().replace("profile: tiny", "profile: \"{{ env_var('WHOSE', 'tiny') }}\""))
    parsed(root, "table")
    results(users(root), DONE)
    assert "`dbt build --profile tiny`" in refusal(root)
    results(users(root), DONE, profile="tiny")
    assert is_sent(root)


def test_another_database_under_the_same_target_was_not_built(root: Path) -> None:
    profiles(root, "dev", "a/w.duckdb")
    build(root, heard=DONE)
    assert is_sent(root)
    profiles(root, "dev", "b/w.duckdb")
    assert "contacts: was never built as far as is known: the target was another database" in refusal(root)
    assert "contacts: was never built" in refusal(root)
    build(root, heard=DONE)
    assert is_sent(root)


# Models of one name


def version(number: int, *, latest: int = 2, **more: Any) -> dict[str, Any]:
    node = model("contacts", more.pop("meta", dict(SYNC)))
    node |= {"unique_id": f"{ID}.v{number}", "version": number, "latest_version": latest}
    node |= {"alias": f"contacts_v{number}", "original_file_path": f"models/activation/contacts_v{number}.sql"}
    return {**node, "fqn": ["tiny", "activation", "contacts", f"v{number}"], **more}


def test_two_versions_that_carry_one_sync_are_refused(root: Path) -> None:
    write_manifest(root, version(1), version(2))
    results(users(root), {f"{ID}.v1": "success", f"{ID}.v2": "success"})
    with pytest.raises(ConfigError, match=r"declared by several models: contacts\.v1, contacts\.v2\n.*`versions:`"):
        load(root).syncs()


def test_one_version_that_carries_it_keeps_the_models_name(root: Path) -> None:
    write_manifest(root, version(1), version(2, meta=None))
    results(users(root), {f"{ID}.v1": "success", f"{ID}.v2": "error"})
    (spec,) = load(root).syncs(["contacts.v1"])
    assert (spec.name, spec.relation.name) == ("contacts", "contacts_v1")
    assert load(root).relation("contacts") == Relation("main", "contacts_v2", "tiny")  # as ref() has it


def test_models_of_one_name_in_two_packages(root: Path) -> None:
    foreign = {**model("contacts", dict(SYNC)), "unique_id": "model.pkg.contacts", "package_name": "pkg"}
    write_manifest(root, model("contacts", dict(SYNC)), foreign)
    results(users(root), {ID: "success", "model.pkg.contacts": "success"})
    with pytest.raises(ConfigError, match=r"several models: tiny\.contacts, pkg\.contacts"):
        load(root).syncs()
    assert load(root).relation("contacts").name == "contacts"
