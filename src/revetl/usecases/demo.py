"""The main job on made-up customers: what `revetl demo` shows, step by step.

Everything is real but the vendors: the starter project is written out, dbt builds it, the waterfall asks the sandbox's
providers over HTTP, and the syncer fills the sandbox's HubSpot and Salesforce. Each step is the command that a person
would type, run in a process of its own, so that the demo can do nothing that a user can't.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, RevetlError
from revetl.subprocesses import start_python, stop

MARKER = ".revetl-demo"
DEFAULT_RECORDS = 1500
DESTINATIONS = ("hubspot", "salesforce")
_CONTACT_FIELDS = ("email", "phone", "job_title", "seniority", "linkedin_url", "city", "country")
_COMPANY_FIELDS = ("industry", "employee_count", "founded_year", "linkedin_url", "city", "country")


@dataclass(slots=True)
class DemoRun:
    """One `revetl run`: its own JSON document, what the vendors saw meanwhile, and how long it took."""

    title: str
    document: Mapping[str, Any]
    seconds: float
    requests: int  # all that the destinations took
    writes: int  # of them, those that may change a record
    provider_calls: int

    @property
    def created(self) -> int:
        """Records that a destination did not hold."""
        return self._planned("create")

    @property
    def updated(self) -> int:
        """Records of which it held other values."""
        return self._planned("update", "adopt")

    @property
    def unchanged(self) -> int:
        """Records that stand there already, whether we wrote them or found them so: nothing is sent."""
        return self._planned("unchanged", "matched")

    @property
    def not_sent(self) -> int:
        """Records that a rule or an earlier refusal keeps back. With the three above: every row of the models."""
        return self._planned("withheld", "waiting", "absent", "suppressed")

    def by_destination(self) -> dict[str, int]:
        """How many records stand at each destination because of the models."""
        found: dict[str, int] = {}
        for plan in (sync["plan"] for sync in self.document["syncs"]):
            there = sum(int(plan[name]) for name in ("create", "update", "adopt", "unchanged", "matched"))
            found[plan["destination"]] = found.get(plan["destination"], 0) + there
        return found

    def _planned(self, *counts: str) -> int:
        return sum(int(sync["plan"][name]) for sync in self.document["syncs"] for name in counts)


@dataclass(frozen=True, slots=True)
class FillRate:
    """How full one field is, as shares of all golden records, before and after enrichment; by which provider."""

    entity: str
    field: str
    before: float
    after: float
    by_provider: Mapping[str, int]


@dataclass(slots=True)
class DemoResult:
    directory: Path
    records: int
    stages: dict[str, int] = field(default_factory=dict)
    runs: list[DemoRun] = field(default_factory=list)
    fills: list[FillRate] = field(default_factory=list)
    spend: dict[str, float] = field(default_factory=dict)
    invoiced_usd: float = 0.0
    seconds: float = 0.0


def prepare(directory: Path) -> None:
    """An empty directory with the starter project. Replaces an earlier demo and nothing else: else ConfigError."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARKER).exists():
            raise ConfigError(f"{directory} is not empty, and no demo made it", hint="Choose another with --directory.")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    _command(directory, os.environ, "init", ".")
    (directory / MARKER).touch()


def run_demo(directory: Path, *, records: int, seed: int, say: Callable[[str], None]) -> DemoResult:
    """Runs the whole demo; RevetlError where a step fails, with that step's own message already on stderr."""
    from revetl.sandbox.process import SandboxProcess

    started = time.monotonic()
    directory = directory.resolve()
    prepare(directory)
    result = DemoResult(directory, records)
    truth = directory / "truth"
    afford(directory, records)
    switch_on(directory)
    say(f"A new project in {_short(directory)}, and {records:,} records in four systems that disagree")
    generate(directory, truth, records, seed, day=1)
    with SandboxProcess(truth=truth, data_dir=directory / "sandbox") as sandbox:
        environment = {
            **os.environ,
            "HUBSPOT_BASE_URL": sandbox.base_url,
            "SALESFORCE_BASE_URL": f"{sandbox.base_url}/salesforce",
            "REVETL_SANDBOX_URL": sandbox.base_url,
            "REVETL_DUCKDB_PATH": "warehouse.duckdb",
        }
        step = _Stepper(directory, environment, sandbox.base_url)
        say("Day 1: the first run creates everything")
        result.runs.append(step.run("day 1"))
        say("Day 2: about one per cent of the sources changed")
        generate(directory, truth, records, seed, day=2)
        result.runs.append(step.run("day 2"))
        say("The same run again: nothing changed, so nothing may be written")
        again = step.run("again")
        result.runs.append(again)
        if again.writes or again.provider_calls:
            raise RevetlError(
                f"a run with nothing to do sent {again.writes} write requests and {again.provider_calls} provider calls"
            )
        result.invoiced_usd = sum(float(v["charged_usd"]) for v in step.stats()["providers"].values())
    measure(directory, result)
    result.seconds = time.monotonic() - started
    return result


