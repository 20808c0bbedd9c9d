"""The tests of both engines, file by file, on each of the three warehouses, and the starter project built on them.

Two processes at a time, each with servers of its own, so that a second core is made use of;
the seconds are of the whole row.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Section
from tests.support.engine_tests import GROUPS
from tests.support.warehouses import THE_WAREHOUSE

ROOT = Path(__file__).resolve().parents[1]
WORKERS = os.environ.get("REVETL_WAREHOUSE_WORKERS", "2")
WAREHOUSES = {
    "duckdb": "DuckDB",
    "postgres": "PostgreSQL, a real server",
    "snowflake": "Snowflake's stand-in over HTTP",
}
# These go through all three by themselves; a test's name says which, as `[postgres]`.
BY_THEMSELVES: Mapping[str, Sequence[str]] = {
    "what an adapter promises": ("tests/contract/test_warehouses.py",),
    "leases and waterfalls over two connections, one ledger everywhere": (
        "tests/contract/test_leases.py",
        "tests/contract/test_enrich_warehouses.py",
        "tests/contract/test_order_warehouses.py",
        "tests/contract/test_enrich_lists.py",
    ),
    "the starter's dbt build: the same rows everywhere": ("tests/dbt/test_warehouses.py",),
}


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    first_failure: str = ""

    def cell(self) -> str:
        parts = [f"{self.passed} passed"]
        parts += [f"**{self.failed} failed**"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"{', '.join(parts)}, {self.seconds:.0f} s"

    def take(self, case: ET.Element) -> None:
        if case.find("failure") is not None or case.find("error") is not None:
            self.failed += 1
            self.first_failure = self.first_failure or f"{case.get('classname')}::{case.get('name')}"
        elif case.find("skipped") is not None:
            self.skipped += 1
        else:
            self.passed += 1


def run(files: Sequence[str], environment: Mapping[str, str]) -> tuple[list[ET.Element], float]:
    """The cases of pytest's report, and the seconds that it took. RuntimeError where the tests could not be run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-n", WORKERS, "--dist", "worksteal"]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junit-xml={report}", *files],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not report.exists():
            raise RuntimeError(f"{', '.join(files)} could not be run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return list(ET.parse(report).iter("testcase")), time.perf_counter() - started


# A statement takes the stand-in ten times as long as Postgres, so fewer moments of dying are tried there.
_FEWER = {"REVETL_EXAMPLES": "5", "REVETL_STRIDE": "29"}


def on(warehouse: str, files: Sequence[str]) -> Tally:
    tally = Tally()
    cases, tally.seconds = run(files, {THE_WAREHOUSE: warehouse} | (_FEWER if warehouse == "snowflake" else {}))
    for case in cases:
        tally.take(case)
    return tally


def on_each(files: Sequence[str]) -> dict[str, Tally]:
    """Each case counts for the warehouse in its name, else for all: one that compares them is one of each."""
    tallies = {kind: Tally() for kind in WAREHOUSES}
    cases, _ = run(files, {"REVETL_ALL_WAREHOUSES": "1", "REVETL_EVERY_STEP": "1"})
    for case in cases:
        named = [kind for kind in WAREHOUSES if kind in str(case.get("name"))] or list(WAREHOUSES)
        for kind in named:
            tallies[kind].take(case)
            tallies[kind].seconds += float(case.get("time") or 0) / len(named)
    return tallies


def measure() -> Section:
    rows: list[tuple[str, ...]] = []
    failures: list[str] = []
    total = 0
    table = [(name, {kind: on(kind, files) for kind in WAREHOUSES}) for name, files in GROUPS.items()]
    table += [(name, on_each(files)) for name, files in BY_THEMSELVES.items()]
    for name, tallies in table:
        rows.append((name, *(tally.cell() for tally in tallies.values())))
        failures += [f"{kind}: {tally.first_failure}" for kind, tally in tallies.items() if tally.failed]
        total += sum(tally.passed for tally in tallies.values())
    verdict = f"{total:,} passed; " + ("met." if not failures else f"NOT met: {'; '.join(failures)}.")
    return Section(
        title="Three warehouses, one suite",
        workload=(
            "The same files of tests on each warehouse: an empty database for each test, a PostgreSQL server from PyPI, and "
            "snowflake-connector-python over HTTP to fakesnow, which is DuckDB inside: evidence of our statements, no proof "
            "of Snowflake; crashes are tried there at fewer moments. What only one of them has to mind is skipped on the others."
        ),
        header=("tests", *WAREHOUSES.values()),
        rows=rows,
        verdict=f"Target: all pass on all three. {verdict}",
    )
