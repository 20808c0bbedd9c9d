"""Secrets and personal data that must not turn up where they don't belong.

A project is built, enriched, planned, saved, synced, rolled back and explained with marked credentials and a marked
person in its sources, on good days and on bad ones: refused credentials, 5xx, broken JSON, a rejected record, a
traceback asked for. Then everything that was printed and every file that was written is searched, byte by byte.

Secrets belong nowhere. The person belongs in the warehouse, and on the terminal where somebody asked for that record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from benchmarks.report import Section
from revetl.sandbox.process import SandboxProcess
from revetl.usecases.demo import generate, prepare

SECRETS = {
    "HUBSPOT_TOKEN": "pat-canary-5e1d0c7a",
    "PDL_API_KEY": "canary-pdl-77b1e9",
    "HUNTER_API_KEY": "canary-hunter-0d93f2",
    "ZEROBOUNCE_API_KEY": "canary-zb-4a2c6e",
    "REVETL_SUPPRESSION_KEY": "canary-suppression-91ac",
}
PERSON = {"email": "zaphod.canary@heartofgold-canary.example", "last_name": "Beeblebroxcanary"}


@dataclass
class Hunt:
    """What was printed, by command, and what was found where."""

    said: dict[str, bytes] = field(default_factory=dict)
    commands: int = 0
    files: int = 0
    found: list[str] = field(default_factory=list)

    def search(self, where: str, content: bytes, words: Sequence[str]) -> None:
        for word in words:
            if word.encode() in content or word.encode("utf-16-le") in content:
                self.found.append(f"{word!r} in {where}")


class Project:
    def __init__(self, root: Path, hunt: Hunt, environment: Mapping[str, str]) -> None:
        self.root, self.hunt, self.environment = root, hunt, dict(environment)

    def revetl(self, *arguments: str, shows_records: bool = False, **changed: str) -> int:
        """One command; its output is searched for secrets, and for the person unless it was asked to show records."""
        done = subprocess.run(
            [sys.executable, "-m", "revetl.cli.main", *arguments],
            cwd=self.root,
            env=self.environment | changed,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.hunt.commands += 1
        said = f"the output of `revetl {' '.join(arguments)}`"
        self.hunt.search(
            said,
            done.stdout + done.stderr,
            [*SECRETS.values(), *(v for n, v in changed.items() if n.endswith("TOKEN"))],
        )
        self.hunt.search(f"stderr of `revetl {' '.join(arguments)}`", done.stderr, [*PERSON.values()])
        if not shows_records:
            self.hunt.search(said, done.stdout, [*PERSON.values()])
        return done.returncode


def mark(database: Path) -> None:
    """One more person in the CRM."""
    with duckdb.connect(str(database)) as db:
        columns = [name for (name, *_) in db.execute("DESCRIBE raw_crm.contacts").fetchall()]
        values = ", ".join(
            f"'{PERSON[c]}'" if c in PERSON else f"'canary' || {c}" if c in ("id", "contact_id") else c for c in columns
        )
        db.execute(f"INSERT INTO raw_crm.contacts SELECT {values} FROM raw_crm.contacts LIMIT 1")


def fault(url: str, **document: object) -> None:
    request = urllib.request.Request(
        f"{url}/_sandbox/faults", json.dumps(document).encode(), {"content-type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request).close()


def live_through(records: int = 60) -> Hunt:
    hunt = Hunt()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        prepare(root)
        generate(root, root / "truth", records, 7, day=1)
        mark(root / "warehouse.duckdb")
        with SandboxProcess(truth=root / "truth", options=("--no-limits",)) as sandbox:
            url = sandbox.base_url
            environment = {
                **os.environ,
                **SECRETS,
                "HUBSPOT_BASE_URL": url,
                "REVETL_SANDBOX_URL": url,
                "REVETL_DUCKDB_PATH": "warehouse.duckdb",
            }
            project = Project(root, hunt, environment)
            _story(project, url)
        for path in sorted(root.rglob("*")):
            # The warehouse is where the person belongs, and the truth is the sandbox's; secrets belong in neither.
            if path.is_file():
                hunt.files += 1
                content = path.read_bytes()
                hunt.search(str(path.relative_to(root)), content, [*SECRETS.values()])
                if path.suffix not in (".duckdb", ".wal", ".parquet"):
                    hunt.search(str(path.relative_to(root)), content, [*PERSON.values()])
    return hunt


def _story(project: Project, url: str) -> None:
    project.revetl("--debug", "debug")
    project.revetl("build")
    project.revetl("enrich", "--yes", "--dry-run")
    fault(url, route="GET /providers/*", kind="status", status=500, times=2)
    project.revetl("--debug", "--verbose", "--log-file", "enrich.log", "enrich", "--yes")
    project.revetl("build", "--verbose", "--log-format", "json")
    project.revetl("plan", "--out", "saved.json", shows_records=True)
    project.revetl("plan", "--format", "markdown")
    project.revetl("--debug", "sync", "--yes", HUBSPOT_TOKEN="pat-bad-canary-1")
    for kind in ("wrong_json", "truncate", "reset_after"):
        fault(url, route="POST */batch/*", kind=kind, times=1)
    fault(url, route="POST */batch/upsert", kind="status", status=400, times=1)
    project.revetl("--debug", "sync", "--yes", "--verbose", "--log-format", "json")
    project.revetl("--debug", "run", "--yes", "--verbose", "--log-file", "run.log")
    project.revetl("runs", "--json")
    project.revetl("drift", "hubspot__contacts", shows_records=True)
    away = {"HUBSPOT_BASE_URL": "http://127.0.0.1:1/canary-path"}
    project.revetl("--debug", "sync", "--yes", "--full-refresh", "--verbose", **away)
    project.revetl("sync", "--json", "--full-refresh", **away)
    project.revetl("--debug", "plan", REVETL_DUCKDB_PATH="/nonexistent/canary.duckdb")


def measure() -> Section:
    hunt = live_through()
    return Section(
        title="Canaries",
        workload=(
            "A starter project with marked credentials and a marked person, lived through on good and bad days, with "
            "tracebacks asked for; then all output and all files searched."
        ),
        header=("", "figure"),
        rows=[
            ("commands / files searched", f"{hunt.commands} / {hunt.files}"),
            ("places where a secret or the person was found", str(len(hunt.found))),
        ],
        verdict="Target 0 hits: " + ("met." if not hunt.found else f"NOT met. {hunt.found[:8]}"),
    )