def afford(directory: Path, records: int) -> None:
    """Lets the starter's budgets grow with the number of records: they are made for the demo's usual size, and a run
    that they stop half-way shows nothing. A smaller demo keeps them as they are."""
    share = max(1.0, records / DEFAULT_RECORDS)
    for path in sorted((directory / "enrichment/waterfalls").glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        grown = re.sub(
            r"^(  per_run_usd: )(\d+)$", lambda m: f"{m[1]}{math.ceil(int(m[2]) * share)}", text, flags=re.MULTILINE
        )
        path.write_text(grown, encoding="utf-8")


def switch_on(directory: Path) -> None:
    """Turns on the starter's second destination, as a person would: in dbt_project.yml."""
    path = directory / "dbt_project/dbt_project.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("+enabled: false", "+enabled: true"), encoding="utf-8")


def generate(directory: Path, truth: Path, records: int, seed: int, *, day: int) -> None:
    """The sources of one day, in the demo's warehouse; the truth is for the sandbox's providers and for scoring."""
    _command(
        directory, os.environ, "sandbox", "generate",
        "--database", str(directory / "warehouse.duckdb"), "--truth", str(truth),
        "--records", str(records), "--seed", str(seed), "--day", str(day),
    )  # fmt: skip


@dataclass(slots=True)
class _Stepper:
    directory: Path
    environment: Mapping[str, str]
    base_url: str

    def stats(self) -> dict[str, Any]:
        from revetl.sandbox.process import read_stats

        return read_stats(self.base_url)

    def run(self, title: str) -> DemoRun:
        before, started = self.stats(), time.monotonic()
        output = _command(self.directory, self.environment, "run", "--yes", "--json")
        seconds, after = time.monotonic() - started, self.stats()
        return DemoRun(
            title=title,
            document=json.loads(output),
            seconds=seconds,
            requests=_requests(after) - _requests(before),
            writes=_requests(after, writes=True) - _requests(before, writes=True),
            provider_calls=_calls(after) - _calls(before),
        )


def _requests(stats: Mapping[str, Any], *, writes: bool = False) -> int:
    """What the destinations took so far; `writes`: only what may change a record."""
    return sum(int(stats[vendor]["write_requests" if writes else "requests"]) for vendor in DESTINATIONS)


def _calls(stats: Mapping[str, Any]) -> int:
    return sum(int(v["requests"]) for v in stats["providers"].values())


def measure(directory: Path, result: DemoResult) -> None:
    """Reads records per stage, fill rates and spend back from the warehouse's own tables."""
    from revetl.project import load
    from revetl.warehouse.sql import ident, table

    project = load(directory)
    warehouse = project.open_warehouse()
    try:
        dialect = warehouse.dialect

        def number(sql: str) -> int:
            value = warehouse.rows(sql)[0][0]
            return int(str(value or 0))

        for name in (
            "golden_members",
            "golden_contacts",
            "golden_companies",
            "hubspot__contacts",
            "hubspot__companies",
        ):
            result.stages[name] = number(f"SELECT count(*) FROM {table(project.relation(name), dialect)}")
        accepted: dict[tuple[str, str], dict[str, int]] = {}
        for entity_name, field_name, provider, n in warehouse.rows(
            "SELECT entity, field, provider, count(DISTINCT key) FROM revetl.enrichment_values"
            " WHERE rejected_reason IS NULL GROUP BY entity, field, provider ORDER BY 4 DESC, provider"
        ):
            accepted.setdefault((str(entity_name), str(field_name)), {})[str(provider)] = int(str(n))
        for entity, enriched, fields in (
            ("golden_contacts", "enriched_contacts", _CONTACT_FIELDS),
            ("golden_companies", "enriched_companies", _COMPANY_FIELDS),
        ):
            before, after = (table(project.relation(m), dialect) for m in (entity, enriched))
            total = max(1, number(f"SELECT count(*) FROM {before}"))
            for name in fields:
                column = ident(name, dialect)
                result.fills.append(
                    FillRate(
                        entity=entity,
                        field=name,
                        before=number(f"SELECT count({column}) FROM {before}") / total,
                        after=number(f"SELECT count({column}) FROM {after}") / total,
                        by_provider=accepted.get((entity, name), {}),
                    )
                )
        for provider, usd in warehouse.rows(
            "SELECT provider, sum(charged_usd) FROM revetl.enrichment_calls WHERE status <> 'intent'"
            " GROUP BY provider ORDER BY provider"
        ):
            result.spend[str(provider)] = float(str(usd or 0))
    finally:
        warehouse.close()


def _command(directory: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Runs one revetl command in the project; its progress goes to our stderr, its result is returned."""
    command = ["-m", "revetl.cli.main", *arguments]
    how: dict[str, Any] = {"cwd": directory, "env": dict(environment), "stdout": subprocess.PIPE, "text": True}
    with start_python(command, bound=True, **how) as process:
        try:
            output: str = process.communicate()[0]
        except BaseException:
            stop(process)
            raise
    if process.returncode:
        raise RevetlError(f"`revetl {' '.join(arguments)}` ended with exit code {process.returncode}")
    return output


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
