"""Options of `revetl sandbox start`: how much each provider knows, and what is set of one vendor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from revetl.cli.commands.sandbox import command
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


def test_options_of_one_vendor(started: list[SandboxSettings]) -> None:
    options = ["--set", "hubspot.search_lag_s=5", "--set", "hubspot.daily=null", "--set", "hunter.credits=3"]
    result = CliRunner().invoke(command, ["start", *options, "--no-limits"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (settings,) = started
    assert settings.vendors == {"hubspot": {"search_lag_s": 5, "daily": None}, "hunter": {"credits": 3}}
    assert not settings.limited


def test_the_old_search_lag_still_works_and_says_what_to_write_instead(started: list[SandboxSettings]) -> None:
    result = CliRunner().invoke(command, ["start", "--search-lag", "2.5"], catch_exceptions=False)
    (settings,) = started
    assert settings.vendors == {"hubspot": {"search_lag_s": 2.5}}
    assert "--set hubspot.search_lag_s=2.5" in result.stderr


def test_the_vendors_with_their_paths_and_options() -> None:
    result = CliRunner().invoke(command, ["vendors"], catch_exceptions=False)
    lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    limits = ["search_lag_s=0.0", "burst=190", "search_per_s=5", "daily=625000"]
    assert lines["hubspot"] == ["/", *limits, "scopes={}", "portal=null"]
    assert lines["hunter"] == ["/providers/hunter", "credits=10000000", "job_s=null"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "hubspt.daily=3"], "Did you mean 'hubspot'?"),
        (["--set", "hubspot.dayly=3"], "It takes search_lag_s, burst, search_per_s, daily, scopes, portal."),
        (["--set", "hubspot.daily=many"], "hubspot.daily: Input should be a valid integer"),
        (["--set", "hubspot.daily=-1"], "hubspot.daily: Input should be greater than or equal to 0"),
        (["--set", "hubspot.daily=[3"], "can't be read"),
        (["--set", "hubspot.scopes=pat-sales"], "--set 'hubspot.scopes={pat-sales: [crm.objects.contacts.read]}'"),
        (["--set", "hubspot.scopes={pat-sales: x}"], "--set 'hubspot.scopes={pat-sales: [crm.objects.contacts.read]}'"),
        (["--set", "hubspot=3"], "VENDOR.OPTION=VALUE"),
        (["--set", "hubspot.daily"], "VENDOR.OPTION=VALUE"),
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
