"""check holds each sync against the warehouse and its destination; scaffold drafts one and shows what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import NAME, SYNC, call, declare
from tests.support.project_files import model, write_manifest, write_results


def test_check_passes_and_says_which_rows_go_where(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "check")
    assert (code, out) == (0, f"✓ {NAME}: tiny.main.{NAME} → hubspot contacts\n")


def test_check_ends_with_what_is_to_be_mended(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(project, {f"model.tiny.{NAME}": "error"}, "i-2")
    code, out, _ = call(capsys, "check", "--json")
    (found,) = json.loads(out)
    assert code == found["exit_code"] == 3
    assert "failed to build" in found["problems"][0]
    assert call(capsys, "debug")[0] == 0  # the set-up is whole

    declare(project, columns=("golden_id", "email", "fristname"))
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"ALTER TABLE {NAME} RENAME firstname TO fristname")
    code, out, _ = call(capsys, "check")
    assert (code, "has no field 'fristname'" in out, "Did you mean 'firstname'?" in out) == (2, True, True)


def test_check_takes_what_a_plan_takes_where_records_are_named_by_their_id(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The id is looked up and never sent, so that nobody may write it is no mistake. Nor does check pass what every
    plan refuses."""
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"ALTER TABLE {NAME} RENAME golden_id TO hs_object_id")
    by_id = {"key": "hs_object_id", "match_on": "hs_object_id"}
    declare(project, columns=("hs_object_id", "email", "firstname"), **by_id, mode="update")
    code, out, _ = call(capsys, "check")
    assert (code, "read-only" in out) == (0, False)
    assert call(capsys, "plan")[0] == 0
    declare(project, columns=("hs_object_id", "email", "firstname"), **by_id, mode="upsert")
    for command in ("check", "plan"):
        code, out, err = call(capsys, command)
        assert (code, "Write `mode: update`" in " ".join((out + err).split())) == (2, True), command


def test_check_counts_what_is_no_option_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(f"ALTER TABLE {NAME} ADD COLUMN lifecyclestage VARCHAR")
        db.execute(f"UPDATE {NAME} SET lifecyclestage = CASE WHEN golden_id LIKE '%-0' THEN 'lead' ELSE 'Frozen' END")
    declare(project, columns=("golden_id", "email", "lifecyclestage"))
    code, out, _ = call(capsys, "check")
    assert (code, "lifecyclestage: 4 record(s) hold what is no option there: refused there" in out) == (0, True)


def test_an_ephemeral_model_is_refused_by_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = model(NAME, SYNC)
    node["config"]["materialized"] = "ephemeral"
    write_manifest(project, node)
    for command in ("check", "plan", "sync"):
        code, _, err = call(capsys, command)
        assert (code, f"{NAME} is ephemeral" in err) == (2, True)


def test_the_plan_says_how_old_the_table_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = model(NAME, SYNC, columns=("golden_id", "email", "firstname"))
    for kind, said in (("view", False), ("table", True)):
        node["config"]["materialized"] = kind
        write_manifest(project, node)
        assert ("the model's table is at most 2 minutes old" in call(capsys, "plan")[1]) == said


def test_scaffold_shows_matches_clashes_and_what_is_missing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            """
            CREATE TABLE people AS
            SELECT 'a' AS person_id, 'a@x.example' AS email, 'A' AS "First Name", TRUE AS last_seen_at, 1 AS shoe_size
            """
        )
    write_manifest(project, model("people"), model(NAME, SYNC))
    code, out, err = call(capsys, "scaffold", "people", "--to", "hubspot.contacts")
    assert code == 0
    assert "key person_id\n" in err
    assert "✓ First Name VARCHAR → firstname" in err
    assert "✓ last_seen_at BOOLEAN → last_seen_at: true and false into a moment" in err
    assert "✗ shoe_size INTEGER → nothing: no such field" in err
    assert 'cast("First Name" as text) as firstname' in out
    assert 'key: "person_id"' in out
    assert "match_on: email" in out
    assert "-- left out: shoe_size (INTEGER)" in out
    for arguments, said in (
        (("peple", "--to", "hubspot.contacts"), "Did you mean 'people'?"),
        (("people", "--to", "hubspt.contacts"), "Did you mean 'hubspot'?"),
        (("people", "--to", "hubspot"), "names no object"),
    ):
        code, _, err = call(capsys, "scaffold", *arguments)
        assert (code, said in err) == (2, True)


def test_scaffold_finds_a_key_that_is_named_as_no_key_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            """
            CREATE TABLE debtors AS
            SELECT 'same@x.example' AS email, now()::timestamp + to_days(i) AS seen, 'D' || i AS debtor_no
            FROM range(3) AS t(i)
            """
        )
        db.execute("CREATE TABLE visits AS SELECT email, 'V' AS kind FROM debtors")
    write_manifest(project, model("debtors"), model("visits"), model(NAME, SYNC))
    code, out, err = call(capsys, "scaffold", "debtors", "--to", "hubspot.contacts")
    assert (code, 'key: "debtor_no"' in out) == (0, True)
    assert "key debtor_no: unique and not null today" in err
    code, _, err = call(capsys, "scaffold", "visits", "--to", "hubspot.contacts")
    assert (code, "key email: no column is unique and not null: choose a key" in err) == (0, True)


def test_scaffold_overwrites_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / f"dbt_project/models/activation/{NAME}.sql"
    before = file.read_text()
    code, _, err = call(capsys, "scaffold", NAME, "--to", "hubspot.contacts", "--write")
    assert (code, "is there already: nothing was written" in err) == (2, True)
    assert file.read_text() == before
