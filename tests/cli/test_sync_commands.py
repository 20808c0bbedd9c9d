"""plan, sync, runs, explain and retry as a person calls them, against the sandbox on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.cli.main import run
from revetl.sandbox.hubspot.limits import LimitSettings
from revetl.sandbox.server import SandboxSettings, running_sandbox
from tests.support.project_files import make_project, model, write_manifest, write_results

NAME = "hubspot__contacts"
SYNC = {"destination": "hubspot", "object": "contacts", "key": "golden_id", "match_on": "email"}
COLUMNS = ("golden_id", "email", "firstname")


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A sandbox on a thread of its own: the commands run their own event loop."""
    loop = asyncio.new_event_loop()
    started: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        limits = LimitSettings(burst=None, search_per_s=None, daily=None)
        async with running_sandbox(settings=SandboxSettings(limits=limits)) as running:
            started.append(running.base_url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path)
    connections = root / "profiles/connections.yml"
    connections.write_text(connections.read_text().replace("http://127.0.0.1:1", sandbox_url))
    declare(root)
    source(root, [(f"{tmp_path.name}-{i}", f"p{i}@{tmp_path.name}.example", f"P {i}") for i in range(5)])
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(root))
    return root


def declare(root: Path, columns: tuple[str, ...] = COLUMNS, **meta: Any) -> None:
    write_manifest(root, model(NAME, {**SYNC, **meta}, columns=columns))
    write_results(root, {f"model.tiny.{NAME}": "success"})


@pytest.fixture(autouse=True)
def _as_a_script_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without COLUMNS (pytest-xdist hands one down) tables are as wide as they need, so no name is cut short."""
    monkeypatch.delenv("COLUMNS", raising=False)


def source(root: Path, rows: list[tuple[str | None, str, str]]) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"CREATE OR REPLACE TABLE {NAME} (golden_id VARCHAR, email VARCHAR, firstname VARCHAR)")
        db.executemany(f"INSERT INTO {NAME} VALUES (?, ?, ?)", rows)


def first_key(root: Path) -> str:
    return f"{root.name}-0"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


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
    assert (code, json.loads(out)[0]["plan"]["waiting"]) == (0, 1)
    code, out, _ = call(capsys, "retry", "--key", "bad", "--json")
    assert (code, json.loads(out)[0]["counts"]) == (1, {"rejected": 1})
    assert call(capsys, "retry", "--key", "good")[1] == "No record waits.\n"


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
