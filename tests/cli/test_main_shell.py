"""The shell of the command line: quick, listing what there is, every failure a line and an exit code."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rich_click as click

from revetl.cli import main as shell
from revetl.errors import (
    ConfigError,
    Denied,
    GuardrailError,
    Problem,
    WarehouseError,
    WarehouseFull,
    WarehouseOutOfMemory,
)

HEAVY = ("aiohttp", "dbt", "duckdb", "httpx", "pandas", "pyarrow", "pydantic", "snowflake", "sqlglot", "yaml")


@pytest.fixture
def ending_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `revetl ls` with a body that does what is given."""

    def run(body: Callable[[], Any], *arguments: str) -> int:
        @click.command()
        def command() -> Any:
            return body()

        monkeypatch.setattr(shell, "import_module", lambda _: SimpleNamespace(command=command))
        return shell.run([*arguments, "ls"])

    return run


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_first_words_import_only_click(argument: str) -> None:
    """What is imported decides how long it takes, on every machine the same."""
    code = (
        "import sys, io, contextlib\nbefore = set(sys.modules)\nfrom revetl.cli.main import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()) as out:\n    assert run([{argument!r}]) == 0\n"
        "assert 'revetl' in out.getvalue()\n"
        "names = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(names - set(sys.stdlib_module_names)), 'importlib.metadata' in sys.modules)\n"
        "print(sorted(m for m in sys.modules if m.startswith('revetl')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    outside, ours = done.stdout.splitlines()
    assert outside == "['click', 'revetl'] False"
    assert ours == "['revetl', 'revetl.cli', 'revetl.cli.main', 'revetl.errors']"


def test_help_shows_every_command_once_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.split()]
    assert [word for word in shown if word in shell.COMMANDS] == [n for names in shell.GROUPS.values() for n in names]
    assert "\x1b" not in out


@pytest.mark.parametrize("name", list(shell.COMMANDS))
def test_every_listed_command_exists_and_explains_itself(name: str) -> None:
    command = import_module(f"revetl.cli.commands.{name}").command
    assert isinstance(command, click.Command)
    assert command.help
    assert shell.run([name, "--help"]) == 0


def test_every_command_module_is_listed() -> None:
    folder = Path(shell.__file__).parent / "commands"
    with_command = {
        p.stem for p in folder.glob("*.py") if "\ndef command(" in p.read_text() or "\ncommand =" in p.read_text()
    }
    assert with_command <= set(shell.COMMANDS)
    assert sorted(c for names in shell.GROUPS.values() for c in names) == sorted(shell.COMMANDS)


def test_importing_a_command_imports_nothing_heavy() -> None:
    """A command's own --help is quick as well: the work's imports are inside its function."""
    there = list(shell.COMMANDS)
    code = (
        "import sys\nfrom importlib import import_module\n"
        f"for n in {there!r}: import_module('revetl.cli.commands.' + n)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(Problem("wrong", Path("a.yml"), 3, "Did you mean 'x'?")), 2, "a.yml:3: wrong"),
        (GuardrailError("too much"), 3, "Error: too much"),
        (Denied("token refused"), 4, "Error: token refused\n    Keys and tokens are named in profiles/connections.yml"),
        (WarehouseError("gone"), 1, "Error: gone"),
        (WarehouseFull("IO Error: Could not write"), 1, "Free some space"),
        (WarehouseOutOfMemory("Out of Memory Error: failed to pin"), 1, "failed to pin. Raise memory_limit"),
        (WarehouseError('table "no space left on device" is gone'), 1, "is gone\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 1, "The disk is full (/x/y)"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 1, "Error: Permission denied: /x/y"),
        (KeyboardInterrupt(), 130, "Interrupted. What was checkpointed stands"),
        (ZeroDivisionError("secret in a message"), 1, "Unexpected ZeroDivisionError"),
    ],
)
def test_failures_are_a_line_and_a_code(
    ending_with: Callable[..., int], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert ending_with(raising(error)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert "secret" not in err


def test_debug_shows_the_failure_itself(ending_with: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuardrailError):
        ending_with(raising(GuardrailError("x")), "--debug")
    monkeypatch.setenv("REVETL_DEBUG", "1")
    with pytest.raises(GuardrailError):
        ending_with(raising(GuardrailError("x")))


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (3, 3), ("text", 0)])
def test_what_a_command_returns_is_its_exit_code(ending_with: Callable[..., int], result: Any, code: int) -> None:
    assert ending_with(lambda: result) == code


def test_a_command_may_end_through_click(ending_with: Callable[..., int]) -> None:
    assert ending_with(lambda: click.get_current_context().exit(3)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["biuld"], "Did you mean 'build'?"),
        (["--nope"], "--nope"),
        (["ls", "--nope"], "--nope"),
        (["schema", "nonsense"], "nonsense"),
        (["init"], "DIRECTORY"),
    ],
)
def test_usage_mistakes_end_with_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(arguments) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_a_closed_pipe_is_quiet() -> None:
    done = subprocess.run(
        f"{sys.executable} -m revetl.cli.main schema project | head -c 1", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("revetl, version ")
