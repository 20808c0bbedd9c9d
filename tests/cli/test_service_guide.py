"""service.md: its commands, its line of revetl.yml, and its request."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from revetl.project.settings import Settings
from tests.support.cli_project import NAME, call, project_at
from tests.support.guides import blocks, commands
from tests.support.service_world import ServiceWorld, state_in_memory

PAGE = "docs/guides/service.md"


async def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "tiny"
    root.mkdir()
    monkeypatch.chdir(project_at(root, "http://127.0.0.1:9"))
    by_words = {words: [b.text for b in blocks(PAGE) if b.words == words] for words in ("console", "yaml", "sh")}
    said = []
    for command, _ in (each for text in by_words["console"] for each in commands(text)):
        code, out, err = call(capsys, *shlex.split(command)[1:])
        assert code == 0, err
        said.append(out)
    assert said[0].startswith("revetl_")
    assert "Revoked" in said[3]
    assert "token revoked" in said[-1]
    assert "grace" not in said[-1]
    (declared,) = by_words["yaml"]
    assert Settings.model_validate({"name": "crm", **yaml.safe_load(declared)}).approvals == 1
    await requested(by_words["sh"][0])


async def requested(curl: str) -> None:
    """As the page's curl asks it, of a service whose command line is made up."""
    warehouse = state_in_memory()
    world = ServiceWorld(warehouse)
    words = shlex.split(curl.replace("$REVETL_TOKEN", world.tokens["operator"]))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    address = next(word for word in words if word.startswith("http"))
    assert json.loads(body)["syncs"] == [NAME]
    async with world.serving() as client:
        answer = await client.post(re.sub(r"^http://[^/]+", "", address), content=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert answer.json()["plan"]
    warehouse.close()
