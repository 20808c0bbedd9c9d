"""The runs of one command stand together in `runs`, are shown together, and are taken back together only when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.cli_project import COLUMNS, NAME, SYNC, call, source
from tests.support.project_files import model, write_manifest, write_results

OTHER = "hubspot__companies"
DOMAINS = {"destination": "hubspot", "object": "companies", "key": "golden_id", "match_on": "domain"}


@pytest.fixture
def two(project: Path) -> Path:
    """A second sync beside the contacts."""
    columns = ("golden_id", "domain", "name")
    write_manifest(project, model(NAME, SYNC, columns=COLUMNS), model(OTHER, DOMAINS, columns=columns))
    write_results(project, {f"model.tiny.{name}": "success" for name in (NAME, OTHER)})
    companies(project, "Good")
    return project


def companies(root: Path, name: str) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"CREATE OR REPLACE TABLE {OTHER} (golden_id VARCHAR, domain VARCHAR, name VARCHAR)")
        rows = [(f"{root.name}-c{i}", f"c{i}.{root.name}.example", f"{name} {i}") for i in range(3)]
        db.executemany(f"INSERT INTO {OTHER} VALUES (?, ?, ?)", rows)


def people(root: Path, name: str) -> None:
    source(root, [(f"{root.name}-{i}", f"p{i}@{root.name}.example", f"{name} {i}") for i in range(4)])


def both(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    code, out, err = call(capsys, "run", "--no-build", "--yes", "--json")
    assert code == 0, err
    syncs: list[Any] = json.loads(out)["syncs"]
    return syncs


@pytest.fixture
def bad(two: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The rows in `runs` of a `revetl run` that sent wrong values; a good one came before it, of the same build."""
    people(two, "Good")
    both(capsys)
    people(two, "Bad")
    companies(two, "Bad")
    both(capsys)
    runs = json.loads(call(capsys, "runs", "--limit", "1", "--json")[1])
    assert {r["subject"] for r in runs} == {NAME, OTHER}
    return list(runs)


