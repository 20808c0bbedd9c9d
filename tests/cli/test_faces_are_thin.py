"""The faces hold no logic: a command parses, calls a use case and prints; a use case knows no terminal."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import revetl

SOURCES = Path(revetl.__file__).parent
COMMANDS = sorted((SOURCES / "cli/commands").glob("[a-z]*.py"))
USE_CASES = sorted((SOURCES / "usecases").glob("[a-z]*.py"))
TERMINAL = {"click", "rich", "rich_click"}
# Where the work is done. A command may name a value of these (which records, which objective), and calls none of them.
ENGINE = ("revetl.state", "revetl.warehouse", "revetl.http", "revetl.destinations", "revetl.providers")
# No part of the job: the sandbox serves vendors and makes up sources, and a completion script is click's own.
ASIDE = {"completion", "sandbox"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def called(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {f.id if isinstance(f, ast.Name) else f.attr for f in calls if isinstance(f, ast.Name | ast.Attribute)}


def of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", USE_CASES, ids=lambda p: p.stem)
def test_a_use_case_prints_nothing(path: Path) -> None:
    tree = of(path)
    assert {name.partition(".")[0] for name in imported(tree)}.isdisjoint(TERMINAL)
    assert not called(tree) & {"print", "echo", "isatty"}


@pytest.mark.parametrize("path", [p for p in COMMANDS if p.stem not in ASIDE], ids=lambda p: p.stem)
def test_a_command_calls_a_use_case_and_does_no_work_itself(path: Path) -> None:
    tree = of(path)
    names = list(imported(tree))
    assert [n for n in names if n.startswith("revetl.usecases")], "every command has its use case"
    assert not [n for n in names if n.startswith(ENGINE) or n == "asyncio"]
    assert "open_warehouse" not in called(tree)


def test_there_are_commands_and_use_cases_to_look_at() -> None:
    assert len(COMMANDS) > 15
    assert len(USE_CASES) > 15
