"""A person mistaken, a machine full, a vendor down: a clear line, the exit code, nothing lost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.cli.main import run
from revetl.sandbox.process import SandboxProcess, read_stats
from tests.support.project_files import SYNC, make_project, model, write, write_manifest, write_results

CONTACTS, COMPANIES = "hubspot__contacts", "hubspot__companies"
COLUMNS = ("golden_id", "email", "firstname")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with SandboxProcess(options=("--no-limits",)) as running:
        yield running.base_url


@pytest.fixture
def root(tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    urllib.request.urlopen(urllib.request.Request(f"{sandbox}/_sandbox/reset", method="POST"), timeout=10).close()
    make_project(tmp_path)
    connect(tmp_path, sandbox)
    declare(tmp_path, model(CONTACTS, dict(SYNC), columns=COLUMNS))
    table(tmp_path, CONTACTS, "SELECT 'g' || i AS golden_id, 'p' || i || '@acme.example' AS email, 'P' AS firstname")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # as a script reads it: no table is cut to a terminal's width
    return tmp_path


def connect(root: Path, url: str) -> None:
    outputs = f"{{default: {{base_url: '{url}', token: pat-test}}}}"
    write(root / "profiles/connections.yml", f"destinations:\n  hubspot:\n    type: hubspot\n    outputs: {outputs}\n")


def declare(root: Path, *models: dict[str, Any]) -> None:
    write_manifest(root, *models)
    write_results(root, {m["unique_id"]: "success" for m in models})


def table(root: Path, name: str, select: str, rows: int = 5) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"CREATE OR REPLACE TABLE {name} AS {select} FROM range({rows}) t(i)")


def portal(url: str) -> dict[str, Any]:
    found: dict[str, Any] = read_stats(url)["hubspot"]
    return found


def sync(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(["sync", *arguments])
    return code, capsys.readouterr().err


def test_a_column_that_hubspot_has_not_is_named_with_the_nearest_that_it_has(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(root, model(CONTACTS, dict(SYNC), columns=("golden_id", "email", "frstname")))
    table(root, CONTACTS, "SELECT 'g' || i AS golden_id, i || '@acme.example' AS email, 'P' AS frstname")
    code, err = sync(capsys)
    assert code == 2
    assert "models/activation/hubspot__contacts." in err
    assert "no field 'frstname'" in err
    assert "Did you mean 'firstname'?" in err
    assert portal(sandbox)["write_requests"] == 0


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("CASE WHEN i < 2 THEN NULL ELSE 'g' || i END", "2 row(s) have no golden_id; nothing was sent"),
        (
            "CASE WHEN i < 2 THEN 'twin' ELSE 'g' || i END",
            "golden_id is not unique: 'twin' (2 times); nothing was sent",
        ),
    ],
)
def test_keys_that_are_none_are_named_before_anything_is_sent(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str], key: str, said: str
) -> None:
    table(root, CONTACTS, f"SELECT {key} AS golden_id, i || '@acme.example' AS email, 'P' AS firstname")
    code, err = sync(capsys)
    assert (code, said in err) == (2, True)
    assert portal(sandbox)["requests"] == 0


def test_what_was_sent_before_the_mistake_is_shown(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    companies = {**SYNC, "object": "companies", "match_on": "domain"}
    declare(
        root,
        model(COMPANIES, companies, columns=("golden_id", "domain")),
        model(CONTACTS, dict(SYNC), columns=COLUMNS),
    )
    table(root, COMPANIES, "SELECT 'c' || i AS golden_id, 'acme' || i || '.example' AS domain")
    table(root, CONTACTS, "SELECT NULL AS golden_id, 'x@acme.example' AS email, 'P' AS firstname")
    code, err = sync(capsys)
    assert code == 2
    (line,) = (line for line in err.splitlines() if COMPANIES in line and "done" in line)
    assert err.index(line) < err.index("have no golden_id")
    assert portal(sandbox)["records"]["companies"] == 5


def test_debug_answers_at_once_where_the_host_is_down(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connect(root, "http://127.0.0.1:1")
    started = time.monotonic()
    assert run(["debug", "--json"]) == 1
    assert time.monotonic() - started < 5
    (check,) = (c for c in json.loads(capsys.readouterr().out) if c["check"] == "destination hubspot")
    assert "not reached at 127.0.0.1:1 (Connection refused)" in check["detail"]


def test_a_disk_that_fills_up_loses_nothing(root: Path, sandbox: str) -> None:
    """No file may grow past 64 kB, which is what a full disk looks like to the database's log."""
    rows = 1_000
    table(
        root,
        CONTACTS,
        "SELECT md5('g' || i) AS golden_id, md5('m' || i) || '@acme.example' AS email, md5('f' || i) AS firstname",
        rows,
    )
    full = revetl_sync(64_000)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert "Free some space and run the same command again" in full.stderr
    again = revetl_sync(None)
    assert again.returncode == 0, again.stderr
    assert portal(sandbox)["records"]["contacts"] == rows


def revetl_sync(greatest_file: int | None) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if greatest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (greatest_file, greatest_file))

    return subprocess.run(
        [sys.executable, "-m", "revetl.cli.main", "sync"],
        env={**os.environ, "NO_COLOR": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
    )
