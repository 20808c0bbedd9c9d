"""`revetl serve` killed at random moments: it is started, given something to run, and sent SIGKILL.

A sync over a DuckDB file is due each time that dbt has built its model. Each round changes a row, tells that the model was
built, starts the service, and kills it at a moment that the seed draws: while it starts, looks, runs, or rests. At the
end it serves until nothing is due. Then the sandbox has to hold each record once and as the model has it, and every due
run has to have ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Section
from revetl.subprocesses import start_python
from tests.support.cli_project import declare, project_at, sandbox_thread
from tests.support.project_files import write_results

ROUNDS = int(os.environ.get("REVETL_SERVICE_KILLS", "200"))
_MODEL = "model.tiny.hubspot__contacts"
_LONGEST_S = 9.0  # from the start of a service to the end of what it runs, on a machine with nothing else to do
_QUIET_S = 240.0
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the tables hold UTC without a zone


def measure(rounds: int = ROUNDS) -> Section:
    rng = random.Random(int(os.environ.get("REVETL_FIRST_SEED", "0")))
    with tempfile.TemporaryDirectory() as scratch, sandbox_thread() as url:
        root = Path(scratch) / "tiny"
        root.mkdir()
        project_at(root, url)
        declare(root, schedule={"after": ["dbt build"]})
        _serve(root, _LONGEST_S)  # it is seen first, and nothing is due
        for i in range(rounds):
            _change(root, i)
            _serve(root, rng.uniform(0.5, _LONGEST_S))
        _serve_until_quiet(root, rounds)
        due = _rows(root, "SELECT status FROM revetl.scheduled_runs")
        again = _rows(root, "SELECT attempts FROM revetl.scheduled_runs WHERE attempts > 1")
        wanted = dict(_rows(root, "SELECT email, firstname FROM main.hubspot__contacts"))
        there = _contacts(url)
    statuses = Counter(status for (status,) in due)
    lost = sum(1 for email, name in wanted.items() if name not in there.get(email, []))
    doubled = sum(len(names) - 1 for names in there.values())
    unended = statuses["waiting"] + statuses["running"]
    failed = lost or doubled or unended or statuses["failed"]
    return Section(
        title="The service killed",
        workload=f"`revetl serve` over a DuckDB file and the sandbox, SIGKILL at {rounds} moments drawn by a seed.",
        header=("", "figure"),
        rows=[
            ("kills", str(rounds)),
            ("due runs", ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))),
            ("started again after a kill", str(len(again))),
            ("records that the destination lacks or has otherwise", str(lost)),
            ("records that it has twice", str(doubled)),
            ("due runs that never ended", str(unended)),
        ],
        verdict=f"Target 0 lost, 0 doubled, every due run ended: {'NOT met' if failed else 'met'}.",
    )


def _change(root: Path, i: int) -> None:
    for _ in range(600):
        try:
            with duckdb.connect(str(root / "tiny.duckdb")) as db:
                db.execute(
                    "UPDATE main.hubspot__contacts SET firstname = ? WHERE golden_id = ?", [f"P {i}", _key(root, i)]
                )
            break
        except duckdb.IOException:  # a run that its dead service left ends in good order
            time.sleep(0.1)
    write_results(root, {_MODEL: "success"}, invocation=f"build-{i}")


def _key(root: Path, i: int) -> str:
    return f"{root.name}-{i % 5}"


def _start(root: Path) -> subprocess.Popen[Any]:
    arguments = ["-m", "revetl.cli.main", "serve", "--no-page", "--project-dir", str(root)]
    return start_python(arguments, stderr=subprocess.DEVNULL, start_new_session=True)


def _serve(root: Path, seconds: float) -> None:
    service = _start(root)
    time.sleep(seconds)
    service.send_signal(signal.SIGKILL)
    service.wait()


def _serve_until_quiet(root: Path, rounds: int) -> None:
    """A last build, so that something is due whatever became of the others."""
    _change(root, rounds)
    service = _start(root)
    deadline = time.monotonic() + _QUIET_S
    while time.monotonic() < deadline:
        time.sleep(1.0)
        rows = _rows(root, "SELECT status, began_at FROM revetl.scheduled_runs ORDER BY due_at DESC")
        newest = max((began for _, began in rows if began is not None), default=None)
        built = os.path.getmtime(root / "dbt_project/target/run_results.json")
        began_after = newest is not None and (newest - _EPOCH).total_seconds() > built
        if began_after and not any(status in ("waiting", "running") for status, _ in rows):
            break
    service.send_signal(signal.SIGTERM)
    service.wait(120)


def _rows(root: Path, sql: str) -> list[Any]:
    for _ in range(600):
        try:
            with duckdb.connect(str(root / "tiny.duckdb"), read_only=True) as db:
                return db.execute(sql).fetchall()
        except (duckdb.IOException, duckdb.CatalogException):
            time.sleep(0.1)
    return []


def _contacts(url: str) -> dict[str, list[str]]:
    """Address → the first names of the records that have it."""
    asked = f"{url}/crm/v3/objects/contacts?limit=100&properties=email,firstname"
    request = urllib.request.Request(asked, headers={"authorization": "Bearer pat-test"})
    with urllib.request.urlopen(request) as answer:
        found: dict[str, list[str]] = {}
        for record in json.load(answer)["results"]:
            found.setdefault(record["properties"]["email"], []).append(record["properties"]["firstname"])
        return found


if __name__ == "__main__":
    print(measure(int(sys.argv[1])).markdown())
