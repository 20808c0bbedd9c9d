"""plan, apply, guardrails, runs show and --wait as a person calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import COLUMNS, NAME, SYNC, call, declare, source
from tests.support.project_files import model, write_manifest, write_results


@pytest.fixture(autouse=True)
def _as_a_terminal_of_80_columns_shows_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def people(root: Path, *names: str) -> None:
    """The first people of the model, with these first names."""
    source(root, [(f"{root.name}-{i}", f"p{i}@{root.name}.example", name) for i, name in enumerate(names)])


def test_plan_saved_reviewed_and_applied(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "plan.json"
    code, out, err = call(capsys, "plan", "--out", str(file), "--detailed-exitcode")
    assert (code, "revetl apply" in err) == (2, True)
    assert "first sync" in out
    assert project.name not in file.read_text(), "no key, no value"
    people(project, "Moved", "On")
    code, out, err = call(capsys, "apply", str(file), "--json")
    assert code == 0, err
    (report,) = json.loads(out)
    assert (code, report["counts"], report["plan"]["create"]) == (0, {"ok": 5}, 5)
    code, _, err = call(capsys, "apply", str(file))
    assert (code, "applied already" in err) == (3, True)
    code, out, _ = call(capsys, "plan", "--json")
    assert json.loads(out)[0]["update"] == 2, "the next sync sends what the plan did not have"
    code, out, _ = call(capsys, "runs", "--json")
    assert [run["command"] for run in json.loads(out)] == ["apply"]


def test_one_file_for_several_syncs_all_or_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, file = "hubspot__leads", project / "plan.json"
    write_manifest(project, *(model(name, SYNC, columns=COLUMNS) for name in (NAME, other)))
    write_results(project, {f"model.tiny.{name}": "success" for name in (NAME, other)})
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            f"CREATE TABLE {other} AS SELECT 'lead' AS golden_id, 'l@{project.name}.example' AS email, 'L' AS firstname"
        )
    call(capsys, "plan", "--out", str(file))
    call(capsys, "sync", "--select", other)
    code, _, err = call(capsys, "apply", str(file))
    assert (code, f"{other}: the plan is stale" in err) == (3, True)
    assert json.loads(call(capsys, "plan", "--json", "-s", NAME)[1])[0]["create"] == 5, "the first was not sent either"
    call(capsys, "plan", "--out", str(file))
    code, out, _ = call(capsys, "apply", str(file), "--json")
    assert (code, [r["counts"] for r in json.loads(out)]) == (0, [{"ok": 5}, {}])


def test_apply_refuses_what_was_altered(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "plan.json"
    call(capsys, "plan", "--out", str(file))
    file.write_text(file.read_text().replace('"create": 5', '"create": 4'))
    code, _, err = call(capsys, "apply", str(file))
    assert (code, "altered" in err, str(file) in err) == (2, True, True)
    assert call(capsys, "apply", str(project / "none.json"))[0] == 2
    assert json.loads(call(capsys, "plan", "--json")[1])[0]["create"] == 5, "nothing was sent"


def test_rows_one_by_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "sync")
    people(project, "P 0", "Anna", "Bea", "P 3", "P 4")
    key = f"{project.name}-1"
    _, out, _ = call(capsys, "plan", "--rows", "all")
    assert out.count("→ Anna") == out.count("→ Bea") == 1
    _, out, _ = call(capsys, "plan", "--rows", "1")
    assert ("Anna" in out, "Bea" in out, "--rows all" in out) == (True, False, True)
    _, out, _ = call(capsys, "plan", "--show", key, "--show", f"{project.name}-0", "--show", "nobody")
    assert "P 1 → Anna" in out
    assert "same: the destination is known to hold these values" in out
    assert "neither in the model" in out
    _, out, _ = call(capsys, "plan", "--field", "firstname", "--json", "--rows", "all")
    (plan,) = json.loads(out)
    assert [row["fields"] for row in plan["rows"]] == [{"firstname": ["P 1", "Anna"]}, {"firstname": ["P 2", "Bea"]}]
    assert (plan["fields"], plan["forecast"]["writes"]) == ({"firstname": 2}, {"update": 1})
    code, _, err = call(capsys, "plan", "--field", "firstnam")
    assert (code, "sends no field 'firstnam'" in err, "'firstname'" in err) == (2, True, True)
    for bad in (["--rows", "0"], ["--wait", "soon"]):
        assert call(capsys, "plan", *bad)[0] == 2


def test_markdown_for_a_pull_request(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(project, "a|b\n<script>", "`x`")
    code, out, _ = call(capsys, "plan", "--format", "markdown", "--detailed-exitcode")
    assert code == 2
    assert f"| `{NAME}` | 2 | 0 |" in out
    assert "<details>" in out
    assert project.name not in out, "no key, no value"
    _, out, _ = call(capsys, "plan", "--format", "markdown", "--samples", "5")
    assert "a\\|b &lt;script&gt;" in out
    assert "\\`x\\`" in out
    call(capsys, "sync")
    code, out, _ = call(capsys, "plan", "--format", "markdown", "--detailed-exitcode")
    assert (code, "No changes" in out) == (0, True)


def test_guardrails_stop_are_allowed_and_are_shown_with_the_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "sync")
    declare(project, guardrails={"max_changed_share": 0.5})
    people(project, *"ABCDE")
    code, out, _ = call(capsys, "plan", "--detailed-exitcode")
    assert (code, "guardrail changed" in out) == (3, True)
    code, _, err = call(capsys, "sync")
    assert (code, "--allow changed" in err) == (3, True)
    code, _, err = call(capsys, "sync", "--allow", "chnged")
    assert (code, "no guardrail" in err) == (2, True)
    assert call(capsys, "sync", "--allow", "changed,fill")[0] == 0
    (newest, stopped, _) = json.loads(call(capsys, "runs", "--json")[1])
    assert (list(newest["overrides"]), stopped["status"]) == (["changed"], "stopped")
    _, out, _ = call(capsys, "runs", "show", newest["run_id"][-6:])
    assert "passed by --allow changed: 5 of 5 records" in out


def test_runs_show_goes_down_to_one_record(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(project, [("good", f"g@{project.name}.example", "G"), ("bad", "not an email", "B")])
    call(capsys, "sync")
    (run,) = json.loads(call(capsys, "runs", "--json")[1])
    id_ = run["run_id"][-6:]
    _, out, _ = call(capsys, "runs", "show", id_, "--key", "bad")
    assert "create rejected INVALID_EMAIL" in out
    assert "revetl retry --key bad" in out
    _, out, _ = call(capsys, "runs", "show", id_, "--key", "good", "--json")
    told = json.loads(out)
    assert (told["record"]["outcomes"][0]["after"]["firstname"], told["record"]["in_doubt"]) == ("G", False)
    _, out, _ = call(capsys, "runs", id_, "--key", "stranger")
    assert "not touched by this run" in out
    for bad in (["show"], ["--key", "x"], [id_, id_]):
        assert call(capsys, "runs", *bad)[0] == 2


def test_tables_fit_eighty_columns(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(project, [(f"k{i}", "same@x.example", "x" * 90) for i in range(3)])
    shown = [call(capsys, *words)[1] for words in (["plan"], ["sync"], ["runs"])]
    run_id = json.loads(call(capsys, "runs", "--json")[1])[0]["run_id"]
    shown.append(call(capsys, "runs", "show", run_id)[1])
    for out in shown:
        assert NAME in out
        assert max(map(len, out.splitlines())) <= 80


HOLD = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_a_file_that_another_process_has_open(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from revetl.usecases import caller

    monkeypatch.setattr(caller, "_POLL_S", 0.05)
    words = [sys.executable, "-c", HOLD, str(project / "tiny.duckdb")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        code, _, err = call(capsys, "sync")
        assert (code, f"process {holder.pid}" in err, "--wait" in err) == (1, True, True)
        leaves = threading.Timer(0.3, holder.stdin.close)
        leaves.start()
        code, _, err = call(capsys, "sync", "--wait", "1m")
        leaves.join()
    assert (code, err.count("Waiting up to 60 s")) == (0, 1)
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        assert db.execute("SELECT count(*) FROM revetl.outcomes").fetchall() == [(5,)]


DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from revetl.cli.main import run
from revetl.destinations.hubspot import HubSpot
write = HubSpot.write
async def die(self, *args):
    await write(self, *args)
    os.kill(os.getpid(), signal.SIGKILL)
HubSpot.write = die
run(["sync"])
"""


def test_a_run_that_was_killed_is_healed_at_once_by_the_next(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE], check=False)
    assert killed.returncode == -9
    code, out, _ = call(capsys, "sync", "--json")
    (report,) = json.loads(out)
    assert (code, report["status"], report["recovered"]) == (0, "done", 5)
    (newest, interrupted) = json.loads(call(capsys, "runs", "--json")[1])
    assert (newest["status"], interrupted["status"]) == ("done", "interrupted")


def test_what_was_edited_and_not_built_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "edited" not in call(capsys, "plan")[2]
    file = project / "dbt_project/models/activation" / f"{NAME}.sql"
    file.write_text(f"{file.read_text()} -- edited")
    os.utime(file, (time.time() + 60, time.time() + 60))
    for command in ("plan", "sync"):
        code, out, err = call(capsys, command, "--json")
        assert (code, f"{file} was edited after the last build: `revetl build`" in err) == (0, True)
        json.loads(out)
