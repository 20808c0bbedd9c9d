"""`revetl explain` on what providers gave: the winner, the losers with their reasons, cost and time, in 80 columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.cli import main as shell
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.project_files import SYNC, make_project, model, write_manifest

LONG = "https://www.linkedin.com/in/" + "augusta-ada-king-countess-of-lovelace-" * 3


def given(
    field: str,
    value: str,
    provider: str,
    sure: float | None,
    call_id: str,
    at: str,
    verdict: str | None = None,
    by: str | None = None,
    rejected: str | None = None,
) -> tuple[Any, ...]:
    return ("golden_contacts", "g1", field, value, provider, sure, verdict, by, call_id, at, rejected)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path)
    write_manifest(tmp_path, model("golden_contacts"), model("enrichment_provenance"))
    warehouse = DuckDBWarehouse(tmp_path / "tiny.duckdb")
    create_all(warehouse)
    warehouse.close()
    with duckdb.connect(str(tmp_path / "tiny.duckdb")) as db:
        db.execute(f"CREATE TABLE golden_contacts AS SELECT 'g1' AS golden_id, '{LONG}' AS linkedin_url, '+1' AS phone")
        calls = [("c1", None), ("c1", 0.30), ("c2", 0.034), ("v1", 0.008), ("c3", None)]
        db.executemany("INSERT INTO revetl.enrichment_calls (call_id, charged_usd) VALUES (?, ?)", calls)
        names = "entity, key, field, value, provider, confidence, verification, verified_by, call_id, observed_at"
        db.executemany(
            f"INSERT INTO revetl.enrichment_values ({names}, rejected_reason) VALUES ({', '.join('?' * 11)})",
            [
                given("email", "old@x.example", "one.person", 0.6, "c1", "2026-01-01"),
                given("phone", "[+2]", "one.person", 0.6, "c1", "2026-01-01"),
                given("linkedin_url", LONG, "one.person", 0.6, "c1", "2026-01-01"),
                given("email", "ada@x.example", "two.find", 0.9, "c2", "2026-02-01", "valid", "zb.check"),
                given("email", "bad@x.example", "three.find", 0.1, "c3", "2026-03-01", rejected="low_confidence"),
                given("city", "Oslo", "three.find", None, "c3", "2026-03-01"),
                (
                    "verification",
                    "h",
                    "email",
                    "ada@x.example",
                    "zb.check",
                    None,
                    "valid",
                    None,
                    "v1",
                    "2026-02-02",
                    None,
                ),
            ],
        )
        db.execute(
            "CREATE TABLE enrichment_provenance (key VARCHAR, field VARCHAR, value VARCHAR, call_id VARCHAR,"
            " reason VARCHAR, place INTEGER, support DECIMAL(9, 6), n_agreeing INTEGER, first_party_value VARCHAR)"
        )
        db.execute(
            "INSERT INTO enrichment_provenance VALUES"
            " ('g1', 'email', 'old@x.example', 'c1', 'less_trusted', 2, 0.3, 1, NULL),"
            " ('g1', 'email', 'ada@x.example', 'c2', 'won', 1, 0.9, 2, NULL),"
            " ('g1', 'email', 'bad@x.example', 'c3', 'low_confidence', NULL, NULL, NULL, NULL),"
            " ('g1', 'phone', '[+2]', 'c1', 'first_party', 1, 0.6, 1, '+1'),"
            f" ('g1', 'linkedin_url', '{LONG}', 'c1', 'same_as_first_party', 1, 0.6, 1, '{LONG}')"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_winner_and_losers_in_eighty_columns(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert shell.run(["explain", "g1"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.strip() for line in out[out.index("values from providers") :].splitlines()]
    email = lines[lines.index("email") : lines.index("linkedin_url  (the record's own:")]
    assert [line for line in email if "@" in line] == ["✓ ada@x.example", "· old@x.example", "· bad@x.example"]
    assert "two.find, sure 0.90, valid by zb.check, trust 0.90, 2 independent sources," in email
    assert "one.person, sure 0.60, trust 0.30, $0.1000, 2026-01-01 00:00 UTC" in email
    assert "less_trusted: another value is trusted more" in email
    assert "phone  (the record's own: +1)" in lines
    assert "· [+2]" in lines
    assert "first_party: the record's own value stands" in lines
    # Newer than the models: said so, with what is known.
    assert "undecided: newer than the models: `revetl build` decides" in lines
    assert "three.find, price unknown, 2026-03-01 00:00 UTC" in lines


def test_the_same_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["explain", "g1", "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["values from providers"]
    assert [(r["field"], r["reason"]) for r in rows] == [
        ("city", "undecided"),
        ("email", "won"),
        ("email", "less_trusted"),
        ("email", "low_confidence"),
        ("linkedin_url", "same_as_first_party"),
        ("phone", "first_party"),
    ]
    won = rows[1]
    assert (won["cost_usd"], won["verified_at"], won["own_value"]) == ("0.042000", "2026-02-02T00:00:00", None)


def test_without_the_models_the_ledger_tells(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(root, model("golden_contacts"))
    assert shell.run(["explain", "g1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["values from providers"]
    assert {r["reason"] for r in rows} == {"undecided", "low_confidence"}


def test_the_links_of_one_sync_are_not_hidden_by_another_one(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two syncs of one destination: the second has no link of this record."""
    monkeypatch.chdir(root)
    syncs = [model(f"hubspot__{name}", {**SYNC, "object": name}) for name in ("contacts", "deals")]
    write_manifest(root, model("golden_contacts"), model("enrichment_provenance"), *syncs)
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        for sync in ("contacts", "deals"):
            db.execute(
                f"CREATE TABLE revetl.links__hubspot__{sync}"
                " (key VARCHAR, to_sync VARCHAR, to_key VARCHAR, type VARCHAR, state VARCHAR, synced_at TIMESTAMP)"
            )
        db.execute(
            "INSERT INTO revetl.links__hubspot__contacts VALUES ('g1', 'hubspot__companies', 'c1', '1', 'linked', NULL)"
        )
    assert shell.run(["explain", "g1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [link["to_key"] for link in found["its links in hubspot"]] == ["c1"]
