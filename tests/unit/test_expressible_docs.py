"""docs/expressible.md is what its command writes, and every kind that it counts is shown by an example that is run."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("expressible_docs", ROOT / "scripts" / "expressible_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "expressible_docs", module)  # where its dataclass looks for its names
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_it_is_written(command: ModuleType) -> None:
    assert command.main(["--check"]) == 0, "run scripts/expressible_docs.py"
    assert sum(kind.count for kind in command.KINDS) == 169
    assert all(bool(kind.examples) != bool(kind.lacks) for kind in command.KINDS), "a no has its reason"


def test_an_example_that_is_not_there_is_an_error(command: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "KINDS", (command.DefinitionKind("x", 1, (99,)),))
    with pytest.raises(ValueError, match="no example 99"):
        command.page()
