"""`revetl enrich FILE` against the sandbox's providers, over real HTTP."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from revetl.cli import main as shell
from revetl.enrich.lists.files import open_list
from revetl.sandbox.process import SandboxProcess, read_stats
from tests.support.project_files import enriching_project, write, write_manifest

pytestmark = pytest.mark.xdist_group("enrich_list")  # one sandbox for all
HERE = Path(__file__).resolve().parents[2]
N = 40


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    people = [
        {
            "person_id": f"P{i}",
            "first_name": f"Ada{i}",
            "last_name": "Lovelace",
            "email": f"ada{i}@acme{i}.example",
            "phone": f"+1555000{i:04d}",
            "job_title": "Engineer",
            "seniority": "senior",
            "linkedin_url": f"https://www.linkedin.com/in/ada-{i}",
            "city": "London",
            "country": "United Kingdom",
            "company_id": f"C{i}",
        }
        for i in range(N)
    ]
    companies = [
        {
            "company_id": f"C{i}",
            "name": f"Acme {i}",
            "domain": f"acme{i}.example",
            "industry": "computer software",
            "employee_count": 10 + i,
            "founded_year": 1990,
            "linkedin_url": f"https://www.linkedin.com/company/acme-{i}",
            "city": "London",
            "country": "United Kingdom",
        }
        for i in range(N)
    ]
    pq.write_table(pa.Table.from_pylist(people), folder / "people.parquet")
    pq.write_table(pa.Table.from_pylist(companies), folder / "companies.parquet")
    return folder


@pytest.fixture(scope="module")
def sandbox(truth: Path) -> Iterator[str]:
    with SandboxProcess(truth, options=("--no-limits",)) as running:
        yield running.base_url


@pytest.fixture
def root(tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    enriching_project(tmp_path, sandbox)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leads(people: int = N) -> str:
    rows = "".join(f"00{i},Ada{i},Lovelace,https://www.acme{i}.example/about,1e5,NA\n" for i in range(people))
    return "\ufeffID,First Name,Surname,Website,score,note\n" + rows + '"040",Zoë,"O""Hara, Jr",,,\n'


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_is_enriched_and_its_own_text_is_untouched(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes"]) == 0
    said = capsys.readouterr()
    assert "First Name → first_name" in said.err
    assert "at most $" in said.err
    assert "people_data_labs.person" in said.out
    given = list(csv.DictReader(io.StringIO(leads().removeprefix("\ufeff"))))
    out = read(root / "out.csv")
    assert [{k: row[k] for k in given[0]} for row in out] == given
    found = [row for row in out if row["job_title"]]
    assert len(found) > N / 4
    assert {row["job_title_source"] for row in found} == {"people_data_labs.person"}
    assert all(0 < float(row["job_title_confidence"]) <= 1 for row in found)
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        for row in out:
            if row["email"]:  # one that is not sure says so beside it
                assert row["email_verification"] in ("valid", "catch_all", "unknown")
                assert db.execute(
                    "SELECT count(*) > 0 FROM revetl.enrichment_values WHERE value = ? AND verification = ?",
                    [row["email"], row["email_verification"]],
                ).fetchone() == (True,)
        assert not db.execute("SELECT 1 FROM information_schema.tables WHERE table_name LIKE 'adhoc%'").fetchall()
    # The same list again, and the same people in another list: no request, no question, the same values.
    before = read_stats(sandbox)
    assert shell.run(["enrich", "leads.csv", "-o", "again.csv", "--no-input"]) == 0
    assert (root / "again.csv").read_bytes() == (root / "out.csv").read_bytes()
    assert read_stats(sandbox) == before


def test_its_log_counts_each_providers_calls_and_names_nobody(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", leads())
    flags = ["--verbose", "--log-format", "json", "--log-file", "run.log"]
    assert shell.run([*flags, "enrich", "leads.csv", "-o", "out.csv", "--yes", "--json"]) == 0
    [report] = json.loads(capsys.readouterr().out)["waterfalls"]
    said = (root / "run.log").read_text("utf-8")
    lines = [json.loads(line) for line in said.splitlines()]
    asked = {line["provider"]: line for line in lines if line["message"] == "provider asked"}
    assert sum(line["asked"] for line in asked.values()) == report["asked"] > 0
    calls = [line for line in lines if line["message"] == "provider call ended"]
    assert {call["provider"] for call in calls} == {name for name, line in asked.items() if line["asked"]}
    assert len({line["run_id"] for line in lines if "run_id" in line}) == 1
    for marked in ("Ada", "Lovelace", "acme", "Zoë", "Engineer", "linkedin.com"):
        assert marked not in said


def test_a_model_that_holds_the_same_people_is_served_from_the_lists_answers(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes"]) == 0
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        columns = "email, linkedin_url, phone, job_title, seniority, city, country, company_name"
        db.execute(
            f"CREATE TABLE golden_contacts AS SELECT 'g' || i AS golden_id, 'Ada' || i AS first_name,"
            f" 'Lovelace' AS last_name, 'acme' || i || '.example' AS company_domain,"
            f" {', '.join(f'CAST(NULL AS VARCHAR) AS {c.strip()}' for c in columns.split(','))} FROM range({N}) t(i)"
        )
    name = "golden_contacts"
    node = {
        "resource_type": "model",
        "name": name,
        "database": "tiny",
        "schema": "main",
        "alias": name,
        "package_name": "tiny",
        "config": {},
        "depends_on": {"nodes": []},
    }
    write_manifest(root, {**node, "unique_id": f"model.tiny.{name}"})
    capsys.readouterr()
    before = read_stats(sandbox)
    assert shell.run(["enrich", "-w", "contact_profile", "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert read_stats(sandbox) == before
    [report] = done["waterfalls"]
    assert report["asked"] == 0
    sure = sum(1 for row in read(root / "out.csv") if row["email_verification"] == "valid")
    assert report["fields"]["email"]["filled_after"] == sure


def test_parquet_keeps_its_types_and_an_own_value_comes_first(root: Path) -> None:
    table = pa.table(
        {
            "first name": ["Ada1", "Ada2"],
            "last name": ["Lovelace", "Lovelace"],
            "company": ["Acme 1", "Acme 2"],
            "domain": ["acme1.example", "acme2.example"],
            "phone": ["+1 own", None],
            "amount": pa.array([1, None], pa.int32()),
        }
    )
    pq.write_table(table, root / "leads.parquet")
    assert shell.run(["enrich", "leads.parquet", "-o", "out.parquet", "--yes"]) == 0
    out = pq.read_table(root / "out.parquet")
    assert out.select(table.column_names).equals(table)
    assert out.column("phone_enriched")[0].as_py() == "+1 own"
    assert out.column("phone_enriched_source")[0].as_py() == "input"


def test_stdin_to_stdout(root: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: Any) -> None:
    class Stdin:
        buffer = io.BytesIO(b"first;last;website\nAda3;Lovelace;acme3.example\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    assert shell.run(["enrich", "-", "-o", "-", "--yes"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[0].startswith(
        "first;last;website;email;email_source;email_confidence;email_verification;email_cost_usd;phone"
    )
    assert lines[1].startswith("Ada3;Lovelace;acme3.example;")
    assert len(lines) == 2


def test_nothing_is_spent_without_agreement(root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", leads())
    before = read_stats(sandbox)
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--no-input"]) == 3
    assert "nothing was spent" in capsys.readouterr().err
    assert shell.run(["enrich", "leads.csv", "--dry-run", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["columns"]["company_domain"] == "Website"
    assert float(shown["estimates"][0]["greatest_usd"]) > 0
    assert not (root / "out.csv").exists()
    assert read_stats(sandbox) == before


def test_max_spend_stops_with_3_and_writes_what_was_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--max-spend", "1", "--json"]) == 3
    report = json.loads(capsys.readouterr().out)["waterfalls"][0]
    assert 0 < float(report["spent_usd"]) <= 1
    assert len(read(root / "out.csv")) == N + 1
    # Nothing to spend: what is known is written, and nobody is asked.
    assert shell.run(["enrich", "leads.csv", "-o", "known.csv", "--no-input", "--max-spend", "0", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["waterfalls"][0]["asked"] == 0
    assert (root / "known.csv").read_bytes() == (root / "out.csv").read_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour,size\nred,1\n", "no waterfall can be run over the columns 'colour', 'size'"),
        ("", "the list is empty"),
        ("first name,last name,domain\nAda,Lovelace,acme.example,more\n", "leads.csv:2: 4 cells"),
        ('first name,last name,domain\n"Ada,Lovelace,acme.example\n', "leads.csv:2: not valid CSV"),
        ('first name,"last name,domain\nAda,Lovelace,acme.example\n', "leads.csv:2: not valid CSV"),
    ],
)
def test_a_list_that_cant_be_used_is_refused_before_anything_is_asked(
    root: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    write(root / "leads.csv", text)
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes"]) == 2
    assert expected in capsys.readouterr().err


def test_text_in_another_encoding_is_read_or_refused_with_its_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"Ada,Lovelace,acme{i}.example\n" for i in range(2_000)) + "Zo\xeb,M\xfcller,acme.example\n"
    text = "first name,last name,domain\n" + rows
    (root / "leads.csv").write_bytes(text.encode("cp1252"))
    with open_list("leads.csv", sys.stdin.buffer) as listing:
        assert [*listing.chunks()][-1][-1] == ("Zoë", "Müller", "acme.example")
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--encoding", "utf-8"]) == 2
    err = capsys.readouterr().err
    assert "leads.csv:2002: not UTF-8 text" in err
    assert "CSV UTF-8" in err


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("nowhere/out.csv", "there is no directory nowhere"),
        ("out.json", "End it with .csv or .parquet"),
        ("profiles", "is a directory"),
        ("leads.csv", "Name another file"),
    ],
)
def test_a_target_that_cant_be_written_is_refused_before_anything_is_asked(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str], output: str, expected: str
) -> None:
    write(root / "leads.csv", leads())
    before = read_stats(sandbox)
    assert shell.run(["enrich", "leads.csv", "-o", output, "--yes"]) == 2
    assert expected in capsys.readouterr().err
    assert read_stats(sandbox) == before
    assert (root / "leads.csv").read_text(encoding="utf-8") == leads()


@pytest.mark.parametrize("source", ["leads.rejects.csv", "leads.partial.csv"])
def test_a_list_with_the_name_of_a_file_beside_the_output_is_left_as_it_is(
    root: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    text = leads(1) + "one,cell,too,many,here,in,this,row\n"
    (root / source).write_text(text)
    assert shell.run(["enrich", source, "-w", "contact_profile", "-o", "leads.csv", "--yes"]) == 2
    assert "the list itself" in capsys.readouterr().err
    assert (root / source).read_text() == text
    assert not (root / "leads.csv").exists()


def test_rejects_and_the_enriched_list_are_two_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "in.csv").write_text(leads(1))
    words = ["enrich", "in.csv", "-w", "contact_profile", "-o", "out.csv", "--rejects", "out.csv", "--yes"]
    assert shell.run(words) == 2
    assert "--rejects" in capsys.readouterr().err


def test_a_header_alone_and_a_name_that_comes_twice_are_kept(root: Path) -> None:
    write(root / "leads.csv", "first name,last name,domain,domain\n")
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes"]) == 0
    (header,) = (root / "out.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("first name,last name,domain,domain,email,email_source,email_confidence,")


def test_a_cell_may_hold_a_whole_page(tmp_path: Path) -> None:
    page = "x" * 300_000
    (tmp_path / "list.csv").write_text(f"email,page\nada@acme.example,{page}\n")
    with open_list(str(tmp_path / "list.csv"), sys.stdin.buffer) as listing:
        assert [*listing.chunks()] == [[("ada@acme.example", page)]]


def test_without_anybody_to_ask_the_cost_is_not_agreed_to(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a scheduler's job: stdin is no terminal and has nothing to say."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    write(root / "leads.csv", leads())
    before = read_stats(sandbox)
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv"]) == 3
    err = capsys.readouterr().err
    assert "--yes agrees to the cost" in err
    assert max(map(len, err.splitlines())) < 120
    assert read_stats(sandbox) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-C", "SIGTERM"])
def test_a_stopped_list_pays_for_no_answer_that_it_does_not_keep(
    root: Path, sandbox: str, number: signal.Signals
) -> None:
    write(root / "leads.csv", leads())
    before = read_stats(sandbox)["providers"]["people_data_labs"]["requests"]
    fault = {"route": "* /providers/people_data_labs/*", "kind": "delay", "times": None, "delay_s": 0.3}
    send(sandbox, "POST", fault)
    try:
        process = enrich_process()
        deadline = time.monotonic() + 30
        while read_stats(sandbox)["providers"]["people_data_labs"]["requests"] == before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "nothing was asked"
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        send(sandbox, "DELETE", None)
    assert process.returncode == 130, err
    assert "Stopping: waiting for the requests in flight" in err
    assert "Traceback" not in err
    assert not (root / "out.csv").exists()
    # What was found so far is there, under a name that nobody takes for the whole.
    assert "out.partial.csv" in err
    partial = read(root / "out.partial.csv")
    assert len(partial) == N + 1
    assert any(row["job_title"] for row in partial)
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        assert db.execute("SELECT status FROM revetl.runs").fetchall() == [("interrupted",)]
        ends = "SELECT call_id FROM revetl.enrichment_calls WHERE status <> 'intent'"
        left_open = f"SELECT count(*) FROM revetl.enrichment_calls WHERE call_id NOT IN ({ends}) OR status = 'in_doubt'"
        assert db.execute(left_open).fetchone() == (0,)
    # The next one takes up: together they asked for each of the people once.
    process = enrich_process()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert read_stats(sandbox)["providers"]["people_data_labs"]["requests"] == before + N
    assert len(read(root / "out.csv")) == N + 1
    assert not (root / "out.partial.csv").exists()


def test_a_killed_list_is_taken_up_and_nothing_is_paid_twice(root: Path, sandbox: str) -> None:
    """SIGKILL in the middle, twice, then the same command to its end: the vendors' own invoice has no subject twice."""
    people = 3 * N  # a kill leaves in doubt what had its intent: up to four times what a provider is asked at once
    write(root / "leads.csv", leads(people))
    already = invoice(sandbox)
    fault = {"route": "* /providers/*", "kind": "delay", "times": None, "delay_s": 0.2}
    send(sandbox, "POST", fault)
    try:
        for answers in (3, 12):
            process = enrich_process()
            deadline = time.monotonic() + 60
            while len(invoice(sandbox)) < len(already) + answers:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "nothing was charged"
                time.sleep(0.01)
            process.kill()
            process.communicate(timeout=30)
            assert not (root / "out.csv").exists()
    finally:
        send(sandbox, "DELETE", None)
    process = enrich_process("--report", "report.md", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1), err
    # All rows are there, and what was charged stands in the ledger, or is in doubt there.
    rows = read(root / "out.csv")
    assert len(rows) == people + 1
    assert any(row["job_title"] for row in rows)
    charged = invoice(sandbox)[len(already) :]
    subjects = [(line["vendor"], line["subject"]) for line in charged if line["kind"] == "charge"]
    assert len(subjects) == len(set(subjects))
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        known, doubt = db.execute(
            "SELECT coalesce(sum(charged_usd), 0), coalesce(sum(expected_usd) FILTER (charged_usd IS NULL), 0) FROM"
            " (SELECT call_id, max(charged_usd) AS charged_usd, max(expected_usd) AS expected_usd"
            " FROM revetl.enrichment_calls GROUP BY call_id)"
        ).fetchone() or (0, 0)
    billed = sum(Decimal(line["usd"]) for line in charged)
    assert known <= billed <= known + doubt
    assert json.loads(out)["waterfalls"][0]["recovered_in_doubt"] > 0
    assert "never ended: they are in doubt" in (root / "report.md").read_text()


