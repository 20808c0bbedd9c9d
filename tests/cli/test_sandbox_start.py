"""Options of `revetl sandbox start` that set how much each provider knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from revetl.cli.sandbox import command
from revetl.sandbox.settings import SandboxSettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SandboxSettings]:
    settings: list[SandboxSettings] = []

    def serve(asked: SandboxSettings, *_: Any) -> None:
        settings.append(asked)

    monkeypatch.setattr("revetl.sandbox.server.serve", serve)
    return settings


def test_rates_from_a_file_and_by_hand(started: list[SandboxSettings], tmp_path: Path) -> None:
    path = tmp_path / "population.yml"
    path.write_text("correlation: 0.1\nvendors: {hunter: {people: {email: {rate: 0.2}}}}", "utf-8")
    options = ["--population", str(path), "--hit-rate", "apollo.phone=0.9", "--hit-rate", "prospeo=0.5"]
    result = CliRunner().invoke(command, ["start", *options, "--job-seconds", "0"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (settings,) = started
    assert settings.population.correlation == 0.1
    assert settings.population.vendor("hunter").people["email"].rate == 0.2
    assert settings.population.vendor("apollo").people["phone"].rate == 0.9
    assert settings.population.vendor("prospeo").coverage == 0.5
    assert settings.job_s == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--hit-rate", "huntr=0.5"], "Did you mean 'hunter'?"),
        (["--hit-rate", "hunter.emial=0.5"], "Did you mean 'email'?"),
        (["--hit-rate", "hunter.email=2"], "must be a number from 0 to 1"),
        (["--hit-rate", "hunter.email"], "VENDOR[.FIELD]=RATE"),
        (["--population", "nowhere.yml"], "cannot be read"),
    ],
)
def test_mistakes_are_usage_errors(started: list[SandboxSettings], options: list[str], says: str) -> None:
    result = CliRunner().invoke(command, ["start", *options])
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert started == []
