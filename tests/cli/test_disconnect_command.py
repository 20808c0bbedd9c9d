"""`revetl disconnect` and sagas as a person calls them, against the sandbox on loopback."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl import api
from revetl.errors import GuardrailError
from revetl.project import load
from revetl.project.exposures import write_exposures
from revetl.project.settings import Owner
from tests.cli.test_invocations import renamed
from tests.cli.test_rollback_commands import edit
from tests.support.cli_project import COLUMNS, NAME, SYNC, call, declare, source
from tests.support.project_files import model, write_manifest, write_results


def tables(root: Path) -> list[str]:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        found = db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'revetl'").fetchall()
    return sorted(name for (name,) in found if name.endswith(f"__{NAME}"))


def listed(out: str) -> Any:
    return json.loads(out)


def test_a_destination_is_left(
    project: Path, sandbox_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(capsys, "sync")[0] == 0
    edit(project, sandbox_url, f"{project.name}-3", firstname="By hand")
    code, out, _ = call(capsys, "disconnect", NAME, "--archive", "--dry-run")
    assert code == 0
    assert "5 record(s) known there: 5 that it created" in out
    assert "4 to archive, 1 left alone" in out
    code, out, err = call(capsys, "disconnect", NAME)
    assert (code, "--yes" in err, "nothing was changed" in err) == (3, True, True)
    code, _, err = call(capsys, "disconnect", NAME, "--json")
    assert (code, "--yes" in err) == (2, True)
    assert tables(project)
    file = tmp_path / "mapping.csv"
    code, out, err = call(capsys, "disconnect", NAME, "--archive", "--mapping", str(file), "--yes")
    assert (code, tables(project)) == (0, [])
    assert "its state is gone" in out
    assert "is still declared in" in err
    assert [row["key"] for row in csv.DictReader(file.open())] == [f"{project.name}-3"]
    code, out, _ = call(capsys, "disconnect", NAME, "--yes", "--json")
    assert (code, listed(out)["already"]) == (0, True)
    # Nothing is sent any more; the command ends well, and says so.
    code, out, err = call(capsys, "sync", "--json")
    assert (code, listed(out), "was disconnected on" in err) == (0, [], True)
    code, _, err = call(capsys, "sync")
    assert (code, "Every sync was disconnected: nothing to send." in err) == (0, True)
    code, out, _ = call(capsys, "plan", "--json")
    assert (code, listed(out)) == (0, [])
    # And then it is again.
    code, out, _ = call(capsys, "disconnect", NAME, "--reconnect")
    assert (code, "runs send it again" in out) == (0, True)
    code, out, _ = call(capsys, "sync", "--json")
    assert (code, listed(out)[0]["done"]["created"], listed(out)[0]["plan"]["create"]) == (0, 4, 4)


def test_a_sync_that_no_model_declares_any_more_is_left_by_its_name(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "sync")[0] == 0
    write_manifest(project, model(NAME, columns=COLUMNS))
    code, _, err = call(capsys, "disconnect", "hubspot__contact", "--yes")
    assert (code, f"Did you mean {NAME!r}" in err) == (2, True)
    assert call(capsys, "disconnect", NAME, "--reconnect")[0] == 2
    code, out, _ = call(capsys, "disconnect", NAME, "--clear", "--yes", "--json")
    report = listed(out)
    assert (code, report["disconnected"], report["counts"]) == (0, True, {"ok": 5})
    assert report["plan"]["standing"]["created"] == 5
    assert tables(project) == []


@pytest.mark.parametrize("older", [False, True], ids=["as it is", "a warehouse of before the disconnect"])
def test_a_sync_that_was_left_is_left_under_another_name(
    project: Path, capsys: pytest.CaptureFixture[str], older: bool
) -> None:
    assert call(capsys, "sync")[0] == 0
    assert call(capsys, "disconnect", NAME, "--yes")[0] == 0
    if older:
        with duckdb.connect(str(project / "tiny.duckdb")) as db:
            db.execute("UPDATE revetl.syncs SET disconnect_at = NULL, disconnected_at = NULL")
            db.execute("DELETE FROM revetl.runs WHERE command = 'disconnect'")
    renamed(project)
    write_results(project, {"model.tiny.hubspot__people": "success"}, invocation="i-2")
    for command in ("plan", "sync"):
        code, out, err = call(capsys, command, "--json")
        assert (code, listed(out), "was disconnected on" in err) == (0, [], True), err
    assert call(capsys, "disconnect", "hubspot__people", "--reconnect")[0] == 0
    for known in (0, 5):
        code, out, err = call(capsys, "sync", "--json")
        [report] = listed(out)
        assert (code, report["plan"]["source_rows"], report["plan"]["snapshot_rows"]) == (0, 5, known), err


def test_a_plan_of_before_the_sync_was_left_says_why_it_is_not_applied(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(project / "plan.json")
    assert call(capsys, "sync")[0] == 0
    assert call(capsys, "plan", "--out", plan)[0] == 0
    assert call(capsys, "disconnect", NAME, "--yes")[0] == 0
    assert call(capsys, "disconnect", NAME, "--reconnect")[0] == 0
    code, _, err = call(capsys, "apply", plan)
    assert (code, "was made before the sync was disconnected; nothing was sent" in err) == (3, True), err


def test_flags_that_go_together(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "disconnect", NAME, "--reconnect", "--clear")[0] == 2
    assert call(capsys, "disconnect", NAME, "--mapping", "keys.xlsx", "--yes")[0] == 2


@pytest.fixture
def pair(project: Path) -> Path:
    """Two syncs of the five people that stand or fall together: contacts, and companies by the same rows."""
    (project / "revetl.yml").write_text("name: tiny\nsagas:\n  people: {syncs: ['tag:pair']}\n")
    other = {**SYNC, "object": "companies", "match_on": "domain"}
    write_manifest(
        project,
        model(NAME, SYNC, columns=COLUMNS, tags=("pair",)),
        model("hubspot__firms", other, columns=("golden_id", "domain", "name"), tags=("pair",)),
    )
    write_results(project, {f"model.tiny.{NAME}": "success", "model.tiny.hubspot__firms": "success"})
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute("CREATE TABLE hubspot__firms (golden_id VARCHAR, domain VARCHAR, name VARCHAR)")
        db.execute("INSERT INTO hubspot__firms VALUES ('f', ?, 'Firm')", [f"{project.name}.example"])
    return project


def test_a_plan_says_who_stands_or_falls_together(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "plan", "--json")
    said = {plan["sync"]: " ".join(plan["consequences"]) for plan in listed(out)}
    assert code == 0
    assert "stands or falls with hubspot__firms (the saga people): past a failed record" in said[NAME]
    assert f"stands or falls with {NAME}" in said["hubspot__firms"]
    code, _, err = call(capsys, "sync", "-s", NAME)
    assert (code, "Select all of them: -s" in err) == (2, True)
    assert call(capsys, "run", "--no-build", "-s", NAME)[0] == 2


def test_a_saga_that_falls_ends_with_3(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = [(f"{pair.name}-{i}", f"p{i}@{pair.name}.example", f"P {i}") for i in range(4)]
    source(pair, [*people, (f"{pair.name}-x", "no address", "X")])
    code, out, err = call(capsys, "sync")
    assert code == 3
    assert "saga people: taken back (1 record(s) failed, of which 0 may)" in out
    assert "what its syncs wrote is taken back" in err
    with duckdb.connect(str(pair / "tiny.duckdb")) as db:
        assert db.execute("SELECT count(*) FROM revetl.snapshot__hubspot__contacts").fetchall() == [(0,)]
        assert db.execute("SELECT step FROM revetl.sagas").fetchall() == [("undone",)]
    code, _, err = call(capsys, "sync")
    assert (code, "were refused before and stand as they did" in err) == (3, True)
    source(pair, people)
    code, out, _ = call(capsys, "sync", "--json")
    assert (code, [report["saga"]["step"] for report in listed(out)]) == (0, ["done", "done"])


def test_a_saved_plan_of_a_saga_is_applied_whole(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "plan", "--out", str(pair / "one.json"), "-s", NAME)[0] == 0
    assert call(capsys, "apply", str(pair / "one.json"))[0] == 2
    assert call(capsys, "plan", "--out", str(pair / "both.json"))[0] == 0
    code, out, _ = call(capsys, "apply", str(pair / "both.json"), "--json")
    assert (code, {r["saga"]["step"] for r in listed(out)}) == (0, {"done"})


def test_the_same_from_python(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "sync")[0] == 0
    plan = api.disconnect(NAME, way="clear", dry_run=True).plan
    assert (plan.standing.created, plan.changes is not None and plan.changes.restore) == (5, 5)
    with pytest.raises(GuardrailError, match="not confirmed"):
        api.disconnect(NAME, confirm=lambda _: False)
    assert api.disconnect(NAME).disconnected
    assert tables(project) == []
    with pytest.raises(ValueError, match="away"):
        api.disconnect(NAME, way="away")


def in_state(root: Path, sql: str) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(sql)


def test_state_of_an_earlier_version_tells_where_it_was_sent_by_the_model_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "sync")[0] == 0
    in_state(project, "DELETE FROM revetl.syncs")
    code, out, _ = call(capsys, "disconnect", NAME, "--archive", "--dry-run", "--json")
    assert (code, listed(out)["plan"]["changes"]["archive"]) == (0, 5)
    write_manifest(project, model(NAME, columns=COLUMNS))
    code, _, err = call(capsys, "disconnect", NAME, "--archive", "--yes")
    assert (code, "Declare it once more, or `--leave`" in err) == (2, True)
    code, out, _ = call(capsys, "disconnect", NAME, "--yes")
    assert (code, tables(project)) == (0, [])


def test_a_saga_is_ended_before_one_of_its_destinations_is_left(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "sync")[0] == 0
    in_state(project, "INSERT INTO revetl.sagas (saga_id, saga, step) VALUES ('s', 'people', 'undoing')")
    in_state(project, f"INSERT INTO revetl.saga_runs VALUES ('s', 0, '{NAME}', 'r', NULL, NULL)")
    code, _, err = call(capsys, "disconnect", NAME, "--yes")
    assert (code, "the saga people is half undone; nothing was changed" in err) == (3, True)
    assert tables(project)


def test_exposures_name_it_no_more(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "revetl.yml").write_text("name: tiny\nexposures: dbt_project/models/exposures.yml\n")
    file = project / "dbt_project/models/exposures.yml"
    declare(project)
    assert call(capsys, "sync")[0] == 0
    write_exposures(file, load(project).syncs(verified=False), Owner(name="x"))
    assert NAME in file.read_text()
    write_manifest(project, model(NAME, SYNC, columns=COLUMNS))
    assert call(capsys, "disconnect", NAME, "--yes")[0] == 0
    assert not file.exists()