def invoice(url: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{url}/_sandbox/invoice") as answer:
        rows: list[dict[str, str]] = json.load(answer)["rows"]
        return sorted(rows, key=lambda row: row["at"])


def test_the_report_fits_eighty_columns_and_a_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(root / "leads.csv", leads())
    for name in ("report.md", "report.html"):
        assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--report", name]) == 0
        if name == "report.md":
            said = capsys.readouterr()
    assert max(map(len, said.out.splitlines())) <= 80
    for word in ("per found", "filled by", "job_title", "people_data_labs.person", "Spent $", "blanks hold a value, $"):
        assert word in said.out
    markdown = (root / "report.md").read_text()
    assert "| provider | asked | found | missed |" in markdown
    page = (root / "report.html").read_text()
    assert page.count("<table>") == page.count("</table>") == 2
    assert "acme" not in markdown + page  # nobody's data
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--report", "report.txt"]) == 2
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--report", "nowhere/report.md"]) == 2


def enrich_process(*more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "revetl.cli.main", "enrich", "leads.csv", "-o", "out.csv", "--yes", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def send(url: str, method: str, fault: Any) -> None:
    body = None if fault is None else json.dumps(fault).encode()
    request = urllib.request.Request(
        f"{url}/_sandbox/faults", body, {"content-type": "application/json"}, method=method
    )
    urllib.request.urlopen(request, timeout=10).close()


def test_wrong_words_on_the_command_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv"]) == 2
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "-w", "contact_profil"]) == 2
    assert "Did you mean 'contact_profile'?" in capsys.readouterr().err


