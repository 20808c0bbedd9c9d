"""`revetl sandbox clone`, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from revetl.sandbox.hubspot.portal_file import read_portal_file
from tests.support.cli_project import call


def test_it_writes_a_private_file_and_says_how_it_is_served(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, err = call(capsys, "sandbox", "clone", "hubspot")
    path = Path("hubspot.portal.json")
    assert code == 0, err
    assert "4 objects, 4 owners, no records" in said
    assert "revetl sandbox start --set hubspot.portal=hubspot.portal.json" in said
    assert [o["address"] for o in read_portal_file(path)["objects"]] == ["contacts", "companies", "deals", "tickets"]
    assert path.stat().st_mode & 0o077 == 0
    _, said, _ = call(capsys, "sandbox", "clone", "hubspot", "--json", "-o", "other.json")
    assert json.loads(said)["option"] == "hubspot.portal=other.json"


def test_a_connection_that_is_not_there_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = call(capsys, "sandbox", "clone", "hubspott")
    assert code == 2
    assert "hubspott" in said
