"""rollback and drift as a person calls them, against the sandbox on loopback."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.cli_project import NAME, call, declare, source


def rows(root: Path, name: str, city: str = "") -> list[tuple[str | None, str, str]]:
    return [(f"{root.name}-{i}", f"p{i}@{root.name}.example", f"{name} {i}{city}") for i in range(4)]


def edit(root: Path, url: str, key: str, **values: str) -> None:
    """As a person does in the CRM."""
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        found = db.execute(f"SELECT destination_id FROM revetl.snapshot__{NAME} WHERE key = ?", [key]).fetchone()
    assert found is not None
    request = urllib.request.Request(
        f"{url}/crm/v3/objects/contacts/{found[0]}",
        json.dumps({"properties": values}).encode(),
        {"authorization": "Bearer pat-x", "content-type": "application/json"},
        method="PATCH",
    )
    urllib.request.urlopen(request).close()


def synced(capsys: pytest.CaptureFixture[str]) -> Any:
    code, out, _ = call(capsys, "sync", "--json")
    assert code == 0
    return json.loads(out)[0]


def test_a_bad_run_is_taken_back(
    project: Path,
    sandbox_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source(project, rows(project, "Good"))
    synced(capsys)
    source(project, rows(project, "Bad"))
    bad = synced(capsys)["run_id"]
    edit(project, sandbox_url, f"{project.name}-3", firstname="By hand")
    code, _, _ = call(capsys, "rollback", bad[-1:], "--dry-run")
    assert code == 2, "a text that fits a run by chance names none"
    code, out, _ = call(capsys, "rollback", bad[-6:], "--dry-run")
    assert (code, "3 to restore, 1 left alone" in out, "edited there since" in out) == (0, True, True)
    code, _, err = call(capsys, "rollback", bad)
    assert (code, "--yes" in err, "nothing was sent" in err) == (3, True, True)
    code, _, err = call(capsys, "rollback", bad, "--json")
    assert (code, "--yes" in err) == (2, True)
    code, out, _ = call(capsys, "rollback", bad, "--yes", "--json")
    (report,) = json.loads(out)
    assert (code, report["status"], report["counts"]) == (0, "done", {"ok": 3, "skipped": 1})
    assert report["plan"]["undone_run"] == bad
    code, out, _ = call(capsys, "plan")
    assert "4 rolled back: stay as restored until the row changes" in out
    assert synced(capsys)["plan"]["changes"] == 0
    assert f"takes back run {bad}" in call(capsys, "runs", "show", report["run_id"][-6:])[1]
    assert f"rolled back by {report['run_id']}" in call(capsys, "runs", "show", bad)[1]
    code, out, _ = call(capsys, "rollback", report["run_id"], "--yes")
    assert (code, "done" in out) == (0, True)


def test_what_cannot_be_rolled_back_is_told(
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = synced(capsys)["run_id"]
    assert "no run" in call(capsys, "rollback", "nope", "--yes")[2]
    code, _, err = call(capsys, "rollback", run, "--yes", "--sync", "hubspot__contact")
    assert (code, "Did you mean 'hubspot__contacts'?" in err) == (2, True)
    code, out, _ = call(capsys, "rollback", run, "--yes", "--key", "nobody")
    assert (code, "wrote nothing here" in out) == (0, True)


def test_drift_is_shown_accepted_and_reasserted(
    project: Path,
    sandbox_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source(project, rows(project, "Good"))
    synced(capsys)
    code, out, _ = call(capsys, "drift", NAME, "--detailed-exitcode")
    assert (code, "4 records read, 0 with drift" in out) == (0, True)
    edit(project, sandbox_url, f"{project.name}-1", firstname="[By hand]")
    edit(project, sandbox_url, f"{project.name}-2", firstname="Too")
    code, out, _ = call(capsys, "drift", NAME, "--detailed-exitcode")
    assert (code, "2 with drift (50.0%)" in out, "there stands [By hand]" in out) == (2, True, True)
    code, out, _ = call(capsys, "drift", NAME, "--accept", "firstname", "--key", f"{project.name}-1", "--json")
    assert (code, json.loads(out)["drift"]["settled"]) == (0, 1)
    code, out, _ = call(capsys, "drift", NAME, "--reassert-all", "--sync")
    assert (code, "1 record(s), 1 value(s)" in out, "done" in out) == (0, True, True)
    assert call(capsys, "drift", NAME, "--detailed-exitcode")[0] == 0
    assert synced(capsys)["plan"]["waiting"] == 1
    for wrong in (["--accept-all", "--reassert-all"], ["--sync"], ["--accept-all", "--sync"], ["--accept", "frstname"]):
        assert call(capsys, "drift", NAME, *wrong)[0] == 2
    assert "Did you mean" in call(capsys, "drift", "hubspot__contact")[2]


def test_a_reassert_names_what_a_rollback_holds_and_sends_nothing_of_it(
    project: Path,
    sandbox_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source(project, rows(project, "Good"))
    synced(capsys)
    source(project, rows(project, "Bad"))
    assert call(capsys, "rollback", synced(capsys)["run_id"], "--yes")[0] == 0
    edit(project, sandbox_url, f"{project.name}-1", firstname="By hand")
    code, out, _ = call(capsys, "drift", NAME, "--reassert", "firstname", "--sync")
    assert (code, "1 record(s) left out, rolled back" in out, f"{project.name}-1\n" in out) == (0, True, True)
    assert f"revetl retry --select {NAME} --key KEY" in out
    code, out, _ = call(capsys, "drift", NAME, "--reassert", "firstname", "--json")
    found = json.loads(out)["drift"]
    assert (code, found["settled"], found["cells"]) == (0, 0, 0)
    assert found["left_out"] == [{"status": "rolled_back", "records": 1, "keys": [f"{project.name}-1"]}]


def test_a_job_is_taken_back_sync_by_sync_the_last_first(
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from revetl.project import load
    from revetl.state.runs import get_run, of_invocation

    source(project, rows(project, "Good"))
    first = synced(capsys)["run_id"]
    warehouse = load(project, None, None).open_warehouse()
    try:
        run = get_run(warehouse, first)
        assert run is not None
        assert of_invocation(warehouse, run) == [run], "a sync on its own is its own job"
        warehouse.execute("UPDATE revetl.runs SET command = 'run', dbt_invocation_id = 'i-9', invocation_id = NULL")
        warehouse.execute(
            "INSERT INTO revetl.runs (run_id, command, subject, target, started_at, status, counts, revetl_version,"
            " dbt_invocation_id) SELECT '20990101T000000.000Z-abcdef', command, 'hubspot__companies', target,"
            " started_at + INTERVAL 1 HOUR, status, counts, revetl_version, dbt_invocation_id FROM revetl.runs"
        )
        run = get_run(warehouse, first)
        assert run is not None
        assert [r.subject for r in of_invocation(warehouse, run)] == ["hubspot__companies", NAME]
    finally:
        warehouse.close()


def test_latest_is_the_last_run_that_wrote_something(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "rollback", "latest", "--yes")[0] == 2, "nothing was written yet"
    source(project, rows(project, "Good"))
    synced(capsys)
    source(project, rows(project, "Bad"))
    bad = synced(capsys)["run_id"]
    synced(capsys)  # a quiet night
    assert call(capsys, "rollback", "latest")[0] == 3, "nobody agreed"
    code, out, _ = call(capsys, "rollback", "latest", "--yes", "--json")
    (report,) = json.loads(out)
    assert (code, report["plan"]["undone_run"], report["counts"]) == (0, bad, {"ok": 4})


def test_a_retry_that_a_guardrail_stops_lets_nothing_go(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(project, guardrails={"max_changed_share": 0.5})
    source(project, rows(project, "Good"))
    synced(capsys)
    source(project, rows(project, "Bad"))
    assert call(capsys, "sync", "--allow", "changed")[0] == 0
    assert call(capsys, "rollback", "latest", "--yes")[0] == 0
    code, _, err = call(capsys, "retry", "--status", "rolled_back")
    assert (code, "nothing was sent" in err) == (3, True)
    code, out, _ = call(capsys, "plan", "--json")
    (plan,) = json.loads(out)
    assert (code, plan["changes"], plan["waiting"]) == (0, 0, 4), "what was taken back is held back still"