def test_a_refused_key_ends_with_4(root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]) -> None:
    connections = root / "profiles/connections.yml"
    connections.write_text(connections.read_text().replace("key-of-a-test", "bad-key"))
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes"]) == 4
    said = capsys.readouterr()
    assert "bad-key" not in said.out + said.err


def test_the_first_rows_of_a_list_are_its_first_rows(root: Path) -> None:
    write(root / "leads.csv", leads())
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--limit", "12"]) == 0
    sources = [row["job_title_source"] for row in read(root / "out.csv")]
    assert any(sources[:12])
    assert not any(sources[12:])
    assert len(sources) == N + 1


def test_a_column_that_is_named_and_cells_that_say_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", "Wer,Nachname,Web,Email\nAda1,Lovelace,acme1.example,N/A\nAda2,Lovelace,gmail.com,-\n")
    asked = ["enrich", "leads.csv", "-o", "out.csv", "--yes", "--column", "Wer=first_name"]
    assert shell.run([*asked, "--column", "Web=company_domain"]) == 0
    err = capsys.readouterr().err
    assert "Wer → first_name" in err
    assert "Email: 2 cells can't be used" in err
    assert "Web: 1 cell can't be used" in err
    for row in read(root / "out.csv"):
        assert row["email_source"] != "input"
        assert row["Email"] in ("N/A", "-")
    assert shell.run([*asked, "--column", "Web"]) == 2
    assert "NAME=INPUT" in capsys.readouterr().err


