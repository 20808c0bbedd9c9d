"""plan, sync, runs, explain and retry as a person calls them, against the sandbox on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import NAME, call, declare, source


def first_key(root: Path) -> str:
    return f"{root.name}-0"


def test_from_plan_to_explain(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "plan", "--detailed-exitcode", "--json")
    (plan,) = json.loads(out)
    assert (code, plan["create"], plan["requests"]) == (2, 5, 1)
    code, out, _ = call(capsys, "plan")
    assert code == 0
    assert f"P 0@{project.name}" not in out
    assert "create" in out
    code, out, _ = call(capsys, "sync", "--json")
    (report,) = json.loads(out)
    assert (code, report["status"], report["counts"]) == (0, "done", {"ok": 5})
    assert call(capsys, "plan", "--detailed-exitcode")[0] == 0
    code, out, _ = call(capsys, "runs")
    assert (code, NAME in out) == (0, True)
    code, out, _ = call(capsys, "runs", report["run_id"][-6:], "--json")
    assert json.loads(out)["run"]["run_id"] == report["run_id"]
    code, out, _ = call(capsys, "explain", first_key(project))
    assert code == 0
    assert f"p0@{project.name}.example" in out
    assert "outcomes" in out
    code, _, err = call(capsys, "explain", "nobody")
    assert (code, "nothing is known" in err) == (2, True)


def test_a_rejected_record_is_shown_with_its_reason_and_retried(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source(project, [("good", f"good@{project.name}.example", "G"), ("bad", "not an email", "B")])
    code, out, _ = call(capsys, "sync", "--json")
    (report,) = json.loads(out)
    assert (code, report["counts"]) == (1, {"ok": 1, "rejected": 1})
    _, out, _ = call(capsys, "runs", report["run_id"])
    assert "bad" in out
    assert "rejected" in out
    code, out, _ = call(capsys, "sync", "--json")
    assert (code, json.loads(out)[0]["plan"]["waiting"]) == (1, 1)
    assert json.loads(out)[0]["waiting_reasons"] == {"INVALID_EMAIL": 1}
    code, out, _ = call(capsys, "sync")
    assert (
        code,
        f"{NAME}: 1 record(s) wait (1 rejected): revetl retry --dry-run --select {NAME}" in out,
        "  why: 1 INVALID_EMAIL" in out,
    ) == (1, True, True)
    code, out, _ = call(capsys, "runs", "show", "latest")
    assert (code, "1 record(s) wait: 1 INVALID_EMAIL" in out) == (0, True)
    code, out, _ = call(capsys, "runs")
    assert (code, "waiting" in out) == (0, True)
    code, out, _ = call(capsys, "retry", "--dry-run")
    assert (code, "until their rows change" in out) == (0, True)
    code, out, _ = call(capsys, "retry", "--key", "bad", "--json")
    assert (code, json.loads(out)[0]["counts"]) == (1, {"rejected": 1})
    assert call(capsys, "retry", "--key", "good")[1] == "No record and no link waits.\n"


def test_bad_input_gets_a_clear_answer(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(project, [(None, "a@x.example", "A"), ("k", "b@x.example", "B")])
    code, _, err = call(capsys, "sync")
    assert (code, "have no golden_id" in err) == (2, True)
    source(project, [("k", "a@x.example", "A"), ("k", "b@x.example", "B")])
    code, _, err = call(capsys, "sync")
    assert (code, "'k' (2 times)" in err) == (2, True)
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"DELETE FROM {NAME}; ALTER TABLE {NAME} RENAME firstname TO firstnam")
        db.execute(f"INSERT INTO {NAME} VALUES ('k', 'a@x.example', 'A')")
    declare(project, ("golden_id", "email", "firstnam"))
    code, _, err = call(capsys, "plan")
    assert (code, "'firstnam'" in err, "'firstname'" in err) == (2, True, True)


def test_a_host_that_is_down_is_told_and_the_next_run_takes_up(
    project: Path, sandbox_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from revetl.destinations.hubspot import HubSpot
    from revetl.errors import Unavailable

    async def away(*_: object) -> list[object]:
        raise Unavailable("hubspot can't be reached")

    monkeypatch.setattr(HubSpot, "write", away)
    code, out, _ = call(capsys, "sync")
    assert (code, "can't be reached" in out, "not sent" in out) == (1, True, True)
    monkeypatch.undo()
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(project))
    code, out, _ = call(capsys, "sync", "--json")
    assert (code, json.loads(out)[0]["counts"]) == (0, {"ok": 5})


def test_refused_credentials_say_where_they_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "profiles/connections.yml"
    file.write_text(file.read_text().replace("pat-test", "pat-bad"))
    for command in ("plan", "sync"):
        code, out, err = call(capsys, command)
        assert (code, "401" in out + err, "profiles/connections.yml" in out + err) == (4, True, True)
        assert "or in connections.yml beside revetl.yml" in " ".join((out + err).split())  # where init writes it


@pytest.mark.parametrize("command", ["plan", "sync"])
def test_where_every_sync_is_excluded_it_is_said_so(
    project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, _, err = call(capsys, command, "--exclude", NAME)
    assert (code, f"--exclude {NAME} leaves none of the syncs {NAME}" in " ".join(err.split())) == (0, True)
