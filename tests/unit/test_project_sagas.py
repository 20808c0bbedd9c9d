"""Syncs over several destinations: in which order they run, and which of them stand or fall together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError
from revetl.model import SagaSpec
from revetl.project import load
from tests.support.project_files import SYNC, make_project, model, write, write_manifest

OTHER = "  crm:\n    type: hubspot\n    outputs:\n      default: {base_url: 'http://127.0.0.1:1', token: pat-test}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`hubspot`, and the account `crm` beside it."""
    make_project(tmp_path)
    connections = tmp_path / "profiles/connections.yml"
    write(connections, connections.read_text() + OTHER)
    return tmp_path


def at(destination: str, *, to: str | None = None, **meta: Any) -> dict[str, Any]:
    named = {} if to is None else {"fields": {"jobtitle": {"references": {"to": to}}}}
    return {**SYNC, "destination": destination, **named, **meta}


def names(root: Path) -> list[str]:
    return [spec.name for spec in load(root).syncs(verified=False)]


def test_a_record_at_one_destination_comes_before_the_record_at_another_that_names_it(root: Path) -> None:
    write_manifest(
        root,
        model("a_contacts", at("hubspot", to="m_accounts")),
        model("m_accounts", at("crm", to="z_owners", object="companies")),
        model("z_owners", at("hubspot", object="companies")),
    )
    assert names(root) == ["z_owners", "m_accounts", "a_contacts"]


def test_a_circle_over_destinations_is_named(root: Path) -> None:
    write_manifest(
        root,
        model("a", at("hubspot", to="b")),
        model("b", at("crm", to="c")),
        model("c", at("hubspot", to="a", object="companies")),
        model("d", at("crm", object="companies")),
    )
    with pytest.raises(ConfigError, match="circle: ") as e:
        names(root)
    said = str(e.value)
    assert all(f"{name} (" in said and f"activation/{name}.yml:" in said for name in "abc")
    assert "d (" not in said
    assert e.value.exit_code == 2


def sagas(root: Path, text: str) -> list[SagaSpec]:
    write(root / "revetl.yml", f"name: tiny\nsagas:\n{text}")
    write_manifest(
        root,
        model("a", at("hubspot", to="b"), tags=("pair",)),
        model("b", at("crm"), tags=("pair",)),
        model("c", at("crm", object="companies")),
    )
    return load(root).sagas()


def test_a_saga_is_declared_by_a_tag_and_its_syncs_are_in_their_order(root: Path) -> None:
    assert sagas(root, "  people: {syncs: ['tag:pair'], max_failures: 3}\n") == [SagaSpec("people", ("b", "a"), 3)]
    assert sagas(root, "  all: {syncs: [a, b, c]}\n") == [SagaSpec("all", ("b", "c", "a"), 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  x: {syncs: ['nope:x']}\n", r"revetl\.yml:3: sagas\.x: .*not understood"),
        ("  x: {syncs: [a, b]}\n  y: {syncs: [b, c]}\n", r"revetl\.yml:4: sagas\.y: b is in the saga x already"),
        ("  x: {syncs: [a, b], max_failures: -1}\n", r"revetl\.yml:3: sagas\.x\.max_failures"),
        ("  x: {syncs: []}\n", r"revetl\.yml:3: sagas\.x\.syncs"),
        ("  x: {sync: [a, b]}\n", r"revetl\.yml:3: .*sync"),
    ],
)
def test_a_mistake_is_named_with_its_line(root: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sagas(root, text)


@pytest.mark.parametrize(
    ("text", "said", "left"),
    [
        ("  one: {syncs: [a]}\n", r"revetl\.yml:3: sagas\.one: a selects 1 sync.*: a is sent alone", []),
        ("  none: {syncs: ['tag:gone']}\n", r"revetl\.yml:3: sagas\.none: .*tag:gone.*selects 0 sync", []),
        ("  two: {syncs: [a, b, gone]}\n", r"revetl\.yml:3: sagas\.two: the selector 'gone' names nothing", ["two"]),
    ],
)
def test_a_saga_of_which_a_sync_is_gone_is_told_and_stops_nobody(
    root: Path, text: str, said: str, left: list[str]
) -> None:
    assert [saga.name for saga in sagas(root, text)] == left
    (sentence,) = load(root).incomplete_sagas()
    assert re.search(said, sentence)


def test_a_project_without_sagas_has_none(root: Path) -> None:
    assert load(root).sagas() == []