def test_money_stands_beside_what_it_bought(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # One stands in it twice, and one is known to nobody.
    write(root / "leads.csv", leads(6) + leads(1).splitlines(keepends=True)[1] + "No,Body,nowhere.example,,\n")
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--json"]) == 0
    spent = sum(Decimal(w["spent_usd"]) for w in json.loads(capsys.readouterr().out)["waterfalls"])
    rows = read(root / "out.csv")
    costs = [Decimal(cell) for row in rows for name, cell in row.items() if name.endswith("_cost_usd") and cell]
    assert abs(sum(costs) - spent) < Decimal("0.0000001")
    found = [row for row in read(root / "out.csv") if row["job_title"]]
    assert found
    assert all(Decimal(row["job_title_cost_usd"]) > 0 for row in found)
    assert {row["email_verification"] for row in found if row["email"]} <= {"valid", "catch_all"}


def test_a_list_is_verified_and_nobody_is_asked_for_more(
    root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "First,Last,Website,Mail\nAda1,Lovelace,acme1.example,ADA1@acme1.example\n"
    write(root / "leads.csv", text + "No,Body,acme2.example,x@acme2.example\nAda2,Lovelace,acme2.example,\n")
    before = read_stats(sandbox)
    command = ["enrich", "leads.csv", "-o", "out.csv", "--yes", "--verify-only"]
    assert shell.run(command) == 0
    said = capsys.readouterr().err
    assert "email of the list: 1 invalid, 1 valid." in said
    first, second, third = read(root / "out.csv")
    assert (first["email"], first["email_source"], first["email_verification"]) == (
        "ada1@acme1.example",
        "input",
        "valid",
    )
    # What is false is said, not taken away; and nothing is looked for.
    assert (second["email"], second["email_verification"]) == ("x@acme2.example", "invalid")
    assert (third["email"], third["job_title"]) == ("", "")
    assert Decimal(first["email_cost_usd"]) == Decimal(second["email_cost_usd"]) > 0
    # Again: the verdicts are known. Without --verify-only, who has a false address is looked for like who has none.
    asked = read_stats(sandbox)
    assert asked != before
    assert shell.run(command) == 0
    assert read_stats(sandbox) == asked
    assert shell.run(["enrich", "leads.csv", "-o", "all.csv", "--yes"]) == 0
    assert read_stats(sandbox) != asked
    assert read(root / "all.csv")[0]["email_source"] == "input"


def test_a_list_without_anything_to_verify_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", "First,Last,Website\nAda1,Lovelace,acme1.example\n")
    assert shell.run(["enrich", "leads.csv", "-o", "out.csv", "--yes", "--verify-only"]) == 2
    assert "What is verified: email" in capsys.readouterr().err


def test_rows_that_cant_be_read_stand_beside_the_output(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "leads.csv", "First,Last,Website\nAda1,Lovelace,acme1.example,more\nAda2,Lovelace,acme2.example\n")
    command = ["enrich", "leads.csv", "--yes", "--max-spend", "0"]
    assert shell.run([*command, "-o", "out.csv"]) == 3
    assert "1 row can't be read (line 2: 4 cells" in capsys.readouterr().err
    assert [row["First"] for row in read(root / "out.csv")] == ["Ada2"]
    assert "more" in (root / "out.rejects.csv").read_text(encoding="utf-8-sig")
    assert shell.run([*command, "-o", "-"]) == 2
    assert shell.run([*command, "-o", "-", "--rejects", "bad.csv"]) == 3
    assert (root / "bad.csv").exists()


def test_a_spreadsheet_in_and_out(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = openpyxl.Workbook()
    for row in (["First", "Last", "Website"], ["Ada3", "Lovelace", "acme3.example"]):
        book.active.append(row)
    book.create_sheet("Notes")
    book.save(root / "leads.xlsx")
    assert shell.run(["enrich", "leads.xlsx", "-o", "out.xlsx", "--yes"]) == 0
    assert "Of 2 sheets 'Sheet' is read." in capsys.readouterr().err
    header, ada = openpyxl.load_workbook(root / "out.xlsx").active.iter_rows(values_only=True)
    found = dict(zip(header, ada, strict=True))
    assert (found["First"], found["linkedin_url"]) == ("Ada3", "https://linkedin.com/in/ada-3")
    assert isinstance(found["linkedin_url_cost_usd"], float)
    # The order of the providers can be looked at over the same list, without a model.
    assert shell.run(["tune", "contact_profile", "leads.xlsx"]) == 0
