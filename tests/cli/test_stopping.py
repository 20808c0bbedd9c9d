"""ctrl-C and SIGTERM in the middle of `revetl sync`: real processes, a real sandbox that takes its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

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
