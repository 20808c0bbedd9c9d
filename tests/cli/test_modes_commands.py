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


def test_a_field_and_a_key_are_looked_for_in_the_syncs_that_have_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "plan", "--field", "jobtitle")
    assert (code, err, out.count("jobtitle: CTO")) == (0, "", 5), "companies have no such field"
    code, out, _ = call(capsys, "plan", "--show", "k1", "--show", "nobody")
    assert (code, out.count("neither in the model")) == (0, 1), "that k1 is no company is not worth a line"
    assert "nobody is neither in the model nor known" in out
    code, _, err = call(capsys, "plan", "--field", "jobtitl")
    assert (code, "sends the field 'jobtitl'" in err, "'jobtitle'" in err) == (2, True, True)


def test_what_a_policy_keeps_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "sync")[0] == 0
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"UPDATE {PEOPLE} SET jobtitle = 'CFO' WHERE golden_id = 'k1'")
    _, out, _ = call(capsys, "plan", "--show", "k1")
    assert "kept as they stand there by field policies: jobtitle 1" in out
    assert "nothing to send: its policies keep what stands there: jobtitle" in out
    _, out, _ = call(capsys, "plan", "--json", "--select", PEOPLE)
    (plan,) = json.loads(out)
    assert (plan["kept"], plan["forecast"]["requests"], plan["forecast"]["seconds"]) == ({"jobtitle": 1}, 1, 0.0)


@pytest.mark.parametrize("fault", ["a token", "a field"])
def test_syncs_that_never_began_are_named(project: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    """Whether the one before them stood in a report or raised an error: nothing else would say a word of them."""
    if fault == "a token":
        file = project / "profiles/connections.yml"
        file.write_text(file.read_text().replace("pat-test", "pat-bad"))
    else:
        with duckdb.connect(str(project / "tiny.duckdb")) as db:
            db.execute(f"ALTER TABLE {FIRMS} ADD COLUMN nosuch INTEGER")
        firms = {**SYNC, "object": "companies", "match_on": "domain"}
        write_manifest(
            project,
            model(FIRMS, firms, columns=("golden_id", "domain", "nosuch")),
            model(
                PEOPLE,
                {**SYNC, "associate": [{"to": FIRMS, "by": "company_golden_id", "type": 1}]},
                columns=("golden_id", "email", "company_golden_id"),
            ),
        )
    code, _, err = call(capsys, "sync")
    assert code == (4 if fault == "a token" else 2)
    assert f"not begun, since {FIRMS} stopped: {PEOPLE}" in " ".join(err.split())


def test_what_mode_update_leaves_alone_is_counted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declared = {**SYNC, "mode": "update"}
    write_manifest(project, model(PEOPLE, declared, columns=("golden_id", "email", "jobtitle")))
    write_results(project, {f"model.tiny.{PEOPLE}": "success"})
    _, out, _ = call(capsys, "plan", "--show", "k1")
    assert "5 not at the destination: mode update creates none" in out
    assert "k1 is in the model and not planned: it is not at the destination" in out


def test_a_narrow_screen_cuts_no_name_and_no_number(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    code, out, _ = call(capsys, "plan")
    assert (code, f"{PEOPLE}\n  5 create" in out) == (0, True)
    code, out, _ = call(capsys, "sync")
    assert f"{PEOPLE}  done\n  5 planned, 5 created, 4 links, " in out
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(capsys, "explain", "k1")
    assert "create  ok\n    email: p1@" in out
    assert f"    {FIRMS}: acme" in out
    assert f"its links in hubspot\n  to_sync              {FIRMS}" in out
    assert max(map(len, out.splitlines())) <= 80


def test_links_are_no_records_and_a_plan_of_links_is_a_change(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "sync", "--select", FIRMS)[0] == 0
    assert call(capsys, "sync")[0] == 0
    _, out, _ = call(capsys, "runs", "--limit", "1")
    assert out.splitlines()[3].split()[-1] == "5", "its links are not counted with them"
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"UPDATE {PEOPLE} SET company_golden_id = NULL WHERE golden_id = 'k0'")
    _, out, _ = call(capsys, "plan", "--format", "markdown")
    assert "**1 link(s) would be sent**" in out
    assert "- links: 0 to make, 1 to remove" in out


def test_selectors_follow_one_flag_as_with_dbt(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def names(*arguments: str) -> list[str]:
        return [s["name"] for s in json.loads(call(capsys, "ls", "--json", *arguments)[1])["syncs"]]

    assert names("-s", FIRMS, PEOPLE) == [FIRMS, PEOPLE]
    assert names(f"--select={PEOPLE}", FIRMS) == [FIRMS, PEOPLE]
    assert names("--exclude", PEOPLE, FIRMS) == []
    assert call(capsys, "ls", FIRMS)[0] == 2, "a word without its flag is a mistake"


def test_rows_that_mode_update_finds_no_record_for_are_told_wherever_they_are_counted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are in no count of what was done, and the run ends with 0: without a word nobody would look for them."""
    write_manifest(project, model(PEOPLE, {**SYNC, "mode": "update"}, columns=("golden_id", "email", "jobtitle")))
    write_results(project, {f"model.tiny.{PEOPLE}": "success"})
    _, out, _ = call(capsys, "plan")
    heading, numbers = next(
        (line.split(), out.splitlines()[i + 2].split())
        for i, line in enumerate(out.splitlines())
        if line.lstrip().startswith("sync ")
    )
    counted = dict(zip(heading, numbers, strict=True))
    assert (counted["absent"], counted["same"]) == ("5", "0")
    code, out, _ = call(capsys, "sync")
    assert (code, "5 record(s) are not at the destination: mode update creates none" in out) == (0, True)
