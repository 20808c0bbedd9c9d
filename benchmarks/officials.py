"""Real input from end to end: public files about people in office become one golden record per person and are synced
to the sandbox's HubSpot; then everything is scored against the truth, which no model reads.

`python benchmarks/officials.py` prints the score; it exits with 1 where a target is missed and 2 where there is no data.
The data are looked for in REVETL_OFFICIALS_DIR, otherwise in ../shared/data/officials beside the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = CHECKOUT / "examples" / "officials"
WORK_DIR = CHECKOUT / ".officials"
FILES = ("state_crm.csv", "congress_registry.csv", "district_offices.csv", "truth_pairs.csv")
MIN_TRUE_PAIRS = 530
DATABASE = "officials.duckdb"
# What the portal needs before the first sync: identity for people who have no email, and two facts it has no place for.
PROPERTIES = (
    {"name": "official_id", "label": "Official ID", "hasUniqueValue": True},
    {"name": "political_party", "label": "Political party"},
    {"name": "twitterhandle", "label": "Twitter handle"},
)


class MissingData(Exception):
    """The files are not on this machine."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the warehouse holds, against the truth. Pairs are of one CRM record and one registry record."""

    source_records: Mapping[str, int]
    golden_contacts: int
    rules: Mapping[str, int]
    true_pairs: int
    joined_pairs: int
    wrong_pairs: int
    several_of_one_system: int
    strangers_sharing_phone: int
    strangers_joined: int
    web_forms: int
    web_forms_as_email: int
    golden_emails: int
    addresses_of_two: int
    sync_rows: int
    sync_emails: int

    def misses(self) -> list[str]:
        """The targets that were not met."""
        checks = {
            f"at least {MIN_TRUE_PAIRS} of {self.true_pairs} true pairs joined": self.joined_pairs >= MIN_TRUE_PAIRS,
            "no wrong pair": self.wrong_pairs == 0,
            "no golden record with two records of one system": self.several_of_one_system == 0,
            "nobody joined to a stranger who shares an office phone": self.strangers_joined == 0,
            "no web form as an email": self.web_forms_as_email == 0,
            "every person in the activation model": self.sync_rows == self.golden_contacts,
        }
        return [what for what, met in checks.items() if not met]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the portal holds after the sync, and how many writes the same sync made when it ran once more."""

    contacts: int
    distinct_officials: int
    emails: int
    web_forms_as_email: int
    first_writes: int
    second_writes: int
    seconds: Mapping[str, float]

    def misses(self, score: Score) -> list[str]:
        checks = {
            "one contact in HubSpot per golden record": self.contacts == score.sync_rows == self.distinct_officials,
            "every email delivered": self.emails == score.sync_emails,
            "no web form as an email in HubSpot": self.web_forms_as_email == 0,
            "a second sync writes nothing": self.second_writes == 0,
        }
        return [what for what, met in checks.items() if not met]


def find_data() -> Path:
    """The directory of the four files. Raises MissingData, which says where they were looked for."""
    named = os.environ.get("REVETL_OFFICIALS_DIR")
    directory = Path(named).resolve() if named else CHECKOUT.parent / "shared" / "data" / "officials"
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        where = "REVETL_OFFICIALS_DIR" if named else "../shared/data/officials beside the checkout"
        raise MissingData(f"{', '.join(missing)} not found in {where}; REVETL_OFFICIALS_DIR names another directory")
    return directory


def prepare(work_dir: Path) -> None:
    """A fresh copy of the example, so that what dbt writes stays out of the checkout's own directories."""
    shutil.rmtree(work_dir, ignore_errors=True)
    shutil.copytree(PROJECT, work_dir, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb*"))


def environment(data: Path, hubspot_url: str = "") -> dict[str, str]:
    found = {**os.environ, "REVETL_OFFICIALS_DIR": str(data), "REVETL_DUCKDB_PATH": DATABASE}
    return {**found, "HUBSPOT_BASE_URL": hubspot_url} if hubspot_url else found


def revetl(work_dir: Path, env: Mapping[str, str], *arguments: str) -> None:
    """Runs one command as a person would; its own output goes to stderr. CalledProcessError where it fails."""
    command = [sys.executable, "-m", "revetl.cli.main", *arguments]
    subprocess.run(command, cwd=work_dir, env=dict(env), stdout=sys.stderr, check=True)


def score(database: Path, data: Path) -> Score:
    """Compares the built warehouse with the truth and with the files as they came."""
    with duckdb.connect() as db:
        db.execute(f"ATTACH '{database}' AS built (READ_ONLY)")
        db.execute("USE built.main")
        for name in FILES:
            db.execute(
                f"CREATE TEMP TABLE file_{Path(name).stem} AS"
                f" SELECT * FROM read_csv('{data / name}', all_varchar = true)"
            )
        db.execute(_PAIRS)
        rules = dict(
            _rows(db, "SELECT rule, count(DISTINCT golden_id) FROM golden_members WHERE rule IS NOT NULL GROUP BY 1")
        )
        sources = dict(_rows(db, "SELECT system, count(*) FROM golden_members GROUP BY 1 ORDER BY 2 DESC"))
        return Score(sources, rules=rules, **{name: int(_rows(db, sql)[0][0]) for name, sql in _FIGURES.items()})


def _rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    return db.execute(sql).fetchall()


_PAIRS = """
CREATE TEMP VIEW joined AS
SELECT crm.system_id AS state_crm_id, registry.system_id AS bioguide_id
FROM golden_members AS crm
JOIN golden_members AS registry USING (golden_id)
WHERE crm.system = 'state_crm' AND registry.system = 'congress_registry';

-- Two source records that hold the same number in the files, and are not the same person by the truth.
CREATE TEMP TABLE strangers AS
WITH phones AS (
    SELECT 'state_crm:' || id AS record_id, capitol_phone AS phone FROM file_state_crm
    UNION SELECT 'state_crm:' || id, district_phone FROM file_state_crm
    UNION SELECT 'congress_registry:' || bioguide_id, phone FROM file_congress_registry
    UNION SELECT 'congress_registry:' || bioguide_id, phone FROM file_district_offices
)
SELECT DISTINCT a.record_id AS record_a, b.record_id AS record_b
FROM phones AS a
JOIN phones AS b ON a.phone = b.phone AND a.record_id < b.record_id
WHERE (a.record_id, b.record_id) NOT IN (
    SELECT ('congress_registry:' || bioguide_id, 'state_crm:' || state_crm_id) FROM file_truth_pairs
);
"""

_WEB_FORM = "SELECT email FROM file_state_crm WHERE email LIKE 'http%'"

_FIGURES = {
    "golden_contacts": "SELECT count(*) FROM golden_contacts",
    "true_pairs": "SELECT count(*) FROM file_truth_pairs",
    "joined_pairs": "SELECT count(*) FROM file_truth_pairs SEMI JOIN joined USING (state_crm_id, bioguide_id)",
    "wrong_pairs": "SELECT count(*) FROM joined ANTI JOIN file_truth_pairs USING (state_crm_id, bioguide_id)",
    "several_of_one_system": (
        "SELECT count(*) FROM (SELECT 1 FROM golden_members GROUP BY golden_id, system HAVING count(*) > 1)"
    ),
    "strangers_sharing_phone": (
        "SELECT count(*) FROM (SELECT record_a FROM strangers UNION SELECT record_b FROM strangers)"
    ),
    "strangers_joined": (
        "SELECT count(*) FROM strangers"
        " JOIN golden_members AS a ON a.record_id = record_a JOIN golden_members AS b ON b.record_id = record_b"
        " WHERE a.golden_id = b.golden_id"
    ),
    "web_forms": f"SELECT count(*) FROM ({_WEB_FORM})",
    "web_forms_as_email": f"SELECT count(*) FROM hubspot__contacts WHERE email LIKE '%/%' OR email IN ({_WEB_FORM})",
    "golden_emails": "SELECT count(email) FROM golden_contacts",
    "addresses_of_two": "SELECT count(email) - count(DISTINCT email) FROM golden_contacts",
    "sync_rows": "SELECT count(*) FROM hubspot__contacts",
    "sync_emails": "SELECT count(email) FROM hubspot__contacts",
}


def deliver(work_dir: Path, data: Path, *, plan_first: bool = False) -> Delivery:
    """Starts the sandbox, syncs twice, and reads the portal back. CalledProcessError where a command fails.

    `plan_first` shows the plan before. It reads the portal once more, and the portal's limit of requests then makes the
    first sync wait some seconds.
    """
    from revetl.sandbox.process import SandboxProcess

    with SandboxProcess() as sandbox:
        portal = Portal(sandbox.base_url)
        portal.create_properties()
        env = environment(data, sandbox.base_url)
        seconds = {}
        if plan_first:
            seconds["plan"] = _timed(work_dir, env, "plan")
        writes = [portal.writes()]
        for title in ("sync for the first time", "sync with nothing to do"):
            seconds[title] = _timed(work_dir, env, "sync", "--yes")
            writes.append(portal.writes())
        contacts = list(portal.contacts())
    emails = [str(c["email"]) for c in contacts if c.get("email")]
    return Delivery(
        contacts=len(contacts),
        distinct_officials=len({c["official_id"] for c in contacts}),
        emails=len(emails),
        web_forms_as_email=sum("/" in email for email in emails),
        first_writes=writes[1] - writes[0],
        second_writes=writes[2] - writes[1],
        seconds=seconds,
    )


def _timed(work_dir: Path, env: Mapping[str, str], *arguments: str) -> float:
    started = time.monotonic()
    revetl(work_dir, env, *arguments)
    return time.monotonic() - started


class Portal:
    """The sandbox's HubSpot as its own administrator sees it: another client than the one that is measured."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def create_properties(self) -> None:
        """Declares the custom properties that the activation model fills; one that is there already is left alone."""
        existing = {p["name"] for p in self._call("/crm/v3/properties/contacts")["results"]}
        shape = {"type": "string", "fieldType": "text", "groupName": "contactinformation"}
        for declared in PROPERTIES:
            if declared["name"] not in existing:
                self._call("/crm/v3/properties/contacts", {**shape, **declared})

    def contacts(self) -> Iterator[dict[str, Any]]:
        """The properties of every contact, a page of 100 at a time."""
        path = "/crm/v3/objects/contacts?limit=100&properties=email,official_id"
        after = ""
        while True:
            page = self._call(path + after)
            for contact in page["results"]:
                yield contact["properties"]
            if "paging" not in page:
                return
            after = f"&after={page['paging']['next']['after']}"

    def writes(self) -> int:
        return int(self._call("/_sandbox/stats")["hubspot"]["write_requests"])

    def _call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": "Bearer pat-administrator", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base_url + path, data=data, headers=headers)
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as e:
                if e.code != 429:
                    raise
                time.sleep(float(e.headers.get("Retry-After") or 1))


def show(found: Score, delivery: Delivery, build_seconds: float) -> None:
    """The score, no wider than 80 columns."""
    lines: list[tuple[str, str]] = [
        *((f"records in {name}", f"{n:,}") for name, n in found.source_records.items()),
        ("golden records, one per person", f"{found.golden_contacts:,}"),
        ("true pairs joined", f"{found.joined_pairs} of {found.true_pairs} (target {MIN_TRUE_PAIRS})"),
        ("wrong pairs", f"{found.wrong_pairs}"),
        *((f"  joined by {rule}", f"{n}") for rule, n in sorted(found.rules.items(), key=lambda r: -r[1])),
        ("golden records with two of one system", f"{found.several_of_one_system}"),
        ("records that share a phone with a stranger", f"{found.strangers_sharing_phone:,}"),
        ("  of these pairs joined", f"{found.strangers_joined}"),
        ("web forms in the email column", f"{found.web_forms}"),
        ("  that stand as an email in HubSpot", f"{delivery.web_forms_as_email}"),
        ("golden emails", f"{found.golden_emails:,}"),
        ("  held back: one address, two people", f"{found.golden_emails - found.sync_emails}"),
        ("contacts in HubSpot", f"{delivery.contacts:,}"),
        ("  with an email", f"{delivery.emails:,}"),
        ("write requests, first sync", f"{delivery.first_writes}"),
        ("write requests, second sync", f"{delivery.second_writes}"),
        ("seconds to build and test the models", f"{build_seconds:.1f}"),
        *((f"seconds to {step}", f"{s:.1f}") for step, s in delivery.seconds.items()),
    ]
    for label, value in lines:
        print(f"{label:<48}{value:>30}")


def main() -> int:
    try:
        data = find_data()
    except MissingData as e:
        print(e, file=sys.stderr)
        return 2
    prepare(WORK_DIR)
    build_seconds = _timed(WORK_DIR, environment(data), "build")
    delivery = deliver(WORK_DIR, data, plan_first=True)
    found = score(WORK_DIR / DATABASE, data)
    show(found, delivery, build_seconds)
    misses = found.misses() + delivery.misses(found)
    for miss in misses:
        print(f"missed: {miss}", file=sys.stderr)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
