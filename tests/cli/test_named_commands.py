"""Every command that a message, a page or a file of the starter names is one that works, with options that exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from revetl.cli import main as shell

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "revetl"
# In backticks or after a prompt's `$`; and in plain text where a word that is a command follows.
QUOTED = re.compile(r"`(?:\$ )?((?:[A-Z_]+=\S+ )*revetl [^`]+)`")
PLAIN = re.compile(rf"(?<![\w./`-])revetl (?:{'|'.join(map(re.escape, shell.COMMANDS))})\b[^`\n.;:,)<]*")
FENCED = re.compile(r"^(?:\$ )?(revetl [^#|\n]+)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
ANY = "PLACEHOLDER"


def texts_of(module: Path) -> Iterator[str]:
    """String constants and f-strings, with what is filled in left open."""
    tree = ast.parse(module.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else ANY for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def sources() -> list[Path]:
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    starter = [p for folder in ("enrichment", "profiles", "dbt_project") for p in (REPOSITORY / folder).rglob("*.y*ml")]
    unwritten = {"target", "logs", "dbt_packages"}
    found = [*SOURCE.rglob("*.py"), *pages, *starter, REPOSITORY / "revetl.yml"]
    return [p for p in found if not unwritten & {*p.parts} and p.name != "CHANGELOG.md"]


def named() -> Iterator[tuple[str, str]]:
    for path in sources():
        for text in texts_of(path) if path.suffix == ".py" else [path.read_text("utf-8")]:
            lines = {*QUOTED.findall(text), *(PLAIN.findall(text) if path.suffix == ".py" else ())}
            if path.suffix == ".md":
                blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
                lines |= {line for block in blocks for line in FENCED.findall(block)}
            for line in sorted(lines):
                yield path.relative_to(REPOSITORY).as_posix(), " ".join(line.split())


NAMED = sorted({line: where for where, line in named()}.items())


def option_of(command: click.Command, word: str) -> click.Parameter | None:
    return next((p for p in command.params if word in (*p.opts, *p.secondary_opts)), None)


def mistake(line: str) -> str | None:
    """What keeps this line from being typed; None where nothing does."""
    try:
        words = shlex.split(line.replace("…", ANY))
    except ValueError:
        words = line.split()
    words = words[words.index("revetl") + 1 :]
    while words and words[0].startswith("-"):
        if option_of(shell.cli, words[0].partition("=")[0]) is None and words[0] not in ("--help", "--version"):
            return f"no global option {words[0]}"
        words = words[1:]
    if not words or words[0] in (ANY, "COMMAND"):
        return None
    if words[0] not in shell.COMMANDS:
        return f"no command {words[0]!r}"
    command: click.Command = import_module(f"revetl.cli.commands.{words.pop(0)}").command
    if isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    elif isinstance(command, click.Group) and words and not words[0].startswith("-"):
        return f"no command {words[0]!r} of it"
    for word, value in zip(words, [*words, ANY][1:], strict=True):
        if word in ("|", "&&", ">", "--"):
            break
        if not re.match(r"--?[a-z]", word):
            continue
        name = word.partition("=")[0].rstrip(".,;:")
        option = option_of(command, name) or option_of(shell.cli, name)
        if option is None and name not in ("--help", "-h"):
            return f"no option {name}"
        if option is not None and isinstance(option.type, click.Choice) and value != ANY and "=" not in word:
            valid = [str(c) for c in option.type.choices]
            if value.rstrip(".,;:") not in valid and not value.isupper():
                return f"{name} takes no {value}"
    return None


def test_there_is_something_to_look_at() -> None:
    assert len(NAMED) > 80
    assert mistake("revetl biuld") == "no command 'biuld'"
    assert mistake("revetl sync --nope") == "no option --nope"
    assert mistake("revetl retry --status none") == "--status takes no none"
    assert mistake("revetl sandbox serve") == "no command 'serve' of it"
    assert mistake("revetl retry --status rolled_back") is None


@pytest.mark.parametrize(("line", "where"), NAMED, ids=[line for line, _ in NAMED])
def test_a_command_that_is_named_works(line: str, where: str) -> None:
    assert mistake(line) is None, where


def every_option() -> set[str]:
    def of(command: click.Command) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for sub in command.commands.values() if isinstance(command, click.Group) else ():
            yield from of(sub)

    commands = [import_module(f"revetl.cli.commands.{name}").command for name in shell.COMMANDS]
    return {"--help", *of(shell.cli), *(option for command in commands for option in of(command))}


# Of dbt, which has more than revetl hands on.
OF_OTHERS = {
    "--no-use-colors",
    "--exclude-resource-type",
    "--empty",
    "--defer",
    "--write-json",
}


def test_an_option_that_a_message_names_is_one_of_some_command() -> None:
    there = every_option() | OF_OTHERS
    strange = {
        f"{path.relative_to(SOURCE)}: {option}"
        for path in SOURCE.rglob("*.py")
        for text in texts_of(path)
        for option in OPTION.findall(text)
        if option not in there and f"var({option})" not in text and f"{option}:" not in text  # a style of a picture
    }
    assert sorted(strange) == []
