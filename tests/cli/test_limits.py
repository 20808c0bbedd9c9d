"""The ends of what an option takes, and of what a message repeats: nothing reaches the warehouse or the clock that
would fail there in words that say nothing of the option."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import duckdb
import pytest

from revetl.cli import main as shell
from tests.support.cli_project import NAME, call

MUCH = "9" * 24


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for sub, of_sub in command.commands.items():
            yield from leaves(f"{name} {sub}", of_sub)
    else:
        yield name, command


def takes(param: click.Parameter, command: click.Command, text: str) -> bool:
    ctx = click.Context(command)
    try:
        param.process_value(ctx, (text,) if param.multiple else text)
    except click.UsageError:
        return False
    return True


def of_numbers() -> Iterator[tuple[str, click.Command, click.Parameter]]:
    """Told by what they take: some number, and no word."""
    for top in shell.COMMANDS:
        for name, command in leaves(top, import_module(f"revetl.cli.commands.{top}").command):
            for param in command.params:
                if isinstance(param, click.Option) and (param.is_flag or param.type is click.BOOL):
                    continue
                if any(takes(param, command, text) for text in ("1", "200", "0.1")) and not takes(
                    param, command, "no number"
                ):
                    yield f"{name} {param.opts[0]}", command, param


NUMBERS = {name: (command, param) for name, command, param in of_numbers()}


def test_the_options_that_take_numbers_are_found() -> None:
    known = {"sync --limit", "sync --wait", "run --max-spend", "tune --budget", "drift --sample", "demo --seed"}
    assert known <= set(NUMBERS)
    assert len(NUMBERS) > 30


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_an_end(name: str) -> None:
    command, param = NUMBERS[name]
    for text in (MUCH, f"{MUCH}.5", f"{MUCH}h", f"-{MUCH}", "1e400", "-1e400", "nan", "-nan", "inf", "-inf", "²"):
        assert not takes(param, command, text), text
    for text in ("-0.5", "-1"):
        assert name.endswith("--seed") or not takes(param, command, text), text


@pytest.mark.parametrize(
    "words",
    [
        ("sync", "--limit", MUCH),
        ("sync", "--wait", f"{MUCH}h"),
        ("run", "--max-spend", "1e400"),
        ("run", "--max-spend", "NaN"),
        ("tune", "x", "--days", MUCH),
    ],
)
def test_a_number_past_the_end_is_a_usage_mistake(
    project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert words[-2] in err


@pytest.mark.parametrize("text", ["[", "a: [1", "just words", "{a: 2026-13-45}", "- 1", "[" * 5000])
@pytest.mark.parametrize("command", ["ls", "build", "run"])
def test_vars_are_read_before_dbt_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, text: str
) -> None:
    monkeypatch.setattr("revetl.project.project.run_dbt", None)
    code, out, err = call(capsys, command, "--json", "--vars", text)
    assert (code, "--vars" in err) == (2, True)
    assert '"kind": "configuration"' in out
    assert len(err) < 500


@pytest.mark.parametrize(
    "words", [("runs", "show", "latest"), ("retry",), ("rollback", "latest"), ("drift", NAME), ("erase",)]
)
def test_an_empty_key_names_no_record(
    project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, *words, "--key", "")
    assert (code, out, "--key" in err) == (2, "", True)


def test_what_was_pasted_by_mistake_is_not_repeated(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "sync")[0] == 0
    pasted = "customer " * 11_112
    for words in (("explain", pasted), ("runs", "show", pasted), ("rollback", pasted), ("sync", "-s", pasted.strip())):
        code, out, err = call(capsys, *words)
        assert code == 2, words[0]
        assert "100,0" in err or words[0] == "sync"
        assert len(out + err) < 2_000, words[0]


def test_an_empty_text_is_no_key(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"UPDATE {NAME} SET golden_id = '' WHERE email LIKE '%1%'")
        ((empty,),) = db.execute(f"SELECT count(*) FROM {NAME} WHERE golden_id = ''").fetchall()
    assert empty
    code, _, err = call(capsys, "sync")
    assert (code, f"{empty} row(s) have no golden_id; nothing was sent" in err) == (2, True), err
