"""revetl erase as a person calls it, against the sandbox on loopback."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from revetl import project as projects
from revetl.enrich.execution.answer_spool import AnswerSpool, KeptAnswer
from revetl.state.calls import CallOutcome, PaidCall, append_intents
from revetl.state.values import ValueRow
from tests.support.cli_project import NAME, call


@pytest.fixture
def synced(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert call(capsys, "sync")[0] == 0
    return project


def held(root: Path) -> list[str]:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        return [row[0] for row in db.execute(f"SELECT key FROM revetl.snapshot__{NAME} ORDER BY key").fetchall()]


def test_shown_first_and_nothing_happens_unless_somebody_agrees(
    synced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    email = f"p1@{synced.name}.example"
    for more, code in (["--dry-run"], 0), ([], 3):
        found, out, _ = call(capsys, "erase", "--email", email, *more)
        assert found == code
        assert f"{synced.name}-1" in out
        assert f"snapshot__{NAME}" in out
        assert "Still at the destinations" in out
        assert len(held(synced)) == 5
    assert call(capsys, "erase", "--email", email, "--yes")[0] == 0
    assert held(synced) == [f"{synced.name}-{i}" for i in (0, 2, 3, 4)]
    code, out, _ = call(capsys, "plan")
    assert code == 0
    assert "1 suppressed" in out
    code, out, _ = call(capsys, "sync")
    assert "1 record(s) of erased people were left out" in out
    assert len(held(synced)) == 4


def test_by_key_and_by_file_as_one_document(synced: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    requests = tmp_path / "requests.csv"
    requests.write_text(f"E-Mail,Golden ID\nP2@{synced.name}.example,\n,{synced.name}-3\n")
    code, out, _ = call(capsys, "erase", "--key", f"{synced.name}-0", "--file", str(requests), "--yes", "--json")
    said = json.loads(out)
    assert (code, said["erased"]) == (0, True)
    assert {r["key"] for r in said["records"]} == {f"{synced.name}-{i}" for i in (0, 2, 3)}
    assert said["tables"][f"snapshot__{NAME}"] == len(said["destinations"]) == 3
    assert held(synced) == [f"{synced.name}-{i}" for i in (1, 4)]
    code, out, _ = call(capsys, "erase", "--file", str(requests), "--yes", "--json")
    assert (code, json.loads(out)["tables"]) == (0, {})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say who"),
        (["--email", "a@x.example", "--json"], "can't ask"),
        (["--file", "-"], "stdin"),
        (["--file", "nowhere.csv", "--yes"], "no such file"),
        (["--key", "nobody-has-this", "--yes"], "no record has the key 'nobody-has-this'"),
        (["--email", "ada", "--yes"], "'ada' is no email address"),
        (["--email", "@x.example", "--dry-run"], "'@x.example' is no email address"),
        (["--linkedin", "ada-lovelace", "--yes"], "is no LinkedIn profile"),
    ],
)
def test_mistakes_change_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, _, err = call(capsys, "erase", *arguments)
    assert code == 2
    assert says in err


def test_a_part_of_a_key_erases_nobody(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in (synced.name, f"{synced.name}-", f"{synced.name}-1%"):
        code, out, err = call(capsys, "erase", "--key", f"{synced.name}-1", "--key", key, "--yes")
        assert (code, out) == (2, "")
        assert f"no record has the key '{key}'" in err
    assert len(held(synced)) == 5


def test_a_record_that_was_never_sent_can_be_kept_out(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "erase", "--key", f"{project.name}-2", "--yes")[0] == 0
    assert "1 suppressed" in call(capsys, "plan")[1]


def test_somebody_who_is_not_held_is_not_called_erased(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "erase", "--email", "stranger@x.example", "--yes")
    assert code == 0
    assert "Nothing is held of them, so nothing was erased." in out
    assert "Erased" not in out


def test_a_list_without_anybody_is_refused(project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("First name,Last name\nAda,Lovelace\n")
    code, _, err = call(capsys, "erase", "--file", str(tmp_path / "names.csv"), "--yes")
    assert code == 2
    assert "names nobody" in err


def test_whom_a_kept_file_of_paid_answers_names_is_erased_from_it_too(
    synced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run could not write what it had paid for: its answers lie beside the warehouse."""
    key, bought, now = f"{synced.name}-1", "bought@x.example", datetime(2026, 1, 1, tzinfo=UTC)
    loaded = projects.load(synced)

    def kept(n: int, of: str, value: str) -> KeptAnswer:
        call = PaidCall(f"c{n}", "r0", "emails", "hunter.email_finder", (of,), f"h{n}", "1", Decimal("0.10"), now)
        row = ValueRow("golden_contacts", of, "email", value, call.provider, 0.9, None, call.call_id, now, None, None)
        return KeptAnswer(call, CallOutcome("hit", now, 200, Decimal("0.05"), response={"email": value}), [row])

    answers = [kept(1, key, bought), kept(2, f"{synced.name}-2", "other@x.example")]
    with closing(loaded.open_warehouse()) as warehouse:
        append_intents(warehouse, [each.call for each in answers])
    path = AnswerSpool(loaded.state_dir).keep("r0", answers)
    assert path is not None
    assert bought in path.read_text()
    assert call(capsys, "erase", "--key", key, "--yes")[0] == 0
    assert list(path.parent.iterdir()) == []
    with duckdb.connect(str(synced / "tiny.duckdb")) as db:
        rows = db.execute("SELECT keys, response, charged_usd FROM revetl.enrichment_calls").fetchall()
        values = db.execute("SELECT value FROM revetl.enrichment_values").fetchall()
    assert values == [("other@x.example",)]
    assert sum(row[2] or 0 for row in rows) == Decimal("0.10")
    assert bought not in str(rows)
    assert key not in str(rows)


def test_a_file_that_comes_after_names_nobody_who_was_erased(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was under way leaves its file when the person is erased already."""
    email, key, now = f"p1@{synced.name}.example", f"{synced.name}-1", datetime(2026, 1, 1, tzinfo=UTC)
    loaded = projects.load(synced)
    asked = PaidCall("c1", "r0", "emails", "hunter.email_finder", (key,), "h1", "1", Decimal("0.10"), now)
    row = ValueRow("golden_contacts", key, "email", email, asked.provider, 0.9, None, "c1", now, None, None)
    with closing(loaded.open_warehouse()) as warehouse:
        append_intents(warehouse, [asked])
    assert call(capsys, "erase", "--email", email, "--yes")[0] == 0
    answer = KeptAnswer(asked, CallOutcome("hit", now, 200, Decimal("0.05"), response={"email": email}), [row])
    path = AnswerSpool(loaded.state_dir).keep("r0", [answer])
    assert path is not None
    assert call(capsys, "erase", "--email", "somebody@else.example", "--yes")[0] == 0
    assert not path.exists()
    with duckdb.connect(str(synced / "tiny.duckdb")) as db:
        rows = db.execute("SELECT * FROM revetl.enrichment_calls").fetchall()
        assert db.execute("SELECT count(*) FROM revetl.enrichment_values").fetchall() == [(0,)]
    assert len(rows) == 2
    assert email not in str(rows)
    assert key not in str(rows)
