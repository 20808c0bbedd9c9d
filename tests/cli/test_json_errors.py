"""Under `--json` a failure is a document too: one on stdout, whatever failed and whichever command it was."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from revetl import errors
from revetl.cli import main as shell
from revetl.cli.failures import INTERRUPT, SYSTEM, UNEXPECTED, USAGE, failure_of
from revetl.errors import ConfigError, Denied, GuardrailError, LeaseError, Problem, Rejected, RevetlError
from revetl.project.dbt import DbtFailed

REPOSITORY = Path(__file__).resolve().parents[2]
# Commands whose result is a file, a server or a text for another program: there is no document to ask for.
WITHOUT_JSON = {"completion", "init", "schema", "sandbox start", "serve"}


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for sub, of_sub in command.commands.items():
            yield from leaves(f"{name} {sub}", of_sub)
    else:
        yield name, command


COMMANDS = {
    name: command
    for top in shell.COMMANDS
    for name, command in leaves(top, import_module(f"revetl.cli.commands.{top}").command)
}
WITH_JSON = sorted(
    name for name, command in COMMANDS.items() if any("--json" in option.opts for option in command.params)
)


def words_of(name: str) -> list[str]:
    """The command with a value for everything that it requires."""
    required = [p for p in COMMANDS[name].params if p.required]
    given = [word for p in required for word in ([p.opts[0], "x"] if isinstance(p, click.Option) else ["x"])]
    return [*name.split(), *given, "--json"]


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one document on stdout, with nothing beside it."""
    whole = json.loads(capsys.readouterr().out)
    assert set(whole) == {"error"}
    error: dict[str, Any] = whole["error"]
    assert set(error) == {"kind", "code", "message", "path", "line", "hint", "exit_code", "problems"}
    return error


def raised(error: BaseException) -> Any:
    def body(**_: object) -> None:
        raise error

    return body


FAILURES = [
    (ConfigError([Problem("wrong", Path("a.yml"), 3, "Right: x"), Problem("too", Path("b.yml"))]), 2, "configuration"),
    (GuardrailError("too much"), 3, "guardrail"),
    (LeaseError("held by another"), 1, "lease"),
    (Denied("token refused", code="INVALID_AUTHENTICATION", status=401), 4, "denied"),
    (Rejected("refused", code="VALIDATION_ERROR", status=400), 1, "rejected"),
    (errors.WarehouseBusy("open in another process"), 1, "warehouse_busy"),
    (errors.WarehouseFull("no room"), 1, "warehouse_full"),
    (errors.WarehouseOutOfMemory("no memory"), 1, "warehouse_out_of_memory"),
    (errors.JobInterrupted("still runs"), 130, "interrupted"),
    (DbtFailed("a model failed"), 1, "dbt"),
    (click.UsageError("no such thing"), 2, USAGE),
    (click.Abort(), 130, INTERRUPT),
    (KeyboardInterrupt(), 130, INTERRUPT),
    (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 1, SYSTEM),
    (ZeroDivisionError("a customer's value"), 1, UNEXPECTED),
]


def test_every_command_gives_a_document_or_says_here_that_it_has_none() -> None:
    assert set(COMMANDS) - set(WITH_JSON) == WITHOUT_JSON


@pytest.mark.parametrize("name", WITH_JSON)
@pytest.mark.parametrize(("error", "code", "kind"), FAILURES, ids=lambda f: getattr(f, "__name__", None))
def test_whatever_fails_in_a_command_is_one_document(
    name: str,
    error: BaseException,
    code: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(COMMANDS[name], "callback", raised(error))
    assert shell.run(words_of(name)) == code
    shown = document(capsys)
    assert (shown["kind"], shown["exit_code"]) == (kind, code)
    assert "customer" not in json.dumps(shown)


@pytest.mark.parametrize("name", WITH_JSON)
def test_so_is_an_option_that_there_is_not(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run([*words_of(name), "--nonsense"]) == 2
    shown = document(capsys)
    assert (shown["kind"], shown["exit_code"]) == (USAGE, 2)
    assert "--nonsense" in shown["message"]


@pytest.mark.parametrize(
    "name", [n for n in WITH_JSON if any("--project-dir" in option.opts for option in COMMANDS[n].params)]
)
def test_so_is_a_project_that_is_not_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage mistakes of some commands come first; both are exit code 2 and one document."""
    monkeypatch.delenv("REVETL_PROJECT_DIR", raising=False)
    assert shell.run([*words_of(name), "--project-dir", str(tmp_path)]) == 2
    assert document(capsys)["kind"] in ("configuration", USAGE)


def test_a_mistake_in_a_file_has_its_place(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("wrong", Path("a.yml"), 3, "Right: x"), Problem("missing", Path("b.yml"))]
    monkeypatch.setattr(COMMANDS["ls"], "callback", raised(ConfigError(problems)))
    assert shell.run(["ls", "--json"]) == 2
    shown = document(capsys)
    assert (shown["message"], shown["path"], shown["line"], shown["hint"]) == ("wrong", "a.yml", 3, "Right: x")
    assert [p["path"] for p in shown["problems"]] == ["a.yml", "b.yml"]


def test_the_code_is_the_vendors_or_the_systems_word() -> None:
    assert failure_of(Denied("x", code="MISSING_SCOPES")).code == "MISSING_SCOPES"
    assert failure_of(OSError(errno.ENOENT, "No such file", "/x")).code == "ENOENT"
    assert failure_of(ConfigError("x")).code is None


def test_a_person_still_reads_it_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMANDS["ls"], "callback", raised(GuardrailError("too much")))
    assert shell.run(["ls", "--json"]) == 3
    assert capsys.readouterr().err == "Error: too much\n"


def test_a_traceback_that_was_asked_for_stands_beside_the_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMANDS["ls"], "callback", raised(GuardrailError("too much")))
    with pytest.raises(GuardrailError):
        shell.run(["--debug", "ls", "--json"])
    assert document(capsys)["kind"] == "guardrail"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["ls", "--json"], True),
        (["plan", "--format", "json"], True),
        (["plan", "--format=json"], True),
        (["plan", "--format", "markdown"], False),
        (["explain", "--", "--json"], False),
    ],
)
def test_it_is_known_before_anything_is_parsed(
    arguments: list[str], asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run([arguments[0], "--nonsense", *arguments[1:]]) == 2
    assert bool(capsys.readouterr().out) == asked


def subclasses(cls: type[RevetlError]) -> Iterator[type[RevetlError]]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_kind_stands_in_the_reference_and_means_one_error() -> None:
    ours = [each for each in subclasses(RevetlError) if each.__module__.startswith("revetl.")]
    assert len(ours) > 10
    named = [vars(each).get("kind") for each in ours]
    assert None not in named, "a class of errors without a word of its own"
    assert len({*named}) == len(named)
    page = (REPOSITORY / "docs/reference/errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE)
    expected = {(each.kind, str(each.exit_code)) for each in [RevetlError, *ours]}
    assert set(rows) == expected | {(USAGE, "2"), (SYSTEM, "1"), (UNEXPECTED, "1"), (INTERRUPT, "130")}
