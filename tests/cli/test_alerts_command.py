"""`revetl alerts`, and its guide."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
import yaml

from revetl.alerts.spec import AlertsFile
from revetl.alerts.texts import AlertText
from revetl.usecases import alerts
from tests.support.cli_project import call
from tests.support.guides import blocks

PAGE = "docs/guides/alerts.md"


class Takes:
    """Every channel, in place of the network."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said, self.grouped = name, said, True

    async def send(self, text: AlertText) -> None:
        self.said.append(f"{self.name}: {text.subject}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(alerts, "open_channel", lambda name, *_: Takes(name, told))
    for name in ("SLACK_WEBHOOK_URL", "PAGERDUTY_KEY", "SMTP_PASSWORD"):
        monkeypatch.setenv(name, "https://x.example/secret")
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    return told


def test_the_page(project: Path, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """alerts.md: its file is taken, and its commands say what stands there."""
    file, *commands = [block.text for block in blocks(PAGE)]
    (project / "alerts.yml").write_text(file, "utf-8")
    kinds = {rule["alert"] for rule in yaml.safe_load(file)["alerts"]}
    assert len(kinds) == len(AlertsFile.model_json_schema()["properties"]["alerts"]["items"]["oneOf"])
    assert len(commands) == 2
    for block in commands:
        line, *output = block.splitlines()
        code, out, _ = call(capsys, *line.removeprefix("$ revetl ").split())
        assert (code, out.splitlines()) == (0, output)


def test_a_failed_run_is_told_once_and_listed(
    project: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "alerts.yml").write_text(blocks(PAGE)[0].text, "utf-8")
    assert call(capsys, "alerts", "check")[0] == 0
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            "INSERT INTO revetl.runs (run_id, command, subject, started_at, finished_at, status) VALUES"
            " ('r1', 'sync', 'hubspot__contacts', now(), now(), 'failed')"
        )
    code, out, _ = call(capsys, "alerts", "check", "--json")
    assert (code, json.loads(out)["sent"]) == (0, 2)
    assert said == [f"{name}: [tiny dev] hubspot__contacts: run failed" for name in ("oncall", "ops")]
    assert "1 open, 0 began, 0 over, 0 told" in call(capsys, "alerts", "check")[1]
    assert "hubspot__contacts: the last run failed: revetl runs show r1" in call(capsys, "alerts", "list")[1]


def test_no_file_and_no_such_channel_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "alerts", "check")
    assert code == 2
    assert "there is no alerts.yml beside revetl.yml" in err
    (project / "alerts.yml").write_text("channels:\n  ops: {type: slack, webhook_url: x}\n", "utf-8")
    code, _, err = call(capsys, "alerts", "test", "opps")
    assert code == 2
    assert "Did you mean 'ops'?" in err
