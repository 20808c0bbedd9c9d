"""A record is named by its key or the beginning of it, an email, or the id that the destination gave."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import NAME, call, source


@pytest.fixture
def sent(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    rows = [("Ann", "aa11"), ("Bob", "aa22"), ("Cid", "bb33")]
    source(project, [(f"{key}-{project.name}", f"{name}@{project.name}.example", name) for name, key in rows])
    assert call(capsys, "sync")[0] == 0
    return project


def id_of(root: Path, key: str) -> str:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        found = db.execute(f"SELECT destination_id FROM revetl.snapshot__{NAME} WHERE key = ?", [key]).fetchone()
    assert found is not None
    return str(found[0])


def test_whatever_names_a_record_finds_it(sent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = f"bb33-{sent.name}"
    run_id = json.loads(call(capsys, "runs", "--json")[1])[0]["run_id"]
    source(sent, [(key, f"Cid@{sent.name}.example", "Changed")])
    for text in (key, "bb33", f"cid@{sent.name}.EXAMPLE", id_of(sent, key)):
        code, out, _ = call(capsys, "explain", text, "--json")
        assert (code, json.loads(out)["key"]) == (0, key), text
        code, out, _ = call(capsys, "explain", text)
        assert (code, out.splitlines()[0]) == (0, key), text
        code, out, _ = call(capsys, "runs", "show", run_id, "--key", text, "--json")
        assert (code, json.loads(out)["record"]["key"], len(json.loads(out)["record"]["outcomes"])) == (0, key, 1), text
        code, out, _ = call(capsys, "plan", "--show", text)
        assert (code, f"update {key}" in out, "Cid → Changed" in out) == (0, True, True), text
        code, out, _ = call(capsys, "plan", "--show", text, "--json")
        assert (code, [line["key"] for line in json.loads(out)[0]["rows"]]) == (0, [key]), text
        code, out, _ = call(capsys, "rollback", run_id, "--key", text, "--dry-run", "--json")
        assert (code, json.loads(out)[0]["plan"]["left"]) == (0, 1), text
        code, out, _ = call(capsys, "drift", NAME, "--key", text, "--json")
        assert (code, json.loads(out)["drift"]["read"]) == (0, 1), text


def test_several_records_that_fit_are_listed_with_how(sent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["explain", "aa"], ["plan", "--show", "aa"], ["runs", "show", "latest", "--key", "aa"]):
        code, out, err = call(capsys, *command)
        assert (code, "'aa' fits 2 records" in err, "update" in out) == (2, True, False), command
        assert f"aa11-{sent.name}  by beginning of the key  in {NAME}" in err
        assert f"aa22-{sent.name}  by beginning of the key" in err
        assert "bb33" not in err


def test_many_records_that_fit_are_listed_in_part(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(project, [(f"many-{i:02}", f"m{i}@{project.name}.example", "M") for i in range(14)])
    code, _, err = call(capsys, "explain", "many")
    assert (code, "fits 14 records" in err, "many-09" in err, "many-10" in err) == (2, True, True, False)
    assert "… 4 more" in err


def test_a_whole_key_is_meant_before_the_beginning_of_another(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source(project, [(key, f"k{key}@{project.name}.example", "K") for key in ("1", "12", "123")])
    code, out, _ = call(capsys, "explain", "12", "--json")
    assert (code, json.loads(out)["key"]) == (0, "12")


def test_where_nothing_is_found_it_is_said_what_was_looked_at(sent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["explain", "nobody"], ["explain", "nobody", "--json"]):
        code, out, err = call(capsys, *command)
        said = out + err
        assert (code, "nothing is known of 'nobody'" in said) == (2, True), command
        assert "keys and their beginnings, ids of destinations, email" in said
        assert f"{NAME}, snapshot__{NAME}" in said
