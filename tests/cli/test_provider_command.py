"""`revetl provider`: one lookup, and the examples of a project played."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from revetl.cli import main as shell
from tests.support.project_files import enriching_project, write

INPUTS = ["--input", "email=ada0@c0.example"]
LOOKUP = ["provider", "try", "people_data_labs.person", *INPUTS]


@pytest.fixture
def project(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped providers, with the sandbox's vendors behind them."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    return enriching_project(tmp_path, sandbox_url)


def rows(project: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        return db.execute(sql).fetchall()


def test_one_lookup_is_shown_and_stands_in_the_ledger(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Nobody can be asked, so nothing that costs money leaves.
    assert shell.run([*LOOKUP, "--no-input"]) == 3
    assert "At most $0.28" in capsys.readouterr().out
    assert shell.run([*LOOKUP, "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "GET http://127.0.0.1" in shown
    assert "X-Api-Key: ***" in shown
    assert "email=ada0%40c0.example" in shown
    assert ("hit  HTTP 200" in shown) or ("miss  HTTP 404" in shown)
    found = rows(project, "SELECT waterfall, provider, status FROM revetl.enrichment_calls ORDER BY status")
    assert [row[:2] for row in found] == [("provider_try", "people_data_labs.person")] * 2
    assert "intent" in {row[2] for row in found}
    assert rows(project, "SELECT command FROM revetl.runs") == [("provider try",)]
    assert not [
        n for (n,) in rows(project, "SELECT table_name FROM duckdb_tables()") if str(n).startswith("adhoc_input")
    ]


def test_the_same_question_is_not_paid_for_twice(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run([*LOOKUP, "--yes", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert shell.run([*LOOKUP, "--yes", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (first["asked"], second["asked"]) == (True, False)
    assert (second["verdict"], second["values"], second["response"]) == (
        first["verdict"],
        first["values"],
        first["response"],
    )
    assert "key-of-a-test" not in json.dumps([first, second])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["people_data_labs.persn", *INPUTS], 2, "Did you mean 'people_data_labs.person'?"),
        (["people_data_labs.person", "--input", "emial=a@b.example"], 2, "Did you mean 'email'?"),
        (["people_data_labs.person", "--input", "email"], 2, "--input is NAME=VALUE"),
        (["people_data_labs.person", "--input", "email=N/A"], 2, "not what the input is for"),
        (["people_data_labs.person", "--input", "first_name=Ada"], 2, "that is not enough"),
    ],
)
def test_what_can_not_be_asked_is_told(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert shell.run(["provider", "try", *arguments, "--yes"]) == code
    assert says in capsys.readouterr().err


PROVIDER = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: none}
status: [{http: 404, verdict: miss}, {http: 429, verdict: slow_down, wait_s: 9}, {http: 200, verdict: hit}]
endpoints:
  phone:
    entity: person
    inputs: [email]
    sufficient: [[email]]
    request: {path: /v1/phone, query: {email: "{email}"}}
    outputs:
      phone: {at: /mobile}
      city: {at: /city}
    price: {per_hit_usd: 0.1}
"""
EXAMPLE = """\
provider: acme.phone
inputs: {email: ada@x.example}
exchanges:
  - request: {method: GET, path: /v1/phone, query: {email: ada@x.example}}
    response: {status: 200, body: {mobile: "+442079460101", town: London}}
answer: {status: hit, charged_usd: 0.1, values: {phone: {value: "+442079460101"}}}
"""


def test_examples_are_played_and_dead_pointers_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "enrichment/providers/acme.yml", PROVIDER)
    write(project / "enrichment/examples/acme/phone.hit.yml", EXAMPLE)
    assert shell.run(["provider", "test", "acme"]) == 1
    shown = capsys.readouterr().out
    assert (
        "enrichment/providers/acme.yml:13: no example shows a value of 'city': nothing usable stands at /city" in shown
    )
    assert "acme.phone: no example of throttled, error" in shown
    assert "1 examples hold, 0 do not; 1 dead pointers." in shown

    write(project / "enrichment/providers/acme.yml", PROVIDER.replace("/city}", "/town}"))
    write(project / "enrichment/examples/acme/phone.hit.yml", EXAMPLE.replace("0.1, values", "0.2, values"))
    assert shell.run(["provider", "test", "acme.phone", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (example,) = document["examples"]
    assert example["file"] == "enrichment/examples/acme/phone.hit.yml"
    assert example["differences"] == [
        "charged_usd is 0.1, not 0.2",
        "city is 'London', not nothing",
    ]

    written = EXAMPLE.replace("values: {phone", "values: {city: {value: London}, phone")
    write(project / "enrichment/examples/acme/phone.hit.yml", written)
    assert shell.run(["provider", "test", "acme"]) == 0
    assert shell.run(["provider", "test", "acem"]) == 2
    assert "Did you mean 'acme'?" in capsys.readouterr().err


def test_a_missing_key_is_named_before_anything_else(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = project / "profiles/connections.yml"
    write(connections, connections.read_text().replace(", api_key: key-of-a-test", "", 1))
    for command in ([*LOOKUP, "--yes"], ["enrich", "people.csv", "-o", "out.csv", "--yes"]):
        write(project / "people.csv", "email\nada@analytical.example\n")
        monkeypatch.chdir(project)
        assert shell.run(command) == 2
        shown = capsys.readouterr()
        assert "connections.yml:3: provider people_data_labs: 'api_key' is missing" in shown.err
        assert "expected" not in shown.out + shown.err
    # A dry run asks nobody: it says so, and what it would cost.
    assert shell.run(["enrich", "people.csv", "--dry-run"]) == 0
    assert "'api_key' is missing" in capsys.readouterr().err


def test_examples_that_are_not_there_test_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "enrichment/providers/acme.yml", PROVIDER)
    assert shell.run(["provider", "test", "acme"]) == 1
    assert "Nothing was tested" in capsys.readouterr().out
