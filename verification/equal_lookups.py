"""Equal lookups in several processes at once, on one Postgres: whoever is first pays, the others wait for the answer.

Each round has a new person, who stands in every process's table 25 times under other keys. The processes are let go in
the same moment, through a batch, one by one, a job and a verifier; then the vendors' invoice is read.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.report import Section
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.model import Relation
from revetl.sandbox.process import SandboxProcess
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from tests.support.sandbox_world import company, person, write_truth
from tests.support.warehouses import new_database
from verification import vendors
from verification.enrich_kills import SPECS, waterfall
from verification.vendors import Bills

ROUNDS = int(os.environ.get("REVETL_EQUAL_LOOKUPS", "40"))
PROCESSES = 4
TWINS = 25
# Not forked: a process that has had threads, of a database or of other tests, is no safe thing to copy. Children that
# were forked from such a one have crashed.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Told:
    """What one process says of its run. `email`: of how many of its records it is known."""

    asked: int
    in_doubt: int
    email: int


def run_one(output: dict[str, Any], url: str, team: str, at_once: Any, answers: Any) -> None:
    """The body of one process: its whole run, from the moment when all are ready."""
    spec = waterfall(Decimal(1000)).model_copy(update={"name": team, "entity": team})
    warehouse = open_warehouse(output, root=Path(), state_schema="revetl")
    clock = vendors.at(1.0)
    providers = vendors.connected(SPECS, url, clock)
    at_once.wait()
    report = asyncio.run(
        run_waterfall(
            RunContext(warehouse=warehouse, clock=clock, run_id=f"run_{team}", command="enrich", target="dev"),
            spec,
            providers,
            Relation("marts", team),
        )
    )
    warehouse.close()
    in_doubt = sum(p.in_doubt for p in report.providers.values())
    answers.put(Told(report.asked, in_doubt, report.fields["email"].filled_after))


def together(output: dict[str, Any], url: str, teams: list[str]) -> list[Told]:
    """One process for each team's table; all of them start when the last one is ready."""
    at_once = _SPAWN.Barrier(len(teams))
    answers = _SPAWN.Queue()
    processes = [_SPAWN.Process(target=run_one, args=(output, url, team, at_once, answers)) for team in teams]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"the processes ended with {[process.exitcode for process in processes]}")
    return [answers.get() for _ in teams]


@dataclass
class Tally:
    rounds: int = 0
    lookups: int = 0
    charges: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    unlike: int = 0
    in_doubt: int = 0
    asked: int = 0
    found: int = 0


def meet(rounds: int, processes: int = PROCESSES) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        truth = write_truth(Path(folder) / "truth", rounds)
        options = ("--no-limits", "--job-seconds", str(vendors.JOB_S))
        with SandboxProcess(truth, options=options) as sandbox, new_database("postgres", Path(folder)) as output:
            for number in range(rounds):
                teams = [f"round{number}_{n}" for n in range(processes)]
                warehouse = open_warehouse(output, root=Path(folder), state_schema="revetl")
                _twins(warehouse, teams, number)
                warehouse.close()
                vendors.forget(sandbox.base_url)
                told = together(output, sandbox.base_url, teams)
                _judge(tally, vendors.invoice(sandbox.base_url), told)
    return tally


def _twins(warehouse: Warehouse, teams: list[str], number: int) -> None:
    create_all(warehouse)
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS marts")
    who = person(number)
    domain = company(int(str(who.company_id).removeprefix("c"))).domain
    columns = ("golden_id", *vendors.INPUTS, "email", "job_title")
    for team in teams:
        warehouse.execute(f"CREATE TABLE marts.{team} ({', '.join(f'{name} VARCHAR' for name in columns)})")
        rows = [(f"{team}_{i}", who.first_name, who.last_name, domain, None, None) for i in range(TWINS)]
        data = {name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(columns)}
        warehouse.append(Relation("marts", team), pa.table(data))


def _judge(tally: Tally, bills: Bills, told: list[Told]) -> None:
    tally.rounds += 1
    tally.lookups += len(told) * TWINS
    for (vendor, _), lines in bills.items():
        tally.charges[vendor] += len(lines)
        tally.doubled += len(lines) - 1
    emails = {each.email for each in told}
    tally.unlike += len(emails) > 1 or bool(emails - {0, TWINS})
    tally.found += emails == {TWINS}
    tally.in_doubt += sum(each.in_doubt for each in told)
    tally.asked += sum(each.asked for each in told)


def measure() -> Section:
    tally = meet(ROUNDS)
    charges = ", ".join(f"{vendor} {n}" for vendor, n in sorted(tally.charges.items()))
    return Section(
        title="Equal lookups in several processes",
        workload=(
            f"{PROCESSES} processes, {PROCESSES * TWINS} records that are one person, a waterfall of batch, single lookup, "
            f"two jobs and a verifier, a Postgres server. {tally.rounds} rounds with another person each; all processes "
            "are let go in the same moment."
        ),
        header=("", "figure"),
        rows=[
            ("lookups that were wanted, at every provider that is reached", str(tally.lookups)),
            ("questions asked", str(tally.asked)),
            (f"charges in {tally.rounds} rounds", charges),
            ("a person or an address charged a second time", str(tally.doubled)),
            ("rounds in which not all records of all processes got the same", str(tally.unlike)),
            ("rounds that found the address", str(tally.found)),
            ("calls in doubt", str(tally.in_doubt)),
        ],
        verdict="Target 1 charge for 100 concurrent equal lookups: "
        + ("NOT met." if tally.doubled or tally.unlike or tally.in_doubt else "met."),
    )
