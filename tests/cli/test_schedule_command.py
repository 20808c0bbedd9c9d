"""`revetl schedule`, and what the project says of schedules that can't be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.cli_project import COLUMNS, SYNC, call, declare
from tests.support.project_files import enriching_project, model, write_manifest


def declared(root: Path, **said: Any) -> None:
    declare(root, schedule=said)


def test_it_lists_what_comes_next_and_that_nobody_has_seen_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared(project, cron="15 5 * * *", timezone="Europe/Berlin")
    code, out, _ = call(capsys, "schedule", "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert found["schedule"] == "sync:hubspot__contacts"
    assert len(found["next"]) == 3
    assert found["why"] == ["no service has seen it yet: `revetl serve`"]
    code, out, _ = call(capsys, "schedule")
    assert "15 5 * * * Europe/Berlin" in out
    assert " 05:15 +0" in out


def test_it_tells_what_was_missed_and_why_one_waits(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declared(project, cron="15 5 * * *", after=["dbt build"])
    warehouse = DuckDBWarehouse(project / "tiny.duckdb", state_schema="revetl", settings={})
    create_all(warehouse)
    warehouse.close()
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            "INSERT INTO revetl.schedules VALUES ('sync:hubspot__contacts', '15 5 * * * UTC', now(), now(), NULL)"
        )
        db.execute(
            "INSERT INTO revetl.scheduled_runs (schedule, due_at, since, status, reason, missed) VALUES"
            " ('sync:hubspot__contacts', now() - INTERVAL 1 HOUR, NULL, 'waiting', NULL, 0),"
            " ('sync:hubspot__contacts', now() - INTERVAL 1 DAY, now() - INTERVAL 4 DAY, 'missed', 'nobody', 4)"
        )
    code, out, _ = call(capsys, "schedule")
    assert code == 0
    assert "sync:hubspot__contacts: waits for dbt to build hubspot__contacts" in out
    assert "missed 4 times from" in out


def test_none_is_told_with_what_to_write(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "schedule: {cron:" in call(capsys, "schedule")[1]


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"cron": "0 0 30 2 *"}, "schedule.cron: this time never comes"),
        ({"after": ["hubspot__contcts2"]}, "'hubspot__contcts2' is no sync, no waterfall and none of 'dbt build'"),
        ({"after": ["hubspot__contacts"]}, "would wait for itself"),
        ({"after": ["source change"]}, "can't be seen: no source of hubspot__contacts says"),
        ({"cron": "0 5 * * *", "pauze": True}, "Did you mean 'pause'?"),
    ],
)
def test_a_mistake_is_told_at_its_line(
    project: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any], because: str
) -> None:
    declared(project, **said)
    code, _, err = call(capsys, "schedule")
    assert code == 2
    assert because in err
    assert "hubspot__contacts.yml:1: " in err


def test_syncs_that_wait_for_each_other_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {**SYNC, "schedule": {"cron": "0 5 * * *", "after": ["hubspot__b"]}}
    second = {**SYNC, "schedule": {"after": ["hubspot__a"]}}
    nodes = [model(n, m, columns=COLUMNS) for n, m in (("hubspot__a", first), ("hubspot__b", second))]
    write_manifest(project, *nodes)
    code, _, err = call(capsys, "schedule")
    assert code == 2
    assert "these wait for each other: hubspot__a after hubspot__b after hubspot__a" in err


def test_a_waterfall_that_is_scheduled_needs_a_budget(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = project / "profiles/connections.yml"
    destinations = yaml.safe_load(accounts.read_text("utf-8"))["destinations"]
    enriching_project(project, "http://127.0.0.1:1")
    whole = yaml.safe_load(accounts.read_text("utf-8")) | {"destinations": destinations}
    accounts.write_text(yaml.safe_dump(whole), "utf-8")
    declare(project)
    file = project / "enrichment/waterfalls/contact_profile.yml"
    said = yaml.safe_load(file.read_text("utf-8")) | {"schedule": {"after": ["hubspot__contacts", "dbt build"]}}
    budget = said.pop("budget")
    file.write_text(yaml.safe_dump(said), "utf-8")
    code, _, err = call(capsys, "schedule")
    assert code == 2
    assert "a waterfall that is scheduled spends without asking, so it needs a budget" in err
    assert "budget: {per_day_usd: 5}" in err
    file.write_text(yaml.safe_dump(said | {"budget": budget, "schedule": {"after": ["contcts"]}}), "utf-8")
    code, _, err = call(capsys, "schedule")
    assert code == 2
    assert "contact_profile.yml:" in err
    assert "after: 'contcts' is no sync, no waterfall" in err
