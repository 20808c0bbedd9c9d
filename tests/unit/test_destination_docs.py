"""docs/destinations.md and the README's table say what the registry and the connectors are, as of now."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from revetl.destinations import registry
from revetl.destinations.facts import ConnectorFacts

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = REPOSITORY / "scripts" / "destination_docs.py"
    spec = importlib.util.spec_from_file_location("destination_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_files_are_current(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0, "run .venv/bin/python scripts/destination_docs.py"


def test_every_registered_destination_appears(generator: ModuleType) -> None:
    page, readme = generator.page(), generator.readme((REPOSITORY / "README.md").read_text("utf-8"))
    for type_ in registry.types():
        assert f"`{type_}`" in page
        assert f"`{type_}`" in readme


def test_one_that_says_nothing_of_itself_appears_too(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = registry.facts

    def silent(type_: str) -> ConnectorFacts | None:
        return None if type_ == "hubspot" else said(type_)

    monkeypatch.setattr(registry, "facts", silent)
    assert "| `hubspot` | says nothing of itself |" in generator.page()


def test_what_is_linked_is_there(generator: ModuleType) -> None:
    for type_ in registry.types():
        facts = registry.facts(type_)
        for page in (facts.guide, facts.design) if facts else ():
            assert (REPOSITORY / "docs" / page).is_file(), f"{type_}: {page}"


def test_what_a_connector_is_able_to_do_is_read_from_it(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    said = registry.facts

    def without_reading(type_: str) -> ConnectorFacts | None:
        """Slack with replies in place of edits, which reads nothing back."""
        facts = said(type_)
        if type_ != "slack" or facts is None:
            return facts
        first = replace(facts.forms[0], options={"token": "xoxb-example", "on_change": "thread"})
        return replace(facts, forms=(first, *facts.forms[1:]))

    def row() -> str:
        return next(line for line in generator.page().splitlines() if "by a token that reads" in line)

    before = row()
    monkeypatch.setattr(registry, "facts", without_reading)
    assert "exact" in before
    assert "our snapshot is taken for what stands there" in row()
