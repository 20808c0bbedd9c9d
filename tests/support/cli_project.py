"""A project over a DuckDB file and a sandbox on loopback, for commands as a person calls them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.cli.main import run
from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.project_files import make_project, model, write_manifest, write_results

NAME = "hubspot__contacts"
SYNC = {"destination": "hubspot", "object": "contacts", "key": "golden_id", "match_on": "email"}
COLUMNS = ("golden_id", "email", "firstname")


@contextmanager
def sandbox_thread() -> Iterator[str]:
    """A sandbox without limits on a thread of its own: the commands run their own event loop. Gives its address."""
    loop = asyncio.new_event_loop()
    started: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with running_sandbox(settings=SandboxSettings(limited=False)) as running:
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


def project_at(root: Path, sandbox_url: str) -> Path:
    """Five people, a sync, and the sandbox as its destination."""
    make_project(root)
    connections = root / "profiles/connections.yml"
    connections.write_text(connections.read_text().replace("http://127.0.0.1:1", sandbox_url))
    declare(root)
    source(root, [(f"{root.name}-{i}", f"p{i}@{root.name}.example", f"P {i}") for i in range(5)])
    return root


def declare(root: Path, columns: tuple[str, ...] = COLUMNS, **meta: Any) -> None:
    write_manifest(root, model(NAME, {**SYNC, **meta}, columns=columns))
    write_results(root, {f"model.tiny.{NAME}": "success"})


def source(root: Path, rows: list[tuple[str | None, str, str]]) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"CREATE OR REPLACE TABLE {NAME} (golden_id VARCHAR, email VARCHAR, firstname VARCHAR)")
        db.executemany(f"INSERT INTO {NAME} VALUES (?, ?, ?)", rows)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)"""
    code = run(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err
