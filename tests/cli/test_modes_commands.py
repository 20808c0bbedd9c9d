"""Links, field policies and full refreshes as a person sees them: plan, sync and retry against the sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import SYNC, call, project_at
from tests.support.project_files import model, write_manifest, write_results

FIRMS, PEOPLE = "hubspot__companies", "hubspot__contacts"


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    root = project_at(tmp_path, sandbox_url)
    firms = {**SYNC, "object": "companies", "match_on": "domain"}
    people = {
        **SYNC,
        "fields": {"jobtitle": {"policy": "fill_blank"}},
        "associate": [{"to": FIRMS, "by": "company_golden_id", "type": 1}],
        "guardrails": {"max_changed_share": 0.2},
    }
    write_manifest(
        root,
        model(FIRMS, firms, columns=("golden_id", "domain")),
        model(PEOPLE, people, columns=("golden_id", "email", "jobtitle", "company_golden_id")),
    )
    write_results(root, {f"model.tiny.{FIRMS}": "success", f"model.tiny.{PEOPLE}": "success"})
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(f"CREATE TABLE {FIRMS} AS SELECT 'acme' AS golden_id, '{root.name}.example' AS domain")
        db.execute(
            f"CREATE OR REPLACE TABLE {PEOPLE} AS SELECT 'k' || i AS golden_id, 'p' || i || '@{root.name}.example' AS"
            " email, 'CTO' AS jobtitle, CASE WHEN i < 4 THEN 'acme' ELSE 'gone' END AS company_golden_id"
            " FROM range(5) t(i)"
        )
    return root


def test_links_stand_in_the_plan_and_in_the_report(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "plan")
    assert (code, "links: 4 to make, 0 to remove, 1 waiting for their other record" in out) == (0, True)
    code, out, _ = call(capsys, "sync")
    assert code == 0
    assert f"{PEOPLE}: 1 link(s) wait for a record that is not there yet" in out
    code, out, _ = call(capsys, "plan", "--json", "--detailed-exitcode")
    assert (code, [p["links"]["waiting"] for p in json.loads(out)]) == (0, [0, 1])
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"UPDATE {PEOPLE} SET company_golden_id = NULL WHERE golden_id = 'k0'")
    assert call(capsys, "plan", "--detailed-exitcode")[0] == 2, "a link to remove is a change"
    _, out, _ = call(capsys, "sync", "--json", "--select", "config.meta.revetl.object:contacts")
    (report,) = json.loads(out)
    assert report["counts"] == {"unlinked": 1}
    _, out, _ = call(capsys, "explain", "k0")
    assert "unlink" in out


def test_a_full_refresh_says_what_it_does_and_is_not_stopped_by_its_size(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "sync")[0] == 0
    code, out, _ = call(capsys, "plan", "--full-refresh")
    assert (code, "full refresh: every record whole; max_changed_share is not asked" in out) == (0, True)
    assert "links: 4 to make" in out
    _, out, _ = call(capsys, "plan", "--json")
    assert [p["update"] for p in json.loads(out)] == [0, 0], "planning a full refresh changed nothing"
    code, out, _ = call(capsys, "sync", "--full-refresh", "--json")
    assert (code, [r["counts"] for r in json.loads(out)]) == (0, [{"ok": 1}, {"linked": 4, "ok": 5}])
