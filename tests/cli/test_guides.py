"""README.md and the guides over the starter: every command and output on them, as a reader types and sees them.

The demo is run once; each page has a copy of the project that it leaves, and a sandbox of its own.
"""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import openpyxl
import pytest

from tests.support.cli_project import sandbox_thread
from tests.support.guides import PAGES, REPOSITORY, Reader, reader
from tests.support.small_project import SOURCES, small_project

pytestmark = pytest.mark.xdist_group("guides")


@dataclass(frozen=True)
class Demo:
    directory: Path
    printed: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """As `make demo` runs it."""
    root = tmp_path_factory.mktemp("demo")
    with reader(root, root / "state", print) as somebody:
        printed = somebody.shell("COLUMNS=80 revetl demo")
    assert "All of it took" in printed, printed[-4_000:]
    return Demo(root / ".demo", printed)


class Project:
    """A copy of the demo's project."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.directory / "warehouse.duckdb")) as db:
            return db.execute(sql).fetchall()

    def one(self, sql: str) -> str:
        return str(self.ask(sql)[0][0])

    def run_of(self, sync: str, place: int = 0) -> str:
        """The id of its last run that sent something, or of an earlier one."""
        sql = f"select run_id from revetl.runs where subject = '{sync}' and requests > 0 order by started_at desc"
        return str(self.ask(sql)[place][0])


@pytest.fixture
def project(demo: Demo, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(demo.directory, tmp_path / "crm")))


@pytest.fixture
def somebody(project: Project, tmp_path: Path) -> Iterator[Reader]:
    with reader(project.directory, tmp_path / "state", project.ask) as made:
        yield made


def serve(somebody: Reader) -> None:
    """Where the page takes it as given that a sandbox, or the account, is there."""
    somebody.serve("revetl sandbox start --truth truth --data-dir sandbox")


def hubspot_contact(somebody: Reader, email: str, **properties: str) -> None:
    """Somebody edits a contact in HubSpot."""
    request = urllib.request.Request(
        f"{somebody.environ['HUBSPOT_BASE_URL']}/crm/v3/objects/contacts/{email}?idProperty=email",
        data=json.dumps({"properties": properties}).encode(),
        method="PATCH",
        headers={"authorization": "Bearer pat-people", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_readme(demo: Demo, tmp_path: Path) -> None:
    project = Project(Path(shutil.copytree(demo.directory, tmp_path / ".demo")))
    (project.directory / "leads.csv").write_text("first name,last name,website\nAda,King,brightmill.example\n")
    with reader(tmp_path, tmp_path / "state", project.ask) as somebody:
        somebody.printed = {"make demo": demo.printed}
        somebody.stands_for = {
            " RUN": lambda: f" {project.run_of('hubspot__contacts')[-6:]}",
            " SYNC": lambda: " hubspot__contacts",
            " WATERFALL": lambda: " contact_profile",
            " KEY": lambda: f" {project.one('select min(golden_id) from analytics.hubspot__contacts')}",
            " ADDRESS": lambda: f" {project.one('select min(email) from analytics.hubspot__contacts')}",
        }
        somebody.read("README.md")


def test_a_first_sync(tmp_path: Path) -> None:
    project = Project(tmp_path / "crm")
    with reader(tmp_path, tmp_path / "state", project.ask) as somebody:
        # The first build has shown that dbt's unit tests pass: the later one need not repeat them.
        somebody.before = {"revetl plan": lambda: somebody.environ.update(DBT_EXCLUDE_RESOURCE_TYPES="unit_test")}
        somebody.read("docs/guides/first-sync.md")
    # What the page says of the three customers.
    companies = project.ask(
        "select email, company from analytics.hubspot__contacts where company_golden_id is not null order by 1"
    )
    assert [company for _, company in companies] == ["Brightmill Ltd", "Brightmill Ltd", "North Pier"]


def test_a_waterfall(somebody: Reader, project: Project) -> None:
    somebody.read("docs/guides/waterfall.md")
    spent = project.ask("select sum(committed_usd) from revetl.enrichment_spend where waterfall = 'emails'")
    assert 0 < float(str(spent[0][0])) <= 2


def test_lists(somebody: Reader, project: Project) -> None:
    somebody.read("docs/guides/lists.md")
    assert "Hazellight; Materials" in (project.directory / "verified.rejects.csv").read_text(encoding="utf-8-sig")
    sheet = openpyxl.load_workbook(project.directory / "companies.xlsx").active
    assert sheet is not None
    assert [cell.value for cell in sheet[2]][:3] == [
        "https://www.clearbank-security.example/about",
        "kim",
        "logistics and supply chain",
    ]


def test_a_schedule(tmp_path: Path) -> None:
    """Under cron's and systemd's bare environments, with the page's folder where the project is. Of a small project:
    what it runs is run whole three times."""
    project = Project(tmp_path / "crm")
    project.directory.mkdir()
    with sandbox_thread() as url, reader(project.directory, tmp_path / "state", project.ask) as somebody:
        output = {"type": "duckdb", "path": "warehouse.duckdb", "schema": "main", "threads": 1}
        small_project(project.directory, output, "{{ env_var('SANDBOX') }}")
        project.ask("create schema raw")
        for statement in SOURCES:
            project.ask(statement)
        somebody.environ["SANDBOX"] = url
        (project.directory / ".env").write_text(f"SANDBOX={url}\n")
        (project.directory / "logs").mkdir()
        (project.directory / ".venv").mkdir()
        (project.directory / ".venv/bin").symlink_to(Path(somebody.environ["PATH"].split(":")[0]))
        somebody.stands_for = {
            "/srv/crm": lambda: str(project.directory),
            " RUN": lambda: f" {project.run_of('hubspot__contacts')[-6:]}",
        }
        somebody.read("docs/guides/schedule.md")
    assert json.loads((project.directory / "logs/run.json").read_text())["exit_code"] == 0
    assert "run finished" in (project.directory / "logs/revetl.log").read_text()


def test_money(somebody: Reader, project: Project) -> None:
    somebody.read("docs/guides/money.md")
    assert somebody.ask_inline("docs/guides/money.md") >= 5


def test_trust(somebody: Reader, project: Project) -> None:
    """Its record is one whose own job title stands, with a title that was bought."""
    of = "select min(key) from analytics.enrichment_provenance where field = 'job_title' and reason = 'first_party'"
    somebody.stands_for = {" KEY": lambda: f" {project.one(of)}"}
    somebody.read("docs/guides/trust.md")


def test_the_rows_that_trust_has_one_edit_are_rows_of_the_seeds() -> None:
    page = PAGES["docs/guides/trust.md"].read_text()
    seeds = REPOSITORY / "dbt_project/seeds"
    headers = {path.name: path.read_text().splitlines()[0].split(",") for path in seeds.glob("*.csv")}
    edits = re.findall(r"^\|[^|]+\| `(\w+\.csv)`: ([^|]+)\|$", page, re.MULTILINE)
    assert len(edits) >= 6
    for file, edit in edits:
        named = re.findall(r"`([^`]+)`", edit)
        rows = [row.split(",") for row in named if "," in row]
        assert all(len(row) == len(headers[file]) for row in rows), edit
        declared = (seeds / "seeds.yml").read_text()
        words = [word for word in named if "," not in word]
        assert all(word in headers[file] or re.search(rf"\b{word}\b", declared) for word in words), edit


def test_a_plan_is_reviewed(somebody: Reader, project: Project, tmp_path: Path) -> None:
    """Of a pull request that has a city spelled as its people spell it."""
    serve(somebody)
    model = project.directory / "dbt_project/models/activation/hubspot__contacts.sql"
    somebody.environ["DBT_EXCLUDE_RESOURCE_TYPES"] = "unit_test"  # the page says nothing of them
    edited = model.read_text().replace("        city,\n", "        replace(city, 'Munich', 'München') as city,\n")
    model.write_text(edited)
    somebody.shell("revetl build -s hubspot__contacts")
    somebody.environ["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    moved = "select min(golden_id) from analytics.hubspot__contacts where city = 'München'"
    somebody.stands_for = {"c07e2c": lambda: project.one(moved)[:6]}
    somebody.read("docs/guides/review-a-plan.md")
    assert "| `hubspot__contacts` | 0 | 0 | 16 |" in (tmp_path / "summary.md").read_text()


def test_a_run_is_rolled_back(somebody: Reader, project: Project) -> None:
    """A wrong model shouted at Germany, and two people there were edited since; later others are."""
    serve(somebody)
    in_germany = (
        "select email from analytics.hubspot__contacts where country = 'Germany' and city is not null order by 1"
    )
    first, second, *others = [str(row[0]) for row in project.ask(in_germany)]

    def wrong_model() -> None:
        if somebody.environ.get("ROLLED") is None:
            somebody.environ["ROLLED"] = "yes"
            project.ask(
                "update analytics.hubspot__contacts set city = upper(city), company = upper(company)"
                " where country = 'Germany'"
            )
            somebody.shell("revetl sync")
            hubspot_contact(somebody, first, city="Potsdam")
            hubspot_contact(somebody, second, city="Potsdam", company="Potsdam Labs")

    def edits() -> None:
        for email in others[:3]:
            hubspot_contact(somebody, email, city="Potsdam")

    somebody.before = {"revetl runs": wrong_model, "revetl drift": edits}
    somebody.stands_for = {"bd1fb1": lambda: project.run_of("hubspot__contacts")[-6:]}
    somebody.read("docs/guides/roll-back-a-run.md")


def test_a_destination_is_left(somebody: Reader, project: Project) -> None:
    """Somebody edited one contact since, and it keeps what they wrote."""
    serve(somebody)
    email = project.one("select min(email) from analytics.hubspot__contacts where city is not null")
    hubspot_contact(somebody, email, city="Potsdam")
    somebody.read("docs/guides/leave-a-destination.md")
    mapped = (somebody.cwd / "contacts.csv").read_text().splitlines()
    assert len(mapped) == 1 + int(project.one("select count(*) from analytics.hubspot__contacts"))
    tables = "select count(*) from information_schema.tables where table_name like '%hubspot__contacts'"
    assert project.one(f"{tables} and table_schema = 'revetl'") == "0"


def test_syncs_stand_or_fall_together(somebody: Reader, project: Project) -> None:
    """Nine companies are due with another city, and a contact has an address that HubSpot refuses until its people
    mend the row."""
    serve(somebody)
    one = "golden_id in (select min(golden_id) from analytics.hubspot__contacts)"
    address = project.one(f"select email from analytics.hubspot__contacts where {one}")

    def wrong_rows() -> None:
        project.ask("update analytics.hubspot__companies set city = upper(city) where country = 'Germany'")
        project.ask(f"update analytics.hubspot__contacts set email = 'ada@brightmill.e' where {one}")

    retries: list[str] = []

    def mended_at_last() -> None:
        """The page looks first, and retries then."""
        retries.append("now")
        if len(retries) == 2:
            project.ask(f"update analytics.hubspot__contacts set email = '{address}' where {one}")

    somebody.before = {"revetl plan": wrong_rows, "revetl retry": mended_at_last}
    somebody.read("docs/guides/sagas.md")
    assert project.ask("select step from revetl.sagas order by began_at") == [("undone",), ("done",)]


def test_a_backup_is_restored(somebody: Reader, project: Project) -> None:
    """One evening after it was made: a run has sent other cities since."""
    serve(somebody)
    somebody.environ["DBT_EXCLUDE_RESOURCE_TYPES"] = "unit_test"  # the page says nothing of them
    shutil.copy(project.directory / "warehouse.duckdb", project.directory / "backup.duckdb")
    model = project.directory / "dbt_project/models/activation/hubspot__contacts.sql"
    as_it_was = model.read_text()
    model.write_text(as_it_was.replace("        city,\n", "        replace(city, 'Munich', 'München') as city,\n"))
    somebody.shell("revetl build -s hubspot__contacts")
    assert "16" in somebody.shell("revetl sync -s hubspot__contacts")
    model.write_text(as_it_was)
    somebody.read("docs/guides/backup-and-restore.md", {"yaml sync": "tests/unit/test_sync_definition_guide.py"})
    sent = project.ask("select count(*) from revetl.outcomes where op = 'create' and status = 'ok'")
    assert sent == project.ask(
        "select count(distinct sync || key) from revetl.outcomes where op = 'create' and status = 'ok'"
    )


def test_a_person_is_forgotten(somebody: Reader, project: Project) -> None:
    """A contact to whom a provider gave six values."""
    serve(somebody)
    of = "select key from revetl.enrichment_values where entity = 'golden_contacts' group by 1 having count(*) = 6"
    key = project.one(f"select golden_id from analytics.hubspot__contacts where golden_id in ({of}) order by 1")
    email = project.one(f"select email from analytics.hubspot__contacts where golden_id = '{key}'")
    somebody.stands_for = {"ada@acme.com": lambda: email, "bc1a0a7e711f6e497a61640141e562dc": lambda: key}
    somebody.read("docs/guides/forget-a-person.md")
    for table in ("enrichment_values", "snapshot__hubspot__contacts"):
        assert project.one(f"select count(*) from revetl.{table} where key = '{key}'") == "0"


def test_the_exit_codes_of_a_schedule_are_those_of_the_commands() -> None:
    from revetl.usecases.exit_codes import ExitCode

    rows = [line.split("|")[1:3] for line in PAGES["docs/guides/schedule.md"].read_text().splitlines()]
    said = {
        int(code): meaning.strip()
        for code, meaning in (row for row in rows if len(row) == 2 and row[0].strip().isdigit())
    }
    assert set(said) == {int(code) for code in ExitCode}
