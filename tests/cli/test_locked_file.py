"""A DuckDB file that another process has open: every command that opens it says who has it, and waits where told to."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

import revetl
from revetl import project as projects
from revetl.cli import main as shell
from revetl.errors import LeaseError, WarehouseBusy
from revetl.project.dbt import BuildResult, DbtFailed, NodeResult
from revetl.usecases import build as building
from revetl.usecases import caller as calling
from revetl.usecases.caller import Caller
from tests.support.cli_project import NAME, call

HOLD = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
# These open no warehouse: nothing is there yet, or it is one of their own.
OPEN_NONE = {"init", "schema", "demo", "completion", "serve"}  # what is served waits by itself
READING = {
    "runs": ["runs"],
    "explain": ["explain", "somebody"],
    "debug": ["debug"],
    "check": ["check"],
    "plan": ["plan"],
    "plan --show": ["plan", "--select", NAME, "--show", "somebody"],
    "drift": ["drift", NAME],
}


@contextmanager
def held(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", HOLD, str(root / "tiny.duckdb")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        yield holder
        if not holder.stdin.closed:
            holder.stdin.close()


def test_every_command_that_opens_a_warehouse_takes_wait_in_the_same_words() -> None:
    said = set()
    for name in shell.COMMANDS:
        command: click.Command = import_module(f"revetl.cli.commands.{name}").command
        of_it = [*command.commands.values()] if isinstance(command, click.Group) else [command]
        waits = [p for c in of_it for p in c.params if isinstance(p, click.Option) and p.name == "wait_s"]
        assert bool(waits) == (name not in OPEN_NONE), name
        said |= {option.help for option in waits}
    assert len(said) == 1


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_who_has_the_file_is_said_with_the_pid(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with held(project) as holder:
        code, out, err = call(capsys, *words)
    assert code != 0
    assert f"process {holder.pid}" in out + err
    assert "--wait 10m" in out + err


def test_what_is_declared_is_listed_beside_a_running_sync(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(project) as holder:
        code, out, err = call(capsys, "ls")
    assert code == 0
    assert NAME in out
    assert f"process {holder.pid}" in err


@pytest.mark.parametrize("words", [["runs"], ["debug"], ["plan"]])
def test_a_reading_command_waits(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(calling, "_POLL_S", 0.05)
    with held(project) as holder:
        assert holder.stdin is not None
        leaves = threading.Timer(0.3, holder.stdin.close)
        leaves.start()
        code, _, err = call(capsys, *words, "--wait", "1m")
        leaves.join()
    assert (code, err.count("Waiting up to 60 s")) == (0, 1)


def test_the_command_of_the_holder_is_named_without_its_arguments(project: Path, tmp_path: Path) -> None:
    program = tmp_path / "revetl"
    program.write_text(HOLD)
    words = [sys.executable, str(program), str(project / "tiny.duckdb"), "--email", "ada@acme.example"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(WarehouseBusy, match=rf"process {holder.pid} \(revetl\)") as e:
            projects.load(project).open_warehouse()
    assert "ada" not in str(e.value)


class Taken:
    """dbt, which finds the file taken at its first attempts."""

    def __init__(self, root: Path, times: int, failed: tuple[NodeResult, ...] = ()) -> None:
        self.root, self.times, self.failed = root, times, failed
        self.attempts = 0
        self.holders: list[Any] = []

    def __call__(self, *_: Any, **__: Any) -> BuildResult:
        self.attempts += 1
        if self.attempts > self.times:
            return BuildResult("i", 0.1)
        words = [sys.executable, "-c", HOLD, str(self.root / "tiny.duckdb")]
        holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holders.append(holder)
        assert holder.stdout is not None
        holder.stdout.readline()
        threading.Timer(2.0, holder.terminate).start()
        raise DbtFailed("dbt build did not get as far as running:\n  IO Error", self.failed)

    def close(self) -> None:
        for holder in self.holders:
            holder.kill()
            holder.communicate()


@pytest.mark.parametrize(("wait_s", "attempts"), [(30.0, 2), (0.0, 1)])
def test_a_file_that_is_taken_just_before_dbt_is_waited_for_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float, attempts: int
) -> None:
    monkeypatch.setattr(calling, "_POLL_S", 0.05)
    monkeypatch.setattr(projects.Project, "building", lambda *_: closing(_Nothing()))
    with closing(Taken(project, 1)) as dbt:
        monkeypatch.setattr(building, "run_dbt", dbt)
        if wait_s:
            building.build(projects.load(project), building.BuildRequest(), Caller(wait_s=wait_s))
        else:
            with pytest.raises(DbtFailed, match=r"(?s)did not get as far.*is open in process \d+"):
                building.build(projects.load(project), building.BuildRequest(), Caller())
        assert dbt.attempts == attempts


def test_dbt_is_not_run_again_where_a_model_failed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects.Project, "building", lambda *_: closing(_Nothing()))
    with closing(Taken(project, 1, (NodeResult("m", "model", "error"),))) as dbt:
        monkeypatch.setattr(building, "run_dbt", dbt)
        with pytest.raises(DbtFailed):
            building.build(projects.load(project), building.BuildRequest(), Caller(wait_s=30))
        assert dbt.attempts == 1


class _Nothing:
    def close(self) -> None:
        return None


def test_two_syncs_at_once_in_one_process(project: Path) -> None:
    """As two cells of a notebook, also where they are the first that make the tables."""
    ended: Counter[str] = Counter()
    together = threading.Barrier(2)

    def sync() -> None:
        together.wait()
        try:
            revetl.api.sync(project_dir=project)
            ended["done"] += 1
        except LeaseError:
            ended["LeaseError"] += 1
        except Exception as e:  # noqa: BLE001 - told apart below
            ended[f"{type(e).__name__}: {e}"] += 1

    threads = [threading.Thread(target=sync) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) <= {"done", "LeaseError"}
    assert ended["done"] >= 1
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        assert db.execute("SELECT count(*) FROM revetl.outcomes").fetchall() == [(5,)]
