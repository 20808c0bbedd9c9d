"""docs/guides/write-a-destination.md, done as it says: its files are written out, the package is put where an installer
would put it, its suite runs, and a project is planned and synced into its sandbox through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.guides import blocks, reader

pytestmark = pytest.mark.xdist_group("destination_guide")  # the suite of the page is run once
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "write-a-destination.md"
EXAMPLE = ROOT / "examples" / "mailroom"


def files() -> dict[str, str]:
    """Path → text of every code block that is a file."""
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', GUIDE.read_text("utf-8"), re.M | re.S))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guide") / "revetl-mailroom"
    for path, text in files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    install(root)
    return root


def install(root: Path) -> None:
    """What `pip install -e .` leaves behind, without a network: the path of src, and who it is."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    info = root / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = project["entry-points"].items()
    lines = [line for name, entries in groups for line in (f"[{name}]", *(f"{k} = {v}" for k, v in entries.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")


def run(package: Path, *command: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(package / "src"), "NO_COLOR": "1", "COLUMNS": "200", **environ}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd or package, env=env, capture_output=True, text=True, timeout=240
    )


@contextmanager
def sandbox(package: Path, ready: Path) -> Iterator[str]:
    env = {**os.environ, "PYTHONPATH": str(package / "src")}
    command = [sys.executable, "-m", "revetl.cli.main", "sandbox", "start", "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists() or not ready.read_text("utf-8").strip():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield ready.read_text("utf-8").strip()
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr:
            process.stderr.close()


def test_the_example_is_the_guide() -> None:
    kept = {
        str(p.relative_to(EXAMPLE)): p.read_text("utf-8")
        for p in EXAMPLE.rglob("*")
        if p.is_file() and not {"__pycache__", "target", "logs"} & set(p.parts) and p.suffix != ".duckdb"
    }
    assert kept == files()


def test_the_connector_is_about_a_hundred_lines() -> None:
    assert len(files()["src/revetl_mailroom/destination.py"].splitlines()) <= 120


@pytest.fixture(scope="module")
def suite(package: Path) -> subprocess.CompletedProcess[str]:
    return run(package, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "tests")


def test_its_suite_passes(suite: subprocess.CompletedProcess[str]) -> None:
    assert suite.returncode == 0, suite.stdout[-4_000:] + suite.stderr[-2_000:]
    assert re.search(r"\d\d passed", suite.stdout), suite.stdout
    assert "failed" not in suite.stdout


def test_the_commands_of_the_page(package: Path, suite: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    page = "docs/guides/write-a-destination.md"
    environ = {"PYTHONPATH": str(package / "src")}
    with reader(
        Path(shutil.copytree(package, tmp_path / "revetl-mailroom")), tmp_path / "state", print, **environ
    ) as one:
        one.printed = {"pytest": suite.stdout}  # run once
        one.addresses["MAILROOM_URL"] = "{}/mailroom"
        for block in blocks(page):
            if block.language == "console":
                one.run(block)


def test_a_project_is_planned_and_synced_into_its_sandbox(package: Path, tmp_path: Path) -> None:
    project = package / "project"

    def revetl(*arguments: str, expect: int = 0) -> Any:
        where = {"MAILROOM_URL": f"{url}/mailroom"}
        done = run(package, "revetl.cli.main", *arguments, cwd=project, **where)
        assert done.returncode == expect, done.stdout[-3_000:] + done.stderr[-3_000:]
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    with sandbox(package, tmp_path / "ready") as url:
        checks = {c["check"]: (c["ok"], c["detail"]) for c in revetl("debug", "--json")}
        assert checks["destination mailroom"] == (True, "account sandbox")
        assert "mailroom (revetl-mailroom 0.1.0)" in checks["connectors"][1]
        revetl("build")
        assert revetl("ls", "--json")["destinations"][0]["package"] == "revetl-mailroom"
        assert "3" in revetl("plan")
        first = revetl("sync", "--yes", "--json", expect=1)
        again = revetl("sync", "--yes", "--json", expect=1)
    [report], [second] = (d["syncs"] if isinstance(d, dict) else d for d in (first, again))
    assert report["counts"] == {"ok": 2, "rejected": 1}
    assert (second["plan"]["changes"], second["plan"]["again"]) == (1, {"create": 1}), "the refused one, nothing else"
    assert second["counts"] == {"rejected": 1}
    assert second["waiting_reasons"] == {"BAD_EMAIL": 1}
