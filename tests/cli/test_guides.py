"""README.md and the guides over the starter: every command and output on them, as a reader types and sees them.

The demo is run once; each page has a copy of the project that it leaves, and a sandbox of its own.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from tests.support.guides import PAGES, Reader, blocks, commands, first_missing, reader

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


def test_a_schedule(somebody: Reader, project: Project, tmp_path: Path) -> None:
    """Under cron's and systemd's bare environments, with the page's folder where the project is."""
    serve(somebody)
    secrets = "".join(f"{name}={somebody.environ[name]}\n" for name in ("HUBSPOT_BASE_URL", "REVETL_SANDBOX_URL"))
    (project.directory / ".env").write_text(secrets)
    (project.directory / "logs").mkdir(exist_ok=True)
    (project.directory / ".venv").mkdir()
    (project.directory / ".venv/bin").symlink_to(Path(somebody.environ["PATH"].split(":")[0]))
    somebody.stands_for = {
        "/srv/crm": lambda: str(project.directory),
        " RUN": lambda: f" {project.run_of('hubspot__contacts')[-6:]}",
    }
    somebody.read("docs/guides/schedule.md")
    assert json.loads((project.directory / "logs/run.json").read_text())["exit_code"] == 0


def test_the_exit_codes_of_a_schedule_are_those_of_the_commands() -> None:
    from revetl.usecases.exit_codes import ExitCode

    rows = [line.split("|")[1:3] for line in PAGES["docs/guides/schedule.md"].read_text().splitlines()]
    said = {int(code): meaning.strip() for code, meaning in (row for row in rows if len(row) == 2 and row[0].strip().isdigit())}
    assert set(said) == {int(code) for code in ExitCode}
