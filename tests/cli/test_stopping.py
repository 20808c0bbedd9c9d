"""ctrl-C and SIGTERM in the middle of `revetl sync` and of dbt: real processes, a real sandbox that takes its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.cli import main as shell
from revetl.cli.options import emit_json
from revetl.sandbox.process import SandboxProcess, read_stats
from tests.support.project_files import SYNC, make_project, model, write, write_manifest, write_results

NAME = "hubspot__contacts"
RECORDS, BATCH = 600, 100
WITHIN_S = 30.0


@pytest.fixture
def sandbox() -> Iterator[str]:
    with SandboxProcess(options=("--no-limits",)) as running:
        yield running.base_url


@pytest.fixture
def project(tmp_path: Path, sandbox: str) -> Path:
    """Six hundred contacts to create, two batches at a time."""
    root = make_project(tmp_path)
    write(
        root / "profiles/connections.yml",
        "destinations:\n  hubspot:\n    type: hubspot\n    outputs:\n"
        f"      default: {{base_url: '{sandbox}', token: pat-test, concurrency: 2}}\n",
    )
    write_manifest(root, model(NAME, dict(SYNC), columns=("golden_id", "email", "firstname")))
    write_results(root, {f"model.tiny.{NAME}": "success"})
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(
            f"CREATE TABLE {NAME} AS SELECT 'g' || i AS golden_id, 'p' || i || '@acme.example' AS email,"
            f" 'P' || i AS firstname FROM range({RECORDS}) t(i)"
        )
    return root


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(words or ("-m", "revetl.cli.main", "sync", "--json"))],
        cwd=root,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests under nohup hands down that a hangup is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def slow(url: str, delay_s: float) -> None:
    """Every batch that writes waits `delay_s` at the vendor before it is written, from now on."""
    fault = {"route": "POST /crm/v3/objects/contacts/batch/[cu]*", "kind": "delay", "times": None, "delay_s": delay_s}
    body = json.dumps(fault).encode()
    request = urllib.request.Request(f"{url}/_sandbox/faults", body, {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def quick_again(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{url}/_sandbox/faults", method="DELETE"), timeout=10).close()


def written(url: str) -> tuple[int, int]:
    """Contacts that the portal holds, and batches of them that it was sent."""
    stats = read_stats(url)
    routes = stats["requests"]["by_route"]
    batch = "POST /crm/v3/objects/contacts/batch/"
    batches = sum(n for route, n in routes.items() if route.startswith(batch) and not route.endswith("/read"))
    return int(stats["hubspot"]["records"].get("contacts", 0)), batches


def until_sending(process: subprocess.Popen[str], url: str, batches: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while written(url)[1] < batches:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing was sent"
        time.sleep(0.02)


def one(root: Path, sql: str) -> Any:
    with duckdb.connect(str(root / "tiny.duckdb"), read_only=True) as db:
        return (db.execute(sql).fetchone() or (None,))[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-C", "SIGTERM"])
def test_a_stopped_sync_ends_in_order_and_the_next_one_takes_up(
    project: Path, sandbox: str, number: signal.Signals
) -> None:
    slow(sandbox, 0.3)
    process = start(project)
    until_sending(process, sandbox, batches=2)
    process.send_signal(number)
    out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130, err
    assert "Stopping: waiting for the requests in flight" in err
    assert "Traceback" not in err
    (report,) = json.loads(out)
    held, _ = written(sandbox)
    # What was in flight was awaited and written down: no outcome is missing, none is made up.
    assert report["status"] == "interrupted"
    assert report["counts"] == {"ok": held}
    assert 0 < held < RECORDS
    assert one(project, "SELECT count(*) FROM revetl.outcomes WHERE status = 'ok'") == held
    assert one(project, "SELECT status FROM revetl.runs") == "interrupted"

    quick_again(sandbox)
    process = start(project)
    out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, err
    assert json.loads(out)[0]["counts"] == {"ok": RECORDS - held}
    # Every record went out in exactly one batch of the two runs.
    assert written(sandbox) == (RECORDS, RECORDS // BATCH)
    assert one(project, "SELECT max(n) FROM (SELECT count(*) AS n FROM revetl.outcomes GROUP BY key)") == 1


def test_a_second_ctrl_c_ends_it_at_once_and_nothing_is_lost(project: Path, sandbox: str) -> None:
    slow(sandbox, 6.0)
    process = start(project)
    until_sending(process, sandbox, batches=2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130, err
    assert time.monotonic() - started < 5
    assert "Interrupted." in err
    assert "Traceback" not in err

    quick_again(sandbox)
    process = start(project)
    out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, err
    assert json.loads(out)[0]["counts"] == {"ok": RECORDS}
    assert written(sandbox)[0] == RECORDS


def test_ctrl_c_in_python_ends_in_order_too(project: Path, sandbox: str) -> None:
    slow(sandbox, 0.3)
    process = start(project, "-c", "from revetl import api\napi.sync()")
    until_sending(process, sandbox, batches=2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WITHIN_S)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert one(project, "SELECT status FROM revetl.runs") == "interrupted"
    held, _ = written(sandbox)
    assert 0 < held < RECORDS
    assert one(project, "SELECT count(*) FROM revetl.outcomes WHERE status = 'ok'") == held


# In place of dbt: it and a child of its own say that they are there, and what they hear. `deaf`: to everything.
DBT = """#!{python}
import os, pathlib, signal, subprocess, sys, time
here = pathlib.Path({here!r})
if "--version" in sys.argv or "parse" in sys.argv:
    sys.exit(0)