def test_the_runs_of_one_command_are_listed_below_one_line(
    bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    every = json.loads(call(capsys, "runs", "--json")[1])
    assert len({r["invocation_id"] for r in every}) == 2, "two runs of one build are two invocations"
    assert len({r["invocation_id"] for r in bad}) == 1
    _, out, _ = call(capsys, "runs", "--limit", "1")
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    head = next(i for i, line in enumerate(lines) if bad[0]["invocation_id"][-6:] in line)
    assert ("2 runs" in lines[head], " 7" in lines[head]) == (True, True)
    below = lines[head + 1 :]
    assert [line.split()[0] for line in below] == [r["run_id"][-6:] for r in reversed(bad)]
    assert all(line.startswith("   ") for line in below)
    assert max(map(len, lines)) <= 80


def test_an_invocation_is_shown_with_all_of_its_runs(
    bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (bad[0]["invocation_id"], bad[0]["invocation_id"][-6:], "latest"):
        code, out, _ = call(capsys, "runs", "show", name)
        assert (code, all(r["run_id"] in out for r in bad)) == (0, True), name
    code, out, _ = call(capsys, "runs", "show", "latest", "--json")
    assert [d["run"]["run_id"] for d in json.loads(out)] == [r["run_id"] for r in reversed(bad)]
    code, out, _ = call(capsys, "runs", "show", bad[0]["run_id"][:-3])
    assert (code, bad[0]["run_id"] in out, bad[1]["run_id"] in out) == (0, True, False)


def test_a_name_that_fits_several_runs_is_refused_by_listing_them(
    bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    day = bad[0]["run_id"][:8]
    for command in (["runs", "show", day], ["rollback", day, "--yes"], ["retry", "--run", day]):
        code, _, err = call(capsys, *command)
        assert (code, all(r["run_id"] in err for r in bad), "fits 6 runs" in err) == (2, True, True), command
    code, _, err = call(capsys, "retry", "--run", bad[0]["invocation_id"])
    assert (code, "name one" in err) == (2, True)


def values_of(root: Path) -> dict[str, set[str]]:
    """What the first words of the names are that stand at the destination, as far as is known."""
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        held = {
            NAME: db.execute(f"SELECT firstname FROM revetl.snapshot__{NAME}").fetchall(),
            OTHER: db.execute(f"SELECT name FROM revetl.snapshot__{OTHER}").fetchall(),
        }
    return {sync: {str(value).split()[0] for (value,) in rows} for sync, rows in held.items()}


def test_the_rollback_of_one_run_names_the_others_and_leaves_them(
    two: Path, bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    of_people = next(r for r in bad if r["subject"] == NAME)
    of_companies = next(r for r in bad if r["subject"] == OTHER)
    code, out, err = call(capsys, "rollback", of_people["run_id"], "--yes")
    assert (code, "4 to restore" in out) == (0, True)
    assert f"Not taken back: {OTHER} ({of_companies['run_id'][-6:]}), of the same `revetl run`" in err
    assert f"revetl rollback {of_people['invocation_id'][-6:]}" in err
    assert values_of(two) == {NAME: {"Good"}, OTHER: {"Bad"}}


def test_the_rollback_of_an_invocation_shows_all_of_it_and_asks_once(
    two: Path, bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    invocation = bad[0]["invocation_id"]
    code, out, err = call(capsys, "rollback", invocation)
    assert (code, "nothing was sent" in err, NAME in out, OTHER in out) == (3, True, True, True)
    assert "2 syncs: 7 to restore; 6 request(s) (4 to read, 2 to write)" in out
    assert values_of(two) == {NAME: {"Bad"}, OTHER: {"Bad"}}
    code, out, _ = call(capsys, "rollback", invocation, "--yes", "--json")
    assert (code, sorted(r["counts"]["ok"] for r in json.loads(out))) == (0, [3, 4])
    assert values_of(two) == {NAME: {"Good"}, OTHER: {"Good"}}


def test_only_one_sync_of_an_invocation_is_taken_back(
    two: Path, bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "rollback", bad[0]["invocation_id"], "--sync", OTHER, "--yes")
    assert (code, f"Not taken back: {NAME}" in err) == (0, True)
    assert values_of(two) == {NAME: {"Bad"}, OTHER: {"Good"}}


def test_a_state_of_an_earlier_version_is_read_and_gets_the_column(
    two: Path, bad: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(two / "tiny.duckdb")) as db:
        db.execute("ALTER TABLE revetl.runs DROP COLUMN invocation_id")
        db.execute("UPDATE revetl.runs SET dbt_invocation_id = 'build-1' WHERE run_id = ?", [bad[0]["run_id"]])
        db.execute("UPDATE revetl.runs SET dbt_invocation_id = 'build-1' WHERE run_id = ?", [bad[1]["run_id"]])
    newest = json.loads(call(capsys, "runs", "--limit", "1", "--json")[1])
    assert {r["run_id"] for r in newest} == {r["run_id"] for r in bad}, "told by the build that they made"
    assert call(capsys, "runs", "show", "build-1")[0] == 0
    people(two, "Better")
    both(capsys)
    newest = json.loads(call(capsys, "runs", "--limit", "1", "--json")[1])
    assert (len(newest), newest[0]["invocation_id"] != "build-1") == (2, True)


def renamed(root: Path) -> None:
    new = "hubspot__people"
    write_manifest(root, model(new, {**SYNC, "renamed_from": NAME}, columns=COLUMNS))
    write_results(root, {f"model.tiny.{new}": "success"})
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"ALTER TABLE {NAME} RENAME TO {new}")


def test_a_run_of_a_sync_that_was_renamed_since_is_taken_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people(project, "Good")
    assert call(capsys, "sync")[0] == 0
    people(project, "Bad")
    run_id = json.loads(call(capsys, "sync", "--json")[1])[0]["run_id"]
    renamed(project)
    code, out, err = call(capsys, "rollback", run_id, "--yes")
    assert (code, "4 to restore" in out, "has taken over the state" in err) == (0, True, True), err


def test_drift_looks_at_what_the_old_name_wrote(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(project, "Good")
    assert call(capsys, "sync")[0] == 0
    renamed(project)
    code, out, err = call(capsys, "drift", "hubspot__people")
    assert (code, "4 records read, 0 with drift" in out, "has taken over the state" in err) == (0, True, True)