def heard(number, frame):
    (here / "heard").write_text(signal.Signals(number).name)
    if not {deaf}:
        sys.exit(1)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, heard)
deaf_too = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf_too])
(here / "pids.part").write_text(f"{{os.getpid()}} {{child.pid}}")
(here / "pids.part").rename(here / "pids")
while True:
    time.sleep(0.05)
"""


Deaf = Callable[[bool], None]


@pytest.fixture
def slow_dbt(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deaf]:
    """Puts it in dbt's place, and leaves none of it behind where a test fails."""

    def put(deaf: bool) -> None:
        program = project / "slow_dbt"
        program.write_text(DBT.format(python=sys.executable, here=str(project), deaf=deaf), "utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("DBT", str(program))

    yield put
    for pid in (project / "pids").read_text().split() if (project / "pids").exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def until_building(process: subprocess.Popen[str], root: Path) -> list[int]:
    deadline = time.monotonic() + WITHIN_S
    while not (root / "pids").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "dbt was not started"
        time.sleep(0.02)
    return [int(pid) for pid in (root / "pids").read_text().split()]


def is_running(pid: int) -> bool:
    """One that is dead and that nobody has waited for does nothing any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("command", ["build", "run"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_stopped_build_stops_dbt_and_what_dbt_started(
    project: Path, slow_dbt: Deaf, number: signal.Signals, command: str
) -> None:
    slow_dbt(False)
    process = start(project, "-m", "revetl.cli.main", command, "--json")
    pids = until_building(process, project)
    process.send_signal(number)  # to revetl alone, as a scheduler sends it
    out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130, err
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert "Traceback" not in err
    assert (project / "heard").read_text() == "SIGINT", "dbt cancels its queries"
    assert not [pid for pid in pids if is_running(pid)]


def test_a_dbt_that_does_not_listen_is_ended_by_the_second_signal(project: Path, slow_dbt: Deaf) -> None:
    slow_dbt(True)
    process = start(project, "-m", "revetl.cli.main", "build", "--json")
    pids = until_building(process, project)
    process.terminate()
    deadline = time.monotonic() + WITHIN_S
    while not (project / "heard").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, json.loads(out)["error"]["kind"]) == (130, "interrupted"), err
    assert not [pid for pid in pids if is_running(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_dbt_ends_where_revetl_is_killed(project: Path, slow_dbt: Deaf) -> None:
    slow_dbt(False)
    process = start(project, "-m", "revetl.cli.main", "build")
    dbt, _ = until_building(process, project)
    process.kill()
    process.communicate(timeout=WITHIN_S)
    deadline = time.monotonic() + WITHIN_S
    while is_running(dbt):
        assert time.monotonic() < deadline, "dbt goes on"
        time.sleep(0.02)
    assert (project / "heard").read_text() == "SIGTERM"


def test_hangups_stay_ignored_where_they_were(project: Path, slow_dbt: Deaf) -> None:
    slow_dbt(False)
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    line = [sys.executable, "-m", "revetl.cli.main", "build"]
    words = f"{ignoring}; os.execv({line[0]!r}, {line!r})"
    process = start(project, "-c", words)
    until_building(process, project)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(WITHIN_S) == 130
    process.communicate()


def test_a_signal_after_the_document_makes_no_second_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def body(**_: object) -> None:
        emit_json({"done": True})
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(import_module("revetl.cli.commands.ls").command, "callback", body)
    assert shell.run(["ls", "--json"]) == 130
    out, err = capsys.readouterr()
    assert (json.loads(out), "Interrupted" in err) == ({"done": True}, True)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "it is as it was before the command"
